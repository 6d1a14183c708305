//! Prices.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use tollgate_domain::amount::{Amount, Usd};
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{
    CatalogPrice, Coverage, LineKind, PriceTerms, RATE_PER_LIMIT, Rate, TenantPrice, TenantRate,
};
use tollgate_domain::tokens::TokenClass;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;

use super::dimensions::{model, to_model};
use super::values::{decimal, duration, known, required_timestamp, text, timestamp, to_duration, to_timestamp};
use crate::app::prices::ListedPrice;

const LINE_BYTES_LIMIT: usize = 64;
const NOTE_BYTES_LIMIT: usize = tollgate_domain::price::NOTE_BYTES_LIMIT;
/// Longest lifetime of a cache entry that a price can name: a year.
const LONGEST_CACHE_TTL: Duration = Duration::from_secs(366 * 86_400);

/// What a tenant sets. Everything that is wrong is found at once.
pub fn terms(found: &mut Violations, path: &str, message: Option<v1::Price>) -> Option<PriceTerms> {
    let Some(message) = message else {
        found.add(path, "must be set");
        return None;
    };
    let v1::Price {
        price_id: _,
        source: _,
        model: target,
        coverage,
        rates: rate_messages,
        multiplier,
        start_time,
        end_time,
        note,
        create_time: _,
        daily: _,
    } = message;
    let field = |name: &str| format!("{path}.{name}");
    let target = target.map(|message| model(found, &field("model"), message)).unwrap_or_default();
    let coverage = known::<v1::price::Coverage>(found, &field("coverage"), coverage, false);
    let rates = rates(found, &field("rates"), rate_messages);
    let multiplier: Option<Amount> = decimal(found, &field("multiplier"), &multiplier);
    let start_time = required_timestamp(found, &field("start_time"), start_time);
    let end_time = timestamp(found, &field("end_time"), end_time);
    let note = text(found, &field("note"), note, NOTE_BYTES_LIMIT).unwrap_or_default();
    let terms = PriceTerms {
        target,
        coverage: match coverage {
            Some(v1::price::Coverage::Lines) => Coverage::Lines,
            _ => Coverage::Model,
        },
        rates,
        multiplier: multiplier.map(Amount::decimal),
        // Where it is missing, the end is compared with an instant that lies before any.
        start_time: start_time.unwrap_or(Timestamp::MIN),
        end_time,
        note,
    };
    match terms.validated(path) {
        Ok(terms) => Some(terms),
        Err(violations) => {
            found.extend(violations);
            None
        }
    }
}

fn rates(found: &mut Violations, path: &str, messages: Vec<v1::PriceRate>) -> Vec<TenantRate> {
    messages
        .into_iter()
        .enumerate()
        .map(|(position, message)| rate(found, &format!("{path}[{position}]"), message))
        .collect()
}

/// A rate; what cannot be read is stood in for by something that breaks no further rule.
fn rate(found: &mut Violations, path: &str, message: v1::PriceRate) -> TenantRate {
    let v1::PriceRate { line: name, usd, per, above_input_tokens, cache_ttl, minimum } = message;
    let field = |name: &str| format!("{path}.{name}");
    let lifetime = duration(found, &field("cache_ttl"), cache_ttl, LONGEST_CACHE_TTL);
    let line = line(found, path, &name, lifetime).unwrap_or_else(|| LineKind::Unit(path.to_owned()));
    found.add_if(usd.is_empty(), field("usd"), "must be set; zero is a price");
    let usd: Usd = decimal(found, &field("usd"), &usd).unwrap_or_default();
    let per = u32::try_from(per).unwrap_or_else(|_| {
        found.add(field("per"), format!("must be between 0 and {RATE_PER_LIMIT}"));
        1
    });
    let above = u64::try_from(above_input_tokens).unwrap_or_else(|_| {
        found.add(field("above_input_tokens"), "must not be negative");
        0
    });
    let minimum: Option<Amount> = decimal(found, &field("minimum"), &minimum);
    let above_input_tokens = Some(above).filter(|above| *above > 0);
    TenantRate { line, usd, per: per.max(1), above_input_tokens, minimum: minimum.filter(|least| !least.is_zero()) }
}

/// The line of this name.
fn line(found: &mut Violations, path: &str, name: &str, lifetime: Option<Duration>) -> Option<LineKind> {
    let field = format!("{path}.line");
    let cache_write = LineKind::class(TokenClass::CacheWrite);
    let line = match LineKind::token_line(name) {
        Some(line) => line,
        None if LineKind::is_unit_name(name) && name.len() <= LINE_BYTES_LIMIT => LineKind::Unit(name.to_owned()),
        None => {
            found.add(field, "must be a token line such as `input`, or a unit in lower case letters, digits and _");
            return None;
        }
    };
    let Some(lifetime) = lifetime else { return Some(line) };
    let seconds = u32::try_from(lifetime.as_secs()).ok().filter(|seconds| *seconds > 0 && lifetime.subsec_nanos() == 0);
    found.add_if(seconds.is_none(), format!("{path}.cache_ttl"), "must be a whole number of seconds above 0");
    found.add_if(line != cache_write, format!("{path}.cache_ttl"), "may be set only for the line `cache_write`");
    Some(LineKind::Class { class: TokenClass::CacheWrite, cache_ttl_seconds: seconds }).filter(|_| line == cache_write)
}

/// A price of either source for the wire.
pub fn to_price(price: ListedPrice<'_>) -> v1::Price {
    match price {
        ListedPrice::Tenant(price) => to_tenant_price(price),
        ListedPrice::Catalog(price) => to_catalog_price(&price),
    }
}

/// A price of the tenant for the wire.
pub fn to_tenant_price(price: &TenantPrice) -> v1::Price {
    let TenantPrice { price_id, terms, create_time } = price;
    let PriceTerms { target, coverage, rates, multiplier, start_time, end_time, note } = terms;
    v1::Price {
        price_id: price_id.to_string(),
        source: v1::price::Source::Tenant.into(),
        model: Some(to_model(target)),
        coverage: match coverage {
            Coverage::Model => v1::price::Coverage::Model,
            Coverage::Lines => v1::price::Coverage::Lines,
        }
        .into(),
        rates: rates.iter().map(to_tenant_rate).collect(),
        multiplier: factor(multiplier),
        start_time: Some(to_timestamp(*start_time)),
        end_time: end_time.map(to_timestamp),
        note: note.clone(),
        create_time: Some(to_timestamp(*create_time)),
        daily: String::new(),
    }
}

/// A price of the catalog for the wire. One of a tier or region replaces only the lines that it names.
pub fn to_catalog_price(price: &CatalogPrice<'_>) -> v1::Price {
    let CatalogPrice {
        provider_name,
        model,
        price_id,
        tier,
        region,
        from,
        until,
        daily,
        rates,
        multiplier,
        source,
        reason,
    } = price;
    let target = ModelRef {
        provider_name: (*provider_name).to_owned(),
        model: (*model).to_owned(),
        provider_tier: tier.unwrap_or_default().to_owned(),
        region: region.unwrap_or_default().to_owned(),
    };
    let coverage =
        if tier.is_none() && region.is_none() { v1::price::Coverage::Model } else { v1::price::Coverage::Lines };
    let note: Vec<&str> = [*reason, *source].into_iter().flatten().collect();
    v1::Price {
        price_id: (*price_id).to_owned(),
        source: v1::price::Source::Catalog.into(),
        model: Some(to_model(&target)),
        coverage: coverage.into(),
        rates: rates.iter().map(to_rate).collect(),
        multiplier: factor(multiplier),
        start_time: from.map(to_timestamp),
        end_time: until.map(to_timestamp),
        note: note.join(" — "),
        create_time: None,
        daily: daily.clone().unwrap_or_default(),
    }
}

fn factor(multiplier: &Option<Decimal>) -> String {
    multiplier.map(|multiplier| multiplier.normalize().to_string()).unwrap_or_default()
}

fn to_tenant_rate(rate: &TenantRate) -> v1::PriceRate {
    let TenantRate { line, usd, per, above_input_tokens, minimum } = rate;
    wire_rate(line, usd.to_string(), *per, *above_input_tokens, *minimum)
}

fn to_rate(rate: &Rate) -> v1::PriceRate {
    let Rate { line, price, above_input_tokens, minimum, price_id: _ } = rate;
    wire_rate(line, price.usd.normalize().to_string(), price.per, *above_input_tokens, *minimum)
}

fn wire_rate(
    line: &LineKind,
    usd: String,
    per: u32,
    above_input_tokens: Option<u64>,
    minimum: Option<Amount>,
) -> v1::PriceRate {
    let (line, lifetime) = match line {
        LineKind::Class { class: TokenClass::CacheWrite, cache_ttl_seconds: Some(seconds) } => {
            (LineKind::class(TokenClass::CacheWrite), Some(*seconds))
        }
        line => (line.clone(), None),
    };
    v1::PriceRate {
        line: line.name(),
        usd,
        per: i64::from(per),
        above_input_tokens: above_input_tokens.and_then(|above| i64::try_from(above).ok()).unwrap_or_default(),
        cache_ttl: lifetime.map(|seconds| to_duration(SignedDuration::from_secs(i64::from(seconds)))),
        minimum: minimum.map(|minimum| minimum.to_string()).unwrap_or_default(),
    }
}
