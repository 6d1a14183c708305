//! A shape: the dimensions with few values and the models of a call, interned once, referred to by number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_domain::digest::Digester;
use tollgate_domain::dimensions::{Dimension, DimensionKind, Dimensions};
use tollgate_domain::event::UsageEvent;
use tollgate_domain::model::ModelRef;
use uuid::Uuid;

/// What a shape holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Values of the dimensions with few values, call keys included.
    pub values: BTreeMap<Dimension, String>,
    /// The model asked for.
    pub request_model: ModelRef,
    /// The model that answered, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_model: Option<ModelRef>,
}

impl Shape {
    /// The shape of an event with these dimensions.
    pub fn of(event: &UsageEvent, dimensions: &Dimensions) -> Self {
        let mut values: BTreeMap<Dimension, String> = dimensions
            .values
            .iter()
            .filter(|(dimension, _)| dimension.kind() == DimensionKind::Shape)
            .map(|(dimension, value)| (*dimension, value.clone()))
            .collect();
        let model = event.model();
        let call = [
            (Dimension::OperationName, event.operation_name.as_deref().unwrap_or_default()),
            (Dimension::ProviderName, &model.provider_name),
            (Dimension::Model, &model.model),
            (Dimension::ProviderTier, &model.provider_tier),
            (Dimension::Region, &model.region),
        ];
        for (dimension, value) in call {
            if !value.is_empty() {
                values.insert(dimension, value.to_owned());
            }
        }
        Self { values, request_model: event.request_model.clone(), response_model: event.response_model.clone() }
    }

    /// The model that ran.
    pub fn model(&self) -> &ModelRef {
        self.response_model.as_ref().unwrap_or(&self.request_model)
    }

    /// Its key in the dictionary.
    pub fn digest(&self) -> Uuid {
        let mut digester = Digester::new();
        for (dimension, value) in &self.values {
            digester.field(dimension.code().to_be_bytes()).field(value);
        }
        for model in [Some(&self.request_model), self.response_model.as_ref()] {
            digester.optional(model.map(|_| ""));
            for field in model.iter().flat_map(|m| [&m.provider_name, &m.model, &m.provider_tier, &m.region]) {
                digester.field(field);
            }
        }
        digester.finish()
    }
}
