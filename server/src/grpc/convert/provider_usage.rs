//! A provider's own usage object.

use std::fmt::Display;

use tollgate_domain::digest::Digester;
use tollgate_domain::event::UsageEvent;
use tollgate_domain::extract::{ExtractError, Extraction, Served, extract};
use tollgate_domain::price::UnitCount;
use tollgate_domain::tokens::TokenUsage;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use uuid::Uuid;

use super::tokens::UNITS_LIMIT;
use crate::app::prices::Exact;

const API_BYTES_LIMIT: usize = 64;
const JSON_BYTES_LIMIT: usize = 16 << 10;
/// Most other models that one answer may be billed as: each has a price sheet of its own.
const OTHERS_LIMIT: usize = 8;
/// The currency of what providers report beside the usage.
const REPORTED_CURRENCY: &str = "USD";

/// What a provider reported, with the API that was named.
#[derive(Debug)]
pub struct Reported {
    api: String,
    json: Vec<u8>,
    extraction: Extraction,
}

/// Reads the provider's object.
pub fn provider_usage(
    found: &mut Violations,
    path: impl Display + Copy,
    message: v1::ProviderUsage,
) -> Option<Reported> {
    let v1::ProviderUsage { api, json } = message;
    let length = api.len();
    let named = (1..=API_BYTES_LIMIT).contains(&length);
    found.add_if(!named, format_args!("{path}.api"), format_args!("must have 1 to {API_BYTES_LIMIT} bytes"));
    let too_long = json.len() > JSON_BYTES_LIMIT;
    let rule = format_args!("must have at most {JSON_BYTES_LIMIT} bytes: send the usage object alone");
    found.add_if(too_long, format_args!("{path}.json"), rule);
    if !named || too_long {
        return None;
    }
    match extract(&api, &json) {
        Ok(extraction) => Some(Reported { api, json, extraction }),
        Err(error) => {
            let field = if matches!(error, ExtractError::UnknownApi { .. }) { "api" } else { "json" };
            found.add(format_args!("{path}.{field}"), error);
            None
        }
    }
}

impl Reported {
    /// What it prices, with the units that the caller counted.
    pub fn exact(self, caller: Vec<UnitCount>) -> Exact {
        let (usage, units) = self.counts(caller);
        let served = Served::of(&self.api, &self.extraction);
        Exact { usage: Some(usage), units, additional: self.extraction.additional, served: Some(served) }
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
    pub(super) fn fill(self, found: &mut Violations, path: impl Display + Copy, event: &mut UsageEvent) {
        event.told = Some(self.told(event));
        let (usage, units) = self.counts(std::mem::take(&mut event.units));
        let others = self.extraction.additional.len();
        found.add_if(others > OTHERS_LIMIT, path, format_args!("bills more than {OTHERS_LIMIT} other models"));
        found.add_if(units.len() > UNITS_LIMIT, path, format_args!("makes more than {UNITS_LIMIT} units"));
        event.usage = Some(usage);
        event.units = units;
        event.response_model =
            Served::of(&self.api, &self.extraction).answered(&event.request_model, event.response_model.as_ref());
        event.response_id = event.response_id.take().or(self.extraction.response_id);
        event.additional = self.extraction.additional;
        event.usage_api = Some(self.api);
        if event.reported_cost.is_none() {
            event.reported_cost = self.extraction.reported_cost;
            event.reported_currency = event.reported_cost.map(|_| REPORTED_CURRENCY.to_owned());
        }
    }

    /// Digest of what the caller told: its own words and the provider's bytes.
    fn told(&self, event: &UsageEvent) -> Uuid {
        let mut digester = Digester::new();
        digester.field(event.fingerprint().as_bytes()).field(self.api.to_ascii_lowercase()).field(&self.json);
        digester.finish()
    }
}
