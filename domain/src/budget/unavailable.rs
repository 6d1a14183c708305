//! Who is admitted while the counters cannot be read: each budget that matches answers by its `unavailable` choice.

use super::admission::{Decision, Refusal};
use super::definition::{Budget, Choice, Mode, Unit};
use super::demand::Demand;

/// A budget whose selector matches a call.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'a> {
    /// The budget.
    pub budget: &'a Budget,
    /// Whether the call has all keys of `per` that the budget asks for.
    pub has_counter: bool,
}

/// Decides a call without any counter; says of each budget, in the same order, whether it refuses (a shadow budget: would have
/// refused).
///
/// What needs no counter is decided as ever: a missing `per` key, a model without a price, a call that is free for a budget in
/// dollars, a model that the budget does not count. Everything else goes by the budget's choice. One refusal refuses the call;
/// where no budget matches it, it is allowed.
pub fn decide_unavailable(demands: &[Demand], matched: &[Matched<'_>]) -> (Decision, Vec<bool>) {
    let verdicts: Vec<Option<Refusal>> = matched.iter().map(|one| refusal(demands, one)).collect();
    let binding = matched.iter().zip(&verdicts).filter(|(one, _)| one.budget.mode == Mode::Enforced);
    let severest = binding.filter_map(|(_, verdict)| *verdict).max_by_key(|refusal| severity(*refusal));
    let decision = severest.map_or(Decision::Allowed, Decision::Denied);
    (decision, verdicts.iter().map(Option::is_some).collect())
}

fn refusal(demands: &[Demand], matched: &Matched<'_>) -> Option<Refusal> {
    let budget = matched.budget;
    if !matched.has_counter {
        return Some(Refusal::PerKeyMissing);
    }
    let counted: Vec<&Demand> = demands.iter().filter(|demand| budget.counts_model(&demand.model)).collect();
    let in_dollars = budget.unit == Unit::Usd;
    if counted.is_empty() || (in_dollars && counted.iter().all(|demand| demand.is_free())) {
        return None;
    }
    let unpriced = in_dollars && counted.iter().any(|demand| demand.is_unpriced());
    if unpriced && budget.effective_unpriced() == Choice::Deny {
        return Some(Refusal::Unpriced);
    }
    (budget.effective_unavailable() == Choice::Deny).then_some(Refusal::Unavailable)
}

/// What is refused whatever the counters say comes first: it would be refused with the database, too.
fn severity(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::PerKeyMissing => 2,
        Refusal::Unpriced => 1,
        Refusal::BudgetExceeded | Refusal::DowngradeUnavailable | Refusal::Closed | Refusal::Unavailable => 0,
    }
}

#[cfg(test)]
mod tests;
