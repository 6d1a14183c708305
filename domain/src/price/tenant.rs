//! Prices that a tenant sets over the catalog's.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::line::LineKind;
use super::sheet::Rate;
use super::unit_price::UnitPrice;
use crate::amount::{Amount, Usd};
use crate::model::ModelRef;
use crate::violation::{Violation, Violations};

/// Most rates of one price.
pub const RATES_LIMIT: usize = 64;
/// Highest price of `per` units, in US dollars: with a factor and a count of tokens it never outgrows a product.
pub const RATE_USD_LIMIT: u32 = 1_000_000;
/// Most units that one rate is for.
pub const RATE_PER_LIMIT: u32 = 1_000_000_000;
/// Largest factor.
pub const MULTIPLIER_LIMIT: u32 = 1_000;
/// Most decimals of a factor.
pub const MULTIPLIER_DECIMALS: u32 = 6;
/// Longest note, in bytes.
pub const NOTE_BYTES_LIMIT: usize = 512;
/// Stands at the end of a model's name for any rest.
pub(super) const ANY_REST: char = '*';

/// How much of what lies below a price it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// The whole model: a line that is not listed has no price.
    Model,
    /// Only the lines that are listed.
    Lines,
}

/// What a tenant pays for one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TenantRate {
    /// What it prices.
    pub line: LineKind,
    /// US dollars for `per` tokens or units.
    pub usd: Usd,
    /// How many tokens or units that buys, at least 1.
    pub per: u32,
    /// For calls with more input tokens than this; absent = for calls of any size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_input_tokens: Option<u64>,
    /// What a smaller quantity above zero is billed as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Amount>,
}

/// What a tenant sets: for which model, how much of it, from when until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceTerms {
    /// What is priced. A model that ends with `*` stands for all that begin so; an empty tier or region for any.
    pub target: ModelRef,
    /// How much it replaces.
    pub coverage: Coverage,
    /// What the lines cost.
    pub rates: Vec<TenantRate>,
    /// Factor on every line of the model after everything else; absent = none.
    pub multiplier: Option<Decimal>,
    /// Calls that start then or later are priced so.
    pub start_time: Timestamp,
    /// Calls that start then or later are not; absent = for ever.
    pub end_time: Option<Timestamp>,
    /// Where it was read, or with whom it was agreed.
    pub note: String,
}

/// A price that a tenant has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantPrice {
    /// Names it for ever.
    pub price_id: Uuid,
    /// What was set.
    pub terms: PriceTerms,
    /// When it was set.
    pub create_time: Timestamp,
}

impl PriceTerms {
    /// Checks every rule of a price.
    ///
    /// # Errors
    /// Every violation, with field paths below `path`.
    pub fn validated(self, path: &str) -> Result<Self, Vec<Violation>> {
        let mut found = Violations::new();
        self.check_target(&mut found, path);
        self.check_rates(&mut found, path);
        if let Some(multiplier) = self.multiplier {
            let field = format!("{path}.multiplier");
            let rule = format!("must have at most {MULTIPLIER_DECIMALS} decimals");
            found.add_if(multiplier.normalize().scale() > MULTIPLIER_DECIMALS, field.as_str(), rule);
            let outside = multiplier < Decimal::ZERO || multiplier > Decimal::from(MULTIPLIER_LIMIT);
            found.add_if(outside, field, format!("must be between 0 and {MULTIPLIER_LIMIT}"));
        }
        let ends_early = self.end_time.is_some_and(|end| end <= self.start_time);
        found.add_if(ends_early, format!("{path}.end_time"), "must lie after start_time");
        let long = self.note.len() > NOTE_BYTES_LIMIT;
        found.add_if(long, format!("{path}.note"), format!("must have at most {NOTE_BYTES_LIMIT} bytes"));
        found.into_result(self)
    }

    fn check_target(&self, found: &mut Violations, path: &str) {
        let ModelRef { provider_name, model, provider_tier, region } = &self.target;
        let field = |name: &str| format!("{path}.model.{name}");
        found.add_if(provider_name.trim().is_empty(), field("provider_name"), "must be set");
        found.add_if(model.trim().is_empty(), field("model"), "must be set; `*` stands for every model");
        for (name, text) in [("provider_name", provider_name), ("provider_tier", provider_tier), ("region", region)] {
            found.add_if(text.contains(ANY_REST), field(name), "must not have a `*`: leave it unset to match any");
        }
        let inside = model.strip_suffix(ANY_REST).unwrap_or(model).contains(ANY_REST);
        found.add_if(inside, field("model"), "may have a `*` only at its end");
    }

    fn check_rates(&self, found: &mut Violations, path: &str) {
        let path = format!("{path}.rates");
        let only_factor = self.multiplier.is_some() && self.coverage == Coverage::Lines;
        found.add_if(
            self.rates.is_empty() && !only_factor,
            path.as_str(),
            "must have at least one entry, unless a multiplier is set and the coverage is LINES",
        );
        found.add_if(self.rates.len() > RATES_LIMIT, path.as_str(), format!("must have at most {RATES_LIMIT} entries"));
        for (position, rate) in self.rates.iter().enumerate() {
            let field = |name: &str| format!("{path}[{position}].{name}");
            let usd = rate.usd.decimal();
            let outside = usd < Decimal::ZERO || usd > Decimal::from(RATE_USD_LIMIT);
            found.add_if(outside, field("usd"), format!("must be between 0 and {RATE_USD_LIMIT}"));
            let outside = !(1..=RATE_PER_LIMIT).contains(&rate.per);
            found.add_if(outside, field("per"), format!("must be between 1 and {RATE_PER_LIMIT}"));
            let negative = rate.minimum.is_some_and(Amount::is_negative);
            found.add_if(negative, field("minimum"), "must not be negative");
            let earlier = self.rates.iter().take(position);
            let repeated = earlier
                .filter(|other| other.line == rate.line && other.above_input_tokens == rate.above_input_tokens)
                .count();
            found.add_if(repeated > 0, field("line"), "repeats a line with the same above_input_tokens");
            let has_base = self.rates.iter().any(|other| other.line == rate.line && other.above_input_tokens.is_none());
            found.add_if(!has_base, field("above_input_tokens"), "needs a rate of the line for smaller calls, too");
        }
    }

    /// The lines that it names.
    pub fn lines(&self) -> BTreeSet<&LineKind> {
        self.rates.iter().map(|rate| &rate.line).collect()
    }

    /// Whether calls that start at `at` are priced so.
    pub fn is_in_force(&self, at: Timestamp) -> bool {
        self.start_time <= at && self.end_time.is_none_or(|end| at < end)
    }

    /// Whether it stands over the same as `other`: the same model, tier and region, the same coverage and, where only
    /// lines are covered, the same lines.
    pub fn covers_same(&self, other: &Self) -> bool {
        let same = |left: &str, right: &str| left.to_lowercase() == right.to_lowercase();
        let lines = || self.coverage == Coverage::Model || self.lines() == other.lines();
        same(&self.target.provider_name, &other.target.provider_name)
            && same(&self.target.model, &other.target.model)
            && same(&self.target.provider_tier, &other.target.provider_tier)
            && same(&self.target.region, &other.target.region)
            && self.coverage == other.coverage
            && lines()
    }

    /// Whether it ends `other` at its own start: both cover the same, and `other` would still hold then, but not longer
    /// than this one does. A price for a while lets what lies below it come back.
    pub fn supersedes(&self, other: &Self) -> bool {
        let holds = other.start_time <= self.start_time && other.end_time.is_none_or(|end| end > self.start_time);
        let outlasts = match (self.end_time, other.end_time) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(own), Some(end)) => end > own,
        };
        holds && !outlasts && self.covers_same(other)
    }

    /// Whether setting it would change nothing while `other` is in force: it holds at least as long, for the same money.
    pub fn is_said_by(&self, other: &Self) -> bool {
        let Self { target, coverage, rates, multiplier, start_time, end_time, note: _ } = self;
        other.start_time <= *start_time
            && other.end_time == *end_time
            && (target, coverage, rates, multiplier)
                == (&other.target, &other.coverage, &other.rates, &other.multiplier)
    }

    /// Whether a call can meet both.
    pub fn may_meet(&self, other: &Self) -> bool {
        let texts = |left: &str, right: &str| (left.to_lowercase(), right.to_lowercase());
        let (provider, other_provider) = texts(&self.target.provider_name, &other.target.provider_name);
        let (model, other_model) = texts(&self.target.model, &other.target.model);
        let covers = |pattern: &str, model: &str| match pattern.strip_suffix(ANY_REST) {
            Some(prefix) => model.starts_with(prefix),
            None => model == pattern,
        };
        let begins_before_end = |left: &Self, right: &Self| left.end_time.is_none_or(|end| right.start_time < end);
        provider == other_provider
            && (covers(&model, &other_model) || covers(&other_model, &model))
            && begins_before_end(self, other)
            && begins_before_end(other, self)
    }
}

impl TenantPrice {
    /// Its rates, as a sheet has them.
    pub(super) fn sheet_rates(&self) -> impl Iterator<Item = Rate> + '_ {
        self.terms.rates.iter().map(|rate| Rate {
            line: rate.line.clone(),
            price: UnitPrice { usd: rate.usd.decimal().normalize(), per: rate.per },
            above_input_tokens: rate.above_input_tokens,
            minimum: rate.minimum,
            price_id: self.price_id.to_string(),
        })
    }
}

#[cfg(test)]
mod tests;
