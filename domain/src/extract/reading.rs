//! What a family's rules read from one usage object.

use super::STANDARD_TIER;
use super::counts::Counts;
use super::error::ExtractError;
use super::units::Units;
use super::{Extraction, ModelUsage};
use crate::amount::Usd;

/// The findings before they are put into the shape that leaves this room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Tokens.
    pub counts: Counts,
    /// What else was used.
    pub units: Units,
    /// What other models did.
    pub additional: Vec<ModelUsage>,
    /// The provider's own cost.
    pub reported_cost: Option<Usd>,
    /// The tier, where the usage object names it.
    pub provider_tier: Option<String>,
    /// The region, where the usage object names it.
    pub region: Option<String>,
}

impl Reading {
    /// Whether the usage object said nothing that is known.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.units.is_empty() && self.additional.is_empty() && self.reported_cost.is_none()
    }

    /// Adds what another answer of the same session used.
    pub(super) fn add(&mut self, other: Self) -> Result<(), ExtractError> {
        let Self { counts, units, additional, reported_cost, provider_tier, region } = other;
        self.counts.add_all(&counts);
        self.units.add_all(units)?;
        self.additional.extend(additional);
        self.reported_cost = match (self.reported_cost, reported_cost) {
            (Some(one), Some(two)) => one.plus(two).ok(),
            (one, two) => one.or(two),
        };
        self.provider_tier = provider_tier.or(self.provider_tier.take());
        self.region = region.or(self.region.take());
        Ok(())
    }

    /// The extraction, with what the answer says around its usage.
    pub(super) fn into_extraction(
        self,
        model: Option<String>,
        response_id: Option<String>,
        service_tier: Option<String>,
    ) -> Result<Extraction, ExtractError> {
        Ok(Extraction {
            model,
            response_id,
            provider_tier: self.provider_tier.or(service_tier).and_then(|tier| named_tier(&tier)),
            region: self.region,
            usage: self.counts.into_usage()?,
            units: self.units.into_counts(),
            additional: self.additional,
            reported_cost: self.reported_cost,
        })
    }
}

/// The tier in lower case, [`STANDARD_TIER`] under whichever of its names; absent where the provider says nothing of it.
fn named_tier(tier: &str) -> Option<String> {
    let tier = tier.to_ascii_lowercase();
    let tier = tier.strip_prefix("service_tier_").unwrap_or(&tier);
    let tier = tier.strip_prefix("on_demand_").unwrap_or(tier);
    match tier {
        "" | "auto" | "unspecified" | "traffic_type_unspecified" => None,
        "default" | "standard" | "on_demand" => Some(STANDARD_TIER.to_owned()),
        other => Some(other.to_owned()),
    }
}
