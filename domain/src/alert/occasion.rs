//! What may be told once.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::Subject;
use crate::budget::{Action, Basis};
use crate::digest::Digester;

/// One counter of a budget in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterKey {
    /// The budget's number.
    pub budget: i64,
    /// Digest of the counter's `per` values.
    pub scope: Uuid,
    /// Start of the window.
    pub window_start: Timestamp,
}

impl Subject {
    /// A digest that is the same for all that may be told only once: a rule's share, figure and action by counter and window, a
    /// cause of overrun by counter and window, a model and a check of the audit by UTC day.
    pub fn occasion(&self, counter: Option<&CounterKey>, now: Timestamp) -> Uuid {
        let mut digester = Digester::new();
        digester.field(self.kind().code().to_be_bytes());
        match counter {
            Some(CounterKey { budget, scope, window_start }) => {
                digester.field(budget.to_be_bytes()).field(scope.as_bytes());
                digester.field(window_start.as_microsecond().to_be_bytes());
            }
            None => {
                digester.field(now.to_zoned(TimeZone::UTC).date().to_string());
            }
        }
        match self {
            Self::RuleFired { rule, .. } => {
                digester.field(rule.at_fraction.to_string());
                digester.field(basis_name(rule.basis)).field(action_name(rule.action));
            }
            Self::Overrun { cause, .. } => {
                digester.field(cause.name());
            }
            Self::ReservationExpired { .. } => {}
            Self::UnpricedModel { model, .. } | Self::ReportedCostDiffers { model, .. } => {
                digester.field(&model.provider_name).field(&model.model);
            }
            Self::AuditMismatch { check, .. } => {
                digester.field(check);
            }
        }
        digester.finish()
    }
}

// Written into digests that are kept: these names never change.
const fn basis_name(basis: Basis) -> &'static str {
    match basis {
        Basis::Spent => "spent",
        Basis::Committed => "committed",
    }
}

const fn action_name(action: Action) -> &'static str {
    match action {
        Action::Alert => "alert",
        Action::Downgrade => "downgrade",
        Action::Throttle => "throttle",
        Action::Block => "block",
    }
}
