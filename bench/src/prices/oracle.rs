//! Prices the lines of an oracle and compares.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;
use tollgate_domain::amount::SCALE;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Catalog, Cost, PriceState, price};

use super::classes::{self, Classes};
use super::tally::{Judged, Tally, Verdict};

/// A line of the file; what is not named here does not matter.
#[derive(Debug, Deserialize)]
struct OracleLine {
    id: String,
    category: String,
    provider: String,
    model: String,
    timestamp: Timestamp,
    #[serde(default)]
    context: BTreeMap<String, String>,
    usage: Classes,
    expected: Expected,
    #[serde(default)]
    contested: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Expected {
    Priced { cost_usd: String },
    Unknown {},
}

/// Prices every line of `lines`.
pub(crate) fn compare(catalog: &Catalog, lines: &str) -> anyhow::Result<Tally> {
    let reasons: HashMap<&str, &str> =
        catalog.prices().filter_map(|price| Some((price.price_id, price.reason?))).collect();
    let mut tally = Tally::default();
    for (number, text) in lines.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let judged = judge(catalog, &reasons, text).with_context(|| format!("line {}", number + 1))?;
        tally.add(judged);
    }
    Ok(tally)
}

fn judge(catalog: &Catalog, reasons: &HashMap<&str, &str>, text: &str) -> anyhow::Result<Judged> {
    let line: OracleLine = serde_json::from_str(text)?;
    let cost = cost(catalog, &line)?;
    let verdict = match difference(&line.expected, &cost)? {
        None => Verdict::Matched,
        Some(difference) => {
            let reason = cost.lines.iter().find_map(|line| reasons.get(line.price_id.as_str()));
            match (reason, &line.contested) {
                (Some(reason), Some(_)) => Verdict::Decided { difference, reason: (*reason).to_owned() },
                _ => Verdict::Differing { difference },
            }
        }
    };
    let subject = format!("{}/{} at {}", line.provider, line.model, line.timestamp);
    Ok(Judged { id: line.id, category: line.category, subject, verdict })
}

fn cost(catalog: &Catalog, line: &OracleLine) -> anyhow::Result<Cost> {
    let (usage, units) = classes::usage(&line.usage)?;
    let (provider_tier, region) = conditions(&line.context)?;
    let model = ModelRef { provider_tier, region, ..ModelRef::new(&*line.provider, &*line.model) };
    let sheet = catalog.find(&model, line.timestamp);
    Ok(price(Some(&usage), &units, sheet.as_deref())?)
}

/// The service tier and the region of a request's context.
pub(crate) fn conditions(context: &BTreeMap<String, String>) -> anyhow::Result<(String, String)> {
    let (mut tiers, mut region) = (Vec::new(), String::new());
    for (key, value) in context {
        match key.as_str() {
            "service_tier" | "processing" | "speed" => tiers.push(value.clone()),
            "search_type" => tiers.push(format!("search_{value}")),
            "route" => region = value.rsplit('/').next().unwrap_or_default().to_owned(),
            _ => anyhow::bail!("the context {key:?} is not known"),
        }
    }
    Ok((tiers.join("+"), region))
}

/// How the cost differs from what is expected, as text.
fn difference(expected: &Expected, cost: &Cost) -> anyhow::Result<Option<String>> {
    let found = match cost.state {
        PriceState::Unpriced => "unpriced".to_owned(),
        state => format!("{} USD, {state:?}", cost.usd),
    };
    Ok(match expected {
        Expected::Unknown {} if cost.state == PriceState::Unpriced => None,
        Expected::Unknown {} => Some(format!("expected unpriced, found {found}")),
        Expected::Priced { cost_usd } => {
            let wanted = Decimal::from_str_exact(cost_usd).or_else(|_| cost_usd.parse::<Decimal>())?;
            let equal = cost.state != PriceState::Unpriced && equals(wanted, cost);
            (!equal).then(|| format!("expected {cost_usd} USD, found {found}"))
        }
    })
}

/// Whether the cost is `wanted` to the last digit that it keeps. An oracle that does not round is up to half a
/// picodollar a line away from costs that are rounded line by line.
fn equals(wanted: Decimal, cost: &Cost) -> bool {
    let rounded = wanted.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointNearestEven);
    if rounded == cost.usd.decimal() {
        return true;
    }
    let lines = i64::try_from(cost.lines.len()).unwrap_or(i64::MAX);
    let slack = Decimal::new(lines, SCALE) / Decimal::TWO;
    wanted.normalize().scale() > SCALE && (wanted - cost.usd.decimal()).abs() <= slack
}
