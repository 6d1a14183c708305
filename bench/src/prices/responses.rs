//! Reads provider answers, sorts their usage into classes, prices it and compares.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_domain::extract::{Extraction, STANDARD_TIER, extract};
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Catalog, PriceState, price};

use super::classes::{self, Classes};
use super::oracle::conditions;
use super::tally::{Judged, Tally, Verdict};

/// A line of the file; what is not named here does not matter.
#[derive(Debug, Deserialize)]
struct ResponseLine {
    id: String,
    shape: String,
    provider: String,
    api: String,
    model: String,
    timestamp: Timestamp,
    /// An answer that came at once.
    #[serde(default)]
    body: Option<Box<RawValue>>,
    /// The events of a stream.
    #[serde(default)]
    events: Option<Box<RawValue>>,
    expected_usage: Classes,
    #[serde(default)]
    expected_context: BTreeMap<String, String>,
    expected_cost_usd: Option<String>,
    #[serde(default)]
    extra: Extra,
}

#[derive(Debug, Default, Deserialize)]
struct Extra {
    #[serde(default)]
    reported_cost_usd: Option<String>,
}

/// What the file gives for an API without a name of its own.
const NAMELESS: &str = "n/a";

/// Reads every line of `lines`.
pub(crate) fn compare(catalog: &Catalog, lines: &str) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for (number, text) in lines.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        tally.add(judge(catalog, text).with_context(|| format!("line {}", number + 1))?);
    }
    Ok(tally)
}

fn judge(catalog: &Catalog, text: &str) -> anyhow::Result<Judged> {
    let line: ResponseLine = serde_json::from_str(text)?;
    let flavor = if line.api == NAMELESS { "default" } else { &line.api };
    let json = line.body.as_ref().or(line.events.as_ref()).context("neither body nor events")?;
    let differences = match extract(&format!("{}.{flavor}", line.provider), json.get().as_bytes()) {
        Ok(extraction) => differences(catalog, &line, &extraction)?,
        Err(error) => vec![error.to_string()],
    };
    let verdict = match differences.is_empty() {
        true => Verdict::Matched,
        false => Verdict::Differing { difference: differences.join("; ") },
    };
    Ok(Judged { id: line.id, category: line.shape, subject: format!("{}/{}", line.provider, line.model), verdict })
}

fn differences(catalog: &Catalog, line: &ResponseLine, extraction: &Extraction) -> anyhow::Result<Vec<String>> {
    let mut differences = Vec::new();
    let found = classes::of(&extraction.usage, &extraction.units);
    let wanted: BTreeMap<String, String> =
        line.expected_usage.iter().map(|(name, count)| (name.clone(), count.to_string())).collect();
    if found != wanted {
        differences.push(format!("expected {wanted:?}, found {found:?}"));
    }
    let tier = extraction.provider_tier.clone().filter(|tier| tier != STANDARD_TIER).unwrap_or_default();
    let (wanted_tier, _) = conditions(&line.expected_context)?;
    if tier != wanted_tier && wanted_tier != "default" {
        differences.push(format!("expected the tier {wanted_tier:?}, found {tier:?}"));
    }
    let model = ModelRef {
        provider_tier: tier,
        region: extraction.region.clone().unwrap_or_default(),
        ..ModelRef::new(&*line.provider, &*line.model)
    };
    let sheet = catalog.find(&model, line.timestamp);
    let mut cost = price(Some(&extraction.usage), &extraction.units, sheet.as_deref())?;
    for part in &extraction.additional {
        let sheet = catalog.find(&ModelRef::new(&*line.provider, &*part.model), line.timestamp);
        cost.usd = cost.usd.plus(price(Some(&part.usage), &part.units, sheet.as_deref())?.usd)?;
    }
    let found = (cost.state != PriceState::Unpriced).then(|| cost.usd.to_string());
    if found != line.expected_cost_usd {
        differences.push(format!("expected {:?} USD, found {found:?}", line.expected_cost_usd));
    }
    let reported = extraction.reported_cost.map(|usd| usd.to_string());
    if line.extra.reported_cost_usd.is_some() && reported != line.extra.reported_cost_usd {
        differences.push(format!("expected a reported cost of {:?}, found {reported:?}", line.extra.reported_cost_usd));
    }
    Ok(differences)
}
