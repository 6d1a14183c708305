//! What a counter's move should tell people: the rules that it reached and the overruns that it booked.

use super::admission::{fired_by, threshold};
use super::counter::{Counter, OverrunCause};
use super::definition::{Action, Basis, Budget, Choice, Mode, Rule, Unit};
use super::demand::Demand;
use crate::amount::{Amount, AmountError};

/// What a counter should tell about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Crossing {
    /// A rule fired.
    Rule(Rule),
    /// A hard budget went over its limit.
    Overrun(OverrunCause),
}

/// What the move of a counter from `before` to `after` raises under `limit`: every rule whose share it reached, and every cause
/// that lifted a hard budget above its limit. Disabled budgets raise nothing, those in shadow mode the same as others.
///
/// # Errors
/// [`AmountError::TooLarge`].
pub fn crossings(
    budget: &Budget,
    before: &Counter,
    after: &Counter,
    limit: Amount,
) -> Result<Vec<Crossing>, AmountError> {
    if budget.mode == Mode::Disabled {
        return Ok(Vec::new());
    }
    let mut crossings = Vec::new();
    for rule in &budget.rules {
        if reaches(rule, after, limit)? && !reaches(rule, before, limit)? {
            crossings.push(Crossing::Rule(rule.clone()));
        }
    }
    if budget.is_hard() && after.overrun > before.overrun {
        let booked = |cause: &OverrunCause| before.overrun_causes.get(cause).copied().unwrap_or_default();
        let grown = after.overrun_causes.iter().filter(|(cause, amount)| **amount > booked(cause));
        crossings.extend(grown.map(|(cause, _)| Crossing::Overrun(*cause)));
    }
    Ok(crossings)
}

/// What a change of a budget from `before` to `after` raises on a counter: the rules that it reaches now and did not reach before,
/// and what the change left above the limit. A budget without a definition before is new.
///
/// # Errors
/// [`AmountError::TooLarge`].
pub fn change_crossings(
    before: Option<&Budget>,
    after: &Budget,
    counter: &Counter,
    limits: (Amount, Amount),
) -> Result<Vec<Crossing>, AmountError> {
    if after.mode == Mode::Disabled {
        return Ok(Vec::new());
    }
    let (limit_before, limit) = limits;
    let mut crossings = Vec::new();
    for rule in &after.rules {
        let mut known = false;
        for old in before.iter().filter(|budget| budget.mode != Mode::Disabled).flat_map(|budget| &budget.rules) {
            known |= old.same_alert(rule) && reaches(old, counter, limit_before)?;
        }
        if !known && reaches(rule, counter, limit)? {
            crossings.push(Crossing::Rule(rule.clone()));
        }
    }
    let cause = if before.is_some() { OverrunCause::BudgetChanged } else { OverrunCause::BudgetCreated };
    if after.is_hard() && counter.overrun_causes.get(&cause).is_some_and(|amount| !amount.is_zero()) {
        crossings.push(Crossing::Overrun(cause));
    }
    Ok(crossings)
}

impl Budget {
    /// The least amount at which a rule fires under this limit; `None` = there is no rule.
    pub fn lowest_threshold(&self, limit: Amount) -> Option<Amount> {
        self.rules.iter().map(|rule| threshold(rule, limit)).min()
    }
}

/// The rules of a budget that stood in the way of a call with these demands: those that block, throttle or downgrade.
///
/// # Errors
/// [`AmountError::TooLarge`].
pub fn rules_against(
    budget: &Budget,
    counter: &Counter,
    limit: Amount,
    demands: &[Demand],
) -> Result<Vec<Rule>, AmountError> {
    let counted: Vec<&Demand> = demands.iter().filter(|demand| budget.counts_model(&demand.model)).collect();
    let in_dollars = budget.unit == Unit::Usd;
    let passes = counted.is_empty() || in_dollars && counted.iter().all(|demand| demand.is_free());
    let unpriced =
        in_dollars && budget.effective_unpriced() == Choice::Deny && counted.iter().any(|demand| demand.is_unpriced());
    // A call that is refused for its missing price fires no rule.
    if passes || unpriced || budget.mode == Mode::Disabled {
        return Ok(Vec::new());
    }
    let mut amount = Amount::ZERO;
    for demand in counted {
        amount = amount.max(demand.quantities().in_unit(budget.unit)?);
    }
    let fired = fired_by(budget, counter, limit, amount)?;
    Ok(fired.into_iter().filter(|rule| rule.action > Action::Alert).cloned().collect())
}

/// Whether a counter stands at the rule's share of the limit. A counter that nothing moved reaches nothing, whatever the limit.
fn reaches(rule: &Rule, counter: &Counter, limit: Amount) -> Result<bool, AmountError> {
    let value = match rule.basis {
        Basis::Spent => counter.spent,
        Basis::Committed => counter.committed()?,
    };
    Ok(value > Amount::ZERO && value >= threshold(rule, limit))
}

#[cfg(test)]
mod tests;
