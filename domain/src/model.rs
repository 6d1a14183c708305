//! Which model ran, as the provider names it.

use serde::{Deserialize, Serialize};

/// A model at a provider, in a service tier and a region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelRef {
    /// OpenTelemetry `gen_ai.provider.name`, for example `openai`.
    pub provider_name: String,
    /// The provider's own model id, for example `gpt-4o-2024-08-06`.
    pub model: String,
    /// `standard`, `batch`, `flex`, `priority`, …; empty = standard.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider_tier: String,
    /// The provider's region; empty = not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
}

impl ModelRef {
    /// A model in the standard tier, region not said.
    pub fn new(provider_name: impl Into<String>, model: impl Into<String>) -> Self {
        Self { provider_name: provider_name.into(), model: model.into(), ..Self::default() }
    }

    /// Whether a budget's or rule's `pattern` names this model: its empty fields match anything.
    pub fn is_named_by(&self, pattern: &Self) -> bool {
        let agrees = |wanted: &str, actual: &str| wanted.is_empty() || wanted == actual;
        agrees(&pattern.provider_name, &self.provider_name)
            && agrees(&pattern.model, &self.model)
            && agrees(&pattern.provider_tier, &self.provider_tier)
            && agrees(&pattern.region, &self.region)
    }
}
