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
        Self {
            values: values(event, dimensions).map(|(dimension, value)| (dimension, value.to_owned())).collect(),
            request_model: event.request_model.clone(),
            response_model: event.response_model.clone(),
        }
    }

    /// The key of [`Self::of`], without making it.
    pub fn digest_of(event: &UsageEvent, dimensions: &Dimensions) -> Uuid {
        digest(values(event, dimensions), &event.request_model, event.response_model.as_ref())
    }

    /// The model that ran.
    pub fn model(&self) -> &ModelRef {
        self.response_model.as_ref().unwrap_or(&self.request_model)
    }

    /// Its key in the dictionary.
    pub fn digest(&self) -> Uuid {
        let values = self.values.iter().map(|(dimension, value)| (*dimension, value.as_str()));
        digest(values, &self.request_model, self.response_model.as_ref())
    }
}

/// The values of a shape, in the order of their dimensions: those of the call come last.
fn values<'a>(event: &'a UsageEvent, dimensions: &'a Dimensions) -> impl Iterator<Item = (Dimension, &'a str)> {
    let model = event.model();
    let call = [
        (Dimension::OperationName, event.operation_name.as_deref().unwrap_or_default()),
        (Dimension::ProviderName, model.provider_name.as_str()),
        (Dimension::Model, model.model.as_str()),
        (Dimension::ProviderTier, model.provider_tier.as_str()),
        (Dimension::Region, model.region.as_str()),
    ];
    let shaping = dimensions.values.iter().filter(|(dimension, _)| dimension.kind() == DimensionKind::Shape);
    shaping
        .map(|(dimension, value)| (*dimension, value.as_str()))
        .chain(call.into_iter().filter(|(_, value)| !value.is_empty()))
}

fn digest<'a>(
    values: impl Iterator<Item = (Dimension, &'a str)>,
    request_model: &ModelRef,
    response_model: Option<&ModelRef>,
) -> Uuid {
    let mut digester = Digester::new();
    for (dimension, value) in values {
        digester.field(dimension.code().to_be_bytes()).field(value);
    }
    for model in [Some(request_model), response_model] {
        digester.optional(model.map(|_| ""));
        for field in model.iter().flat_map(|m| [&m.provider_name, &m.model, &m.provider_tier, &m.region]) {
            digester.field(field);
        }
    }
    digester.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_same_whether_the_shape_is_made_or_not() {
        assert!(Dimension::ALL.is_sorted());
        let calls_last = |pair: &[Dimension]| match pair {
            [left, right] => left.kind() != DimensionKind::Call || right.kind() == DimensionKind::Call,
            _ => true,
        };
        assert!(Dimension::ALL.windows(2).all(calls_last));
    }
}
