//! `tollgate prices list`.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tollgate_proto::v1;

use super::arguments::InstantArgument;
use super::json::PriceJson;
use super::source::{Found, SourceArguments, Wanted};
use super::table::{model_name, moment, source_name, table};

/// Options of `tollgate prices list`.
#[derive(Debug, Clone, Args)]
pub struct ListArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// Only of this provider
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only of this model; a `*` at the end stands for any rest
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only in force then: an instant, a day, or now
    #[arg(long, value_name = "TIME")]
    at: Option<InstantArgument>,
    /// Only from there
    #[arg(long = "source", value_enum, value_name = "SOURCE")]
    from: Option<SourceName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where prices come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SourceName {
    /// The catalog.
    Catalog,
    /// The tenant.
    Tenant,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    catalog_version: String,
    prices: Vec<PriceJson>,
}

pub(super) async fn run(arguments: &ListArguments, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let wanted = Wanted {
        model: v1::ModelRef {
            provider_name: arguments.provider.clone().unwrap_or_default(),
            model: arguments.model.clone().unwrap_or_default(),
            ..Default::default()
        },
        at: arguments.at.map(|at| at.0),
        source: match arguments.from {
            Some(SourceName::Catalog) => v1::price::Source::Catalog,
            Some(SourceName::Tenant) => v1::price::Source::Tenant,
            None => v1::price::Source::Unspecified,
        },
    };
    let found = arguments.source.open()?.find(&wanted).await?;
    if arguments.json {
        write_json(output, found)?;
    } else {
        write_table(output, &found)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything as one JSON object.
pub(super) fn write_json(output: &mut impl Write, found: Found) -> anyhow::Result<()> {
    let Found { catalog_version, prices } = found;
    let listing = Listing { catalog_version, prices: prices.into_iter().map(PriceJson::from).collect() };
    serde_json::to_writer_pretty(&mut *output, &listing)?;
    writeln!(output)?;
    Ok(())
}

fn write_table(output: &mut impl Write, found: &Found) -> std::io::Result<()> {
    let mut table = table(&[
        "model",
        "tier",
        "region",
        "input",
        "output",
        "cache read",
        "other lines",
        "factor",
        "from",
        "until",
        "source",
    ]);
    const SHOWN: [&str; 3] = ["input", "output", "cache_read"];
    for price in &found.prices {
        let target = price.model.clone().unwrap_or_default();
        let plain = |line: &str| {
            let rate = price.rates.iter().find(|rate| rate.line == line && rate.above_input_tokens == 0);
            let tiered = price.rates.iter().any(|rate| rate.line == line && rate.above_input_tokens > 0);
            rate.map(|rate| format!("{}{}", rate.usd, if tiered { " ↑" } else { "" })).unwrap_or_default()
        };
        let [input, output_usd, cache_read] = SHOWN.map(plain);
        let others = price.rates.iter().filter(|rate| !SHOWN.contains(&rate.line.as_str())).count();
        table.add_row([
            model_name(price),
            target.provider_tier,
            target.region,
            input,
            output_usd,
            cache_read,
            if others > 0 { others.to_string() } else { String::new() },
            price.multiplier.clone(),
            moment(price.start_time),
            moment(price.end_time),
            source_name(price).to_owned(),
        ]);
    }
    writeln!(output, "{table}")?;
    writeln!(
        output,
        "{} prices, catalog {}; USD per million tokens, ↑ = dearer from some input length on; \
         `tollgate prices show PROVIDER/MODEL` has every line",
        found.prices.len(),
        found.catalog_version
    )
}
