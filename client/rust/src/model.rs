//! A model as its provider names it.

use tollgate_proto::v1;

/// A model as its provider names it, for example `Model::new("openai", "gpt-4o")`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a model does nothing until it is put into an event or a check"]
pub struct Model {
    message: v1::ModelRef,
}

impl Model {
    /// A model of a provider, both in the spelling of the OpenTelemetry GenAI conventions and of the provider.
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self { message: v1::ModelRef { provider_name: provider.into(), model: model.into(), ..Default::default() } }
    }

    /// The service tier that decides the price, for example `batch` or `priority`. Unset means `standard`.
    pub fn tier(mut self, tier: impl Into<String>) -> Self {
        self.message.provider_tier = tier.into();
        self
    }

    /// The region where it changes the price. Unset means the provider's global price.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.message.region = region.into();
        self
    }
}

impl From<Model> for v1::ModelRef {
    fn from(model: Model) -> Self {
        model.message
    }
}

impl From<(&str, &str)> for Model {
    fn from((provider, model): (&str, &str)) -> Self {
        Self::new(provider, model)
    }
}
