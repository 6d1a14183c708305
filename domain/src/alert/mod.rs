//! Alerts: what people should know, each told once.

mod occasion;
mod summary;

use serde::{Deserialize, Serialize};

pub use occasion::CounterKey;

use crate::amount::Usd;
use crate::budget::{Action, BudgetState, OverrunCause, Rule};
use crate::model::ModelRef;

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AlertKind {
    /// A rule of a budget fired.
    RuleFired,
    /// A hard budget went over its limit.
    Overrun,
    /// A model was used without a full price.
    UnpricedModel,
    /// A reservation expired.
    ReservationExpired,
    /// A reported cost lies far from the computed one.
    ReportedCostDiffers,
    /// The audit found sums that disagree.
    AuditMismatch,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::RuleFired,
        Self::Overrun,
        Self::UnpricedModel,
        Self::AuditMismatch,
        Self::ReservationExpired,
        Self::ReportedCostDiffers,
    ];

    /// For the database: the number on the wire.
    pub const fn code(self) -> i16 {
        match self {
            Self::RuleFired => 1,
            Self::Overrun => 2,
            Self::UnpricedModel => 3,
            Self::AuditMismatch => 4,
            Self::ReservationExpired => 5,
            Self::ReportedCostDiffers => 6,
        }
    }

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RuleFired => "rule_fired",
            Self::Overrun => "overrun",
            Self::UnpricedModel => "unpriced_model",
            Self::AuditMismatch => "audit_mismatch",
            Self::ReservationExpired => "reservation_expired",
            Self::ReportedCostDiffers => "reported_cost_differs",
        }
    }
}

/// How soon somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is about to run short, or to go unnoticed.
    Warning,
    /// Calls are refused, or a hard budget was overspent.
    Critical,
}

impl Severity {
    /// For the database: the number on the wire.
    pub const fn code(self) -> i16 {
        match self {
            Self::Info => 1,
            Self::Warning => 2,
            Self::Critical => 3,
        }
    }

    /// Its name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What is told, as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// A rule of a budget fired.
    RuleFired {
        /// The rule.
        rule: Rule,
        /// The counter.
        budget: BudgetState,
    },
    /// A hard budget went over its limit.
    Overrun {
        /// Why.
        cause: OverrunCause,
        /// The counter.
        budget: BudgetState,
    },
    /// A reservation expired that held in a counter.
    ReservationExpired {
        /// The counter.
        budget: BudgetState,
    },
    /// A model was used without a full price.
    UnpricedModel {
        /// The model.
        model: ModelRef,
        /// Whether a part of the usage has a price.
        partial: bool,
    },
    /// A reported cost lies far from the computed one.
    ReportedCostDiffers {
        /// The model.
        model: ModelRef,
        /// What the caller reported.
        reported_usd: Usd,
        /// What was computed.
        computed_usd: Usd,
    },
    /// The audit found sums that disagree.
    AuditMismatch {
        /// The name of the check.
        check: String,
        /// Rows that disagree.
        rows: u64,
    },
}

impl Subject {
    /// What it is about.
    pub const fn kind(&self) -> AlertKind {
        match self {
            Self::RuleFired { .. } => AlertKind::RuleFired,
            Self::Overrun { .. } => AlertKind::Overrun,
            Self::ReservationExpired { .. } => AlertKind::ReservationExpired,
            Self::UnpricedModel { .. } => AlertKind::UnpricedModel,
            Self::ReportedCostDiffers { .. } => AlertKind::ReportedCostDiffers,
            Self::AuditMismatch { .. } => AlertKind::AuditMismatch,
        }
    }

    /// The counter that it is about.
    pub const fn budget(&self) -> Option<&BudgetState> {
        match self {
            Self::RuleFired { budget, .. } | Self::Overrun { budget, .. } | Self::ReservationExpired { budget } => {
                Some(budget)
            }
            Self::UnpricedModel { .. } | Self::ReportedCostDiffers { .. } | Self::AuditMismatch { .. } => None,
        }
    }

    /// The model that it is about.
    pub const fn model(&self) -> Option<&ModelRef> {
        match self {
            Self::UnpricedModel { model, .. } | Self::ReportedCostDiffers { model, .. } => Some(model),
            Self::RuleFired { .. }
            | Self::Overrun { .. }
            | Self::ReservationExpired { .. }
            | Self::AuditMismatch { .. } => None,
        }
    }

    /// How soon somebody should look. What a budget in shadow mode decides hurts nobody.
    pub fn severity(&self) -> Severity {
        if self.budget().is_some_and(|budget| budget.shadow) {
            return Severity::Info;
        }
        match self {
            Self::RuleFired { rule, .. } if rule.action >= Action::Throttle => Severity::Critical,
            Self::Overrun { .. } | Self::AuditMismatch { .. } => Severity::Critical,
            Self::RuleFired { .. }
            | Self::ReservationExpired { .. }
            | Self::UnpricedModel { .. }
            | Self::ReportedCostDiffers { .. } => Severity::Warning,
        }
    }
}

#[cfg(test)]
mod tests;
