//! Prices for people.

use std::io::{self, Write};

use comfy_table::Table;
use jiff::Timestamp;
use tollgate_proto::v1;

/// An empty table with these columns.
pub(in crate::cli) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(columns.iter().copied());
    table
}

/// A line as costs name it.
pub(super) fn line_name(rate: &v1::PriceRate) -> String {
    match rate.cache_ttl {
        Some(ttl) => format!("{}_{}s", rate.line, ttl.seconds),
        None => rate.line.clone(),
    }
}

/// How many units a rate is for: `1M`, `1k`, `1 h` stays `3600`.
pub(super) fn per(count: i64) -> String {
    match count {
        0 | 1 => "1".to_owned(),
        count if count % 1_000_000 == 0 => format!("{}M", count / 1_000_000),
        count if count % 1_000 == 0 => format!("{}k", count / 1_000),
        count => count.to_string(),
    }
}

/// A moment, or nothing.
pub(in crate::cli) fn moment(at: Option<prost_types::Timestamp>) -> String {
    let known = at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
    known.map(|at| at.to_string()).unwrap_or_default()
}

/// `PROVIDER/MODEL`.
pub(super) fn model_name(price: &v1::Price) -> String {
    let model = price.model.clone().unwrap_or_default();
    format!("{}/{}", model.provider_name, model.model)
}

/// Where the price comes from.
pub(super) fn source_name(price: &v1::Price) -> &'static str {
    match price.source() {
        v1::price::Source::Tenant => "tenant",
        v1::price::Source::Catalog => "catalog",
        v1::price::Source::Unspecified => "",
    }
}

/// Writes one price with everything that it says.
pub(super) fn write_price(output: &mut impl Write, price: &v1::Price) -> io::Result<()> {
    let target = price.model.clone().unwrap_or_default();
    let mut head =
        vec![format!("{} price {}", source_name(price), price.price_id).trim().to_owned(), model_name(price)];
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            head.push(format!("{name} {value}"));
        }
    };
    add("tier", target.provider_tier);
    add("region", target.region);
    add("from", moment(price.start_time));
    add("until", moment(price.end_time));
    add("daily", price.daily.clone());
    let covers = match price.coverage() {
        v1::price::Coverage::Lines if price.rates.is_empty() => "no line by itself",
        v1::price::Coverage::Lines => "only these lines",
        _ => "the whole model",
    };
    add("covers", covers.to_owned());
    add("factor", price.multiplier.clone());
    writeln!(output, "{}", head.join(", "))?;
    if !price.note.is_empty() {
        writeln!(output, "  note: {}", price.note)?;
    }
    if !price.rates.is_empty() {
        let mut table = table(&["line", "USD", "per", "above input tokens", "billed at least"]);
        for rate in &price.rates {
            let above = if rate.above_input_tokens > 0 { rate.above_input_tokens.to_string() } else { String::new() };
            table.add_row([line_name(rate), rate.usd.clone(), per(rate.per), above, rate.minimum.clone()]);
        }
        writeln!(output, "{table}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short_where_they_are_round() {
        assert_eq!([0, 1, 1_000, 1_000_000, 3_600].map(per), ["1", "1", "1k", "1M", "3600"]);
    }
}
