//! A provider's own usage object.

use tollgate_domain::amount::Usd;
use tollgate_domain::event::UsageEvent;
use tollgate_domain::extract::{ExtractError, Extraction, extract};
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::UnitCount;
use tollgate_domain::tokens::TokenUsage;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;

use super::tokens::UNITS_LIMIT;
use crate::app::prices::Exact;

const API_BYTES_LIMIT: usize = 64;
const JSON_BYTES_LIMIT: usize = 16 << 10;
/// The currency of what providers report beside the usage.
const REPORTED_CURRENCY: &str = "USD";

/// What a provider reported, with the API that was named.
#[derive(Debug)]
pub struct Reported {
    api: String,
    extraction: Extraction,
}

/// Reads the provider's object.
pub fn provider_usage(found: &mut Violations, path: &str, message: v1::ProviderUsage) -> Option<Reported> {
    let v1::ProviderUsage { api, json } = message;
    let length = api.len();
    let named = (1..=API_BYTES_LIMIT).contains(&length);
    found.add_if(!named, format!("{path}.api"), format!("must have 1 to {API_BYTES_LIMIT} bytes"));
    let too_long = json.len() > JSON_BYTES_LIMIT;
    let rule = format!("must have at most {JSON_BYTES_LIMIT} bytes: send the usage object alone");
    found.add_if(too_long, format!("{path}.json"), rule);
    if !named || too_long {
        return None;
    }
    match extract(&api, &json) {
        Ok(extraction) => Some(Reported { api, extraction }),
        Err(error) => {
            let field = if matches!(error, ExtractError::UnknownApi { .. }) { "api" } else { "json" };
            found.add(format!("{path}.{field}"), error.to_string());
            None
        }
    }
}

impl Reported {
    /// What it prices, with the units that the caller counted.
    pub fn exact(self, caller: Vec<UnitCount>) -> Exact {
        let (usage, units) = self.counts(caller);
        let Extraction { provider_tier, region, additional, .. } = self.extraction;
        Exact { usage: Some(usage), units, additional, provider_tier, region }
    }

    /// The counts, those of other models included, and the units with those that the caller counted: what the caller says
    /// of a unit stands.
    fn counts(&self, caller: Vec<UnitCount>) -> (TokenUsage, Vec<UnitCount>) {
        let parts = &self.extraction.additional;
        let usage = parts.iter().fold(self.extraction.usage.clone(), |sum, part| sum.with(&part.usage));
        let mut units = caller;
        for count in &self.extraction.units {
            if !units.iter().any(|said| said.unit == count.unit) {
                units.push(count.clone());
            }
        }
        (usage, units)
    }

    /// Puts into `event` what the provider reported and the caller did not say.
    pub(super) fn fill(self, found: &mut Violations, path: &str, event: &mut UsageEvent) {
        let (usage, units) = self.counts(std::mem::take(&mut event.units));
        found.add_if(units.len() > UNITS_LIMIT, path, format!("makes more than {UNITS_LIMIT} units"));
        event.usage = Some(usage);
        event.units = units;
        let Self { api, extraction } = self;
        let Extraction { model, response_id, provider_tier, region, usage: _, units: _, additional, reported_cost } =
            extraction;
        event.response_model = answering(event, model, provider_tier, region);
        event.response_id = event.response_id.take().or(response_id);
        event.additional = additional;
        event.usage_api = Some(api);
        if event.reported_cost.is_none() {
            event.reported_cost = reported_cost;
            event.reported_currency = reported_cost.map(|_: Usd| REPORTED_CURRENCY.to_owned());
        }
    }
}

/// The model that answered, as far as the caller or the provider says: the tier and the region in which it was served
/// decide its price.
fn answering(
    event: &UsageEvent,
    model: Option<String>,
    provider_tier: Option<String>,
    region: Option<String>,
) -> Option<ModelRef> {
    let said = event.response_model.clone();
    if said.is_none() && model.is_none() && provider_tier.is_none() && region.is_none() {
        return None;
    }
    let asked = &event.request_model;
    let known = said.unwrap_or_else(|| ModelRef {
        model: model.unwrap_or_else(|| asked.model.clone()),
        provider_tier: String::new(),
        region: String::new(),
        ..asked.clone()
    });
    let filled = |known: String, reported: Option<String>, asked: &str| {
        if known.is_empty() { reported.unwrap_or_else(|| asked.to_owned()) } else { known }
    };
    Some(ModelRef {
        provider_tier: filled(known.provider_tier, provider_tier, &asked.provider_tier),
        region: filled(known.region, region, &asked.region),
        ..known
    })
}
