//! A shape: the dimensions with few values and the models of a call, interned once, referred to by number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_domain::digest::Digester;
use tollgate_domain::dimensions::{Dimension, DimensionKind, Dimensions};
use tollgate_domain::event::UsageEvent;
use tollgate_domain::model::ModelRef;
use uuid::Uuid;

/// What stands for the values that a dimension has no room for (contract, decision 9).
pub const OTHER: &str = "__other__";
/// The label under which an event keeps its exact shape where it counts under another one. No caller can write it: the keys of
/// labels are not empty.
pub const EXACT_LABEL: &str = "";

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

    /// Every value that it holds, those of the models included; empty ones left out.
    pub fn texts(&self) -> impl Iterator<Item = (Dimension, &str)> {
        let models = std::iter::once(&self.request_model).chain(&self.response_model).flat_map(|model| {
            [
                (Dimension::ProviderName, model.provider_name.as_str()),
                (Dimension::Model, model.model.as_str()),
                (Dimension::ProviderTier, model.provider_tier.as_str()),
                (Dimension::Region, model.region.as_str()),
            ]
        });
        let values = self.values.iter().map(|(dimension, value)| (*dimension, value.as_str()));
        values.chain(models).filter(|(_, value)| !value.is_empty())
    }

    /// The same with [`OTHER`] in place of each value that is not kept.
    pub fn keeping(&self, is_kept: impl Fn(Dimension, &str) -> bool) -> Self {
        let kept = |dimension: Dimension, value: &str| {
            let value = if value.is_empty() || is_kept(dimension, value) { value } else { OTHER };
            value.to_owned()
        };
        let model = |model: &ModelRef| ModelRef {
            provider_name: kept(Dimension::ProviderName, &model.provider_name),
            model: kept(Dimension::Model, &model.model),
            provider_tier: kept(Dimension::ProviderTier, &model.provider_tier),
            region: kept(Dimension::Region, &model.region),
        };
        Self {
            values: self.values.iter().map(|(dimension, value)| (*dimension, kept(*dimension, value))).collect(),
            request_model: model(&self.request_model),
            response_model: self.response_model.as_ref().map(model),
        }
    }

    /// The shape of everything that ran on its model, where there is no room to tell more.
    pub fn by_model(&self) -> Self {
        let ModelRef { provider_name, model, .. } = self.model();
        Self::of_all(provider_name, model)
    }

    /// The shape of everything for which there is no room at all.
    pub fn other() -> Self {
        Self::of_all(OTHER, OTHER)
    }

    fn of_all(provider_name: &str, model: &str) -> Self {
        let value = |dimension: Dimension| match dimension {
            Dimension::ProviderName => provider_name,
            Dimension::Model => model,
            _ => OTHER,
        };
        let in_shape = Dimension::ALL.iter().filter(|dimension| dimension.is_in_shape());
        let values = in_shape.map(|dimension| (*dimension, value(*dimension).to_owned()));
        let request_model = ModelRef {
            provider_name: provider_name.to_owned(),
            model: model.to_owned(),
            provider_tier: OTHER.to_owned(),
            region: OTHER.to_owned(),
        };
        Self { values: values.filter(|(_, value)| !value.is_empty()).collect(), request_model, response_model: None }
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

    #[test]
    fn what_is_not_kept_becomes_other_everywhere() {
        let shape = Shape {
            values: BTreeMap::from([
                (Dimension::AgentName, "planner".to_owned()),
                (Dimension::TaskName, "made up".to_owned()),
                (Dimension::Model, "made up".to_owned()),
            ]),
            request_model: ModelRef::new("openai", "made up"),
            response_model: None,
        };
        let folded = shape.keeping(|_, value| value != "made up");
        assert_eq!(folded.values.get(&Dimension::AgentName).unwrap(), "planner");
        assert_eq!(folded.values.get(&Dimension::TaskName).unwrap(), OTHER);
        assert_eq!(folded.model(), &ModelRef::new("openai", OTHER));
        assert_eq!(folded.keeping(|_, _| true), folded);
        assert_eq!(shape.by_model().model().model, "made up");
        assert_eq!(Shape::other().by_model(), Shape::other());
    }
}
