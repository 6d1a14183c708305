//! Building budgets and the conditions they select by.

use rust_decimal::Decimal;
use tollgate_proto::v1::{self, Action, Basis, Unit};

use crate::model::Model;
use crate::window::Window;

/// Names a dimension: a field of [`v1::Dimensions`] such as `user_id`, or `api_key_id`.
pub fn dimension(name: impl Into<String>) -> v1::DimensionKey {
    v1::DimensionKey { name: name.into(), label: String::new() }
}

/// Names a label.
pub fn label(name: impl Into<String>) -> v1::DimensionKey {
    v1::DimensionKey { name: "label".to_owned(), label: name.into() }
}

/// A condition that holds if a dimension has one of some values.
pub fn is_one_of<V: Into<String>>(key: v1::DimensionKey, values: impl IntoIterator<Item = V>) -> v1::DimensionMatch {
    v1::DimensionMatch {
        key: Some(key),
        values: values.into_iter().map(Into::into).collect(),
        absent: false,
        negate: false,
    }
}

/// A condition that holds if a dimension is absent, which is not the same as any value.
pub fn is_absent(key: v1::DimensionKey) -> v1::DimensionMatch {
    v1::DimensionMatch { key: Some(key), values: Vec::new(), absent: true, negate: false }
}

/// A limit on what matching calls may use within a window. Without rules it only counts.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a budget does nothing until it is created"]
pub struct BudgetBuilder {
    message: v1::Budget,
}

impl BudgetBuilder {
    /// A budget in USD.
    pub fn usd(budget_id: impl Into<String>, limit: impl Into<Decimal>, window: Window) -> Self {
        Self::new(budget_id, Unit::Usd, limit, window)
    }

    /// A budget in tokens of both sides.
    pub fn tokens(budget_id: impl Into<String>, limit: u64, window: Window) -> Self {
        Self::new(budget_id, Unit::Tokens, limit, window)
    }

    /// A budget of any unit. The limit must be whole unless the unit is USD.
    pub fn new(budget_id: impl Into<String>, unit: Unit, limit: impl Into<Decimal>, window: Window) -> Self {
        Self {
            message: v1::Budget {
                budget_id: budget_id.into(),
                unit: unit.into(),
                limit: limit.into().to_string(),
                window: Some(window.into()),
                ..Default::default()
            },
        }
    }

    /// A name for people.
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.message.display_name = name.into();
        self
    }

    /// Counts only calls for which the condition, besides those set before, holds.
    pub fn only(mut self, condition: v1::DimensionMatch) -> Self {
        self.message.selector.push(condition);
        self
    }

    /// Counts only calls of this model, besides those named before.
    pub fn model(mut self, model: impl Into<Model>) -> Self {
        self.message.models.push(model.into().into());
        self
    }

    /// Keeps one counter per value of this dimension, for example `dimension("user_id")`. At most 3.
    pub fn per(mut self, key: v1::DimensionKey) -> Self {
        self.message.per.push(key);
        self
    }

    /// Refuses what would go over the limit.
    pub fn hard(self) -> Self {
        self.rule(Action::Block, Decimal::ONE, Vec::new())
    }

    /// Raises an alert from this share of the limit on, for example 0.8.
    pub fn alert_at(self, fraction: Decimal) -> Self {
        self.rule(Action::Alert, fraction, Vec::new())
    }

    /// Refuses calls from this share of the limit on.
    pub fn block_at(self, fraction: Decimal) -> Self {
        self.rule(Action::Block, fraction, Vec::new())
    }

    /// Asks callers to wait for the next window from this share of the limit on. Only for windows of at most a day.
    pub fn throttle_at(self, fraction: Decimal) -> Self {
        self.rule(Action::Throttle, fraction, Vec::new())
    }

    /// Lets calls go on with one of these models, best first, from this share of the limit on.
    pub fn downgrade_at<M: Into<Model>>(self, fraction: Decimal, models: impl IntoIterator<Item = M>) -> Self {
        self.rule(Action::Downgrade, fraction, models.into_iter().map(|model| model.into().into()).collect())
    }

    /// Decides and reports, and refuses nothing.
    pub fn shadow(mut self) -> Self {
        self.message.mode = v1::budget::Mode::Shadow.into();
        self
    }

    /// Changes the message for what has no method here.
    pub fn with(mut self, change: impl FnOnce(&mut v1::Budget)) -> Self {
        change(&mut self.message);
        self
    }

    fn rule(mut self, action: Action, fraction: Decimal, downgrade_to: Vec<v1::ModelRef>) -> Self {
        self.message.rules.push(v1::Rule {
            at_fraction: fraction.to_string(),
            basis: Basis::Unspecified.into(),
            action: action.into(),
            downgrade_to,
        });
        self
    }
}

impl From<BudgetBuilder> for v1::Budget {
    fn from(budget: BudgetBuilder) -> Self {
        budget.message
    }
}
