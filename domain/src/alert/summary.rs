//! Alerts in a sentence.

use super::Subject;
use crate::budget::{Action, Basis, BudgetState, OverrunCause, Unit};
use crate::model::ModelRef;

impl Subject {
    /// In a sentence, for people. Not to be parsed.
    pub fn summary(&self) -> String {
        match self {
            Self::RuleFired { rule, budget } => {
                let does = match rule.action {
                    Action::Alert => "reached",
                    Action::Downgrade => "downgrades calls at",
                    Action::Throttle => "throttles calls at",
                    Action::Block => "refuses calls at",
                };
                let figure = match rule.basis {
                    Basis::Spent => "spent",
                    Basis::Committed => "spent, held or presumed",
                };
                format!("{} {does} {} of its limit ({figure}): {}", named(budget), rule.at_fraction, figures(budget))
            }
            Self::Overrun { cause, budget } => {
                format!("{} went over its limit, {}: {}", named(budget), why(*cause), figures(budget))
            }
            Self::ReservationExpired { budget } => {
                format!(
                    "a reservation in {} expired without being recorded or released: {}",
                    named(budget),
                    figures(budget)
                )
            }
            Self::UnpricedModel { model, partial: false } => {
                format!("model {} has no price: its use is recorded without a cost; set a price", named_model(model))
            }
            Self::UnpricedModel { model, partial: true } => {
                format!("model {} has no price for a part of what was used; set the missing one", named_model(model))
            }
            Self::ReportedCostDiffers { model, reported_usd, computed_usd } => {
                let model = named_model(model);
                format!(
                    "a call of model {model} is reported to cost {reported_usd} USD and computed to cost {computed_usd} USD"
                )
            }
            Self::AuditMismatch { check, rows } => {
                format!("the ledger drifts: {rows} rows of {check}; run `tollgate verify`, then `tollgate rebuild`")
            }
        }
    }
}

fn named(budget: &BudgetState) -> String {
    let values: Vec<String> = budget.per_values.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    let shadow = if budget.shadow { " (shadow)" } else { "" };
    format!("budget {}{}{shadow}", budget.budget_id, values.concat())
}

fn figures(budget: &BudgetState) -> String {
    let BudgetState { effective_limit, spent, held, presumed, .. } = budget;
    let unit = match budget.unit {
        Unit::Usd => "USD",
        Unit::Tokens => "tokens",
        Unit::InputTokens => "input tokens",
        Unit::OutputTokens => "output tokens",
        Unit::Calls => "calls",
        Unit::Attempts => "attempts",
    };
    format!("limit {effective_limit}, spent {spent}, held {held}, presumed {presumed} {unit}")
}

fn named_model(model: &ModelRef) -> String {
    if model.provider_name.is_empty() {
        model.model.clone()
    } else {
        format!("{}/{}", model.provider_name, model.model)
    }
}

const fn why(cause: OverrunCause) -> &'static str {
    match cause {
        OverrunCause::EstimateLow => "as a call cost more than was held for it",
        OverrunCause::NotReserved => "as a call was not reserved",
        OverrunCause::Late => "as a call was recorded after its reservation had ended",
        OverrunCause::BudgetCreated => "as it was created over what was spent already",
        OverrunCause::BudgetChanged => "as it was changed",
        OverrunCause::Repriced => "as a call was priced again",
        OverrunCause::Amended => "as an event was amended",
        OverrunCause::Reattributed => "as an event was moved here",
    }
}
