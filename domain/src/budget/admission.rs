//! Who is admitted: one call against all budgets that apply, on counters whose rows the caller has locked (or, for a
//! peek, has read in one snapshot).

use jiff::Timestamp;

use super::counter::Counter;
use super::definition::{Action, Basis, Budget, Choice, Mode, Rule, Unit};
use super::demand::Demand;
use crate::amount::{Amount, AmountError};
use crate::dimensions::DimensionKey;
use crate::model::ModelRef;
use crate::price::PriceError;
use crate::price::estimate::affordable_output_tokens;
use crate::window::Bounds;

/// A budget that applies to a call, with the counter that it falls under.
#[derive(Debug, Clone)]
pub struct Applied<'a> {
    /// The budget.
    pub budget: &'a Budget,
    /// Its counter, or the `per` key that is missing.
    pub counter: Result<&'a Counter, DimensionKey>,
    /// The limit in force, with what the window carries.
    pub limit: Amount,
    /// The limit in force of a window that carries nothing.
    pub own_limit: Amount,
    /// The window.
    pub window: Bounds,
}

/// Why a call is refused. The names on the wire are an open set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A BLOCK rule fired.
    BudgetExceeded,
    /// No price is known and a budget in dollars refuses that.
    Unpriced,
    /// A `per` key is missing.
    PerKeyMissing,
    /// A DOWNGRADE rule fired and none of its models fits.
    DowngradeUnavailable,
    /// The reservation id was ended before, perhaps before its check arrived.
    Closed,
    /// The database is away and the budget refuses calls meanwhile.
    Unavailable,
}

impl Refusal {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::BudgetExceeded => "BUDGET_EXCEEDED",
            Self::Unpriced => "UNPRICED",
            Self::PerKeyMissing => "PER_KEY_MISSING",
            Self::DowngradeUnavailable => "DOWNGRADE_UNAVAILABLE",
            Self::Closed => "CLOSED",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// What is decided about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may run.
    Allowed,
    /// It may run on this model.
    Downgraded(ModelRef),
    /// It may be asked again after this instant.
    Throttled {
        /// When the window that throttles ends.
        until: Timestamp,
    },
    /// It must not run.
    Denied(Refusal),
}

/// A decision with what led to it, one entry per applied budget, in the same order.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The decision.
    pub decision: Decision,
    /// What each budget holds if the call runs; `None` where it does not count the model.
    pub holds: Vec<Option<Amount>>,
    /// The severest action that fired in each budget.
    pub fired: Vec<Option<Action>>,
    /// Whether each budget refused (a shadow budget: would have refused).
    pub refused: Vec<bool>,
    /// The demand that is held for: the downgrade's or, with headroom, the capped one.
    pub demand: Demand,
    /// Largest output that every binding budget affords; `None` = no bound, or not computable.
    pub affordable_output_tokens: Option<u64>,
    /// Whether the call would not even fit an empty window.
    pub never_fits: bool,
}

/// Why no decision could be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// A sum cannot be held.
    #[error("an amount cannot be held: {0}")]
    Amount(#[from] AmountError),
    /// A price cannot be computed.
    #[error("the estimate cannot be priced: {0}")]
    Price(#[from] PriceError),
}

/// Decides a call that may run on any of `demands` (the model asked for first, then its fallbacks), of which the
/// dearest is held. `candidates` prices the models that DOWNGRADE rules name. With `headroom`, a call that does not fit
/// is cut to the output that does.
///
/// # Errors
/// [`AdmissionError`] where an amount cannot be held.
pub fn decide(
    demands: &[Demand],
    applied: &[Applied<'_>],
    headroom: bool,
    candidate: impl Fn(&ModelRef) -> Result<Demand, PriceError>,
) -> Result<Outcome, AdmissionError> {
    let judged = judge(demands, applied)?;
    if judged.refusal.is_none() && !judged.downgrade {
        return outcome(judged, demands, applied, Decision::Allowed);
    }
    if headroom
        && judged.refusal == Some(Verdict::Exceeded)
        && let Some(capped) = cap_to_room(demands, applied)?
    {
        let second = judge(&capped, applied)?;
        if second.refusal.is_none() {
            return outcome(second, &capped, applied, Decision::Allowed);
        }
    }
    if judged.downgrade
        && judged.refusal != Some(Verdict::MissingKey)
        && let Some(outcome) = downgrade(demands, applied, &judged, candidate)?
    {
        return Ok(outcome);
    }
    let decision = match judged.refusal {
        Some(Verdict::MissingKey) => Decision::Denied(Refusal::PerKeyMissing),
        Some(Verdict::Unpriced) => Decision::Denied(Refusal::Unpriced),
        Some(Verdict::Exceeded) => Decision::Denied(Refusal::BudgetExceeded),
        Some(Verdict::Throttled(until)) => Decision::Throttled { until },
        None => Decision::Denied(Refusal::DowngradeUnavailable),
    };
    outcome(judged, demands, applied, decision)
}

/// The severest action that fires in a counter as it stands, without a call.
///
/// # Errors
/// [`AmountError::TooLarge`].
pub fn peek_fired(budget: &Budget, counter: &Counter, limit: Amount) -> Result<Option<Action>, AmountError> {
    let committed = counter.committed()?;
    let mut fired = None;
    for rule in &budget.rules {
        let threshold = threshold(rule, limit);
        let value = match rule.basis {
            Basis::Spent => counter.spent,
            Basis::Committed => committed,
        };
        if value >= threshold {
            fired = fired.max(Some(rule.action));
        }
    }
    Ok(fired)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Throttled(Timestamp),
    Exceeded,
    Unpriced,
    MissingKey,
}

impl Verdict {
    fn severity(self) -> u8 {
        match self {
            Self::Throttled(_) => 0,
            Self::Exceeded => 1,
            Self::Unpriced => 2,
            Self::MissingKey => 3,
        }
    }
}

/// What every budget says of one call.
struct Judged {
    holds: Vec<Option<Amount>>,
    fired: Vec<Option<Action>>,
    refused: Vec<bool>,
    refusal: Option<Verdict>,
    downgrade: bool,
}

fn judge(demands: &[Demand], applied: &[Applied<'_>]) -> Result<Judged, AdmissionError> {
    let mut judged =
        Judged { holds: Vec::new(), fired: Vec::new(), refused: Vec::new(), refusal: None, downgrade: false };
    for entry in applied {
        let verdict = judge_one(demands, entry, &mut judged)?;
        judged.refused.push(verdict.is_some());
        if entry.budget.mode == Mode::Enforced {
            judged.refusal = severest(judged.refusal, verdict);
        }
    }
    Ok(judged)
}

fn severest(left: Option<Verdict>, right: Option<Verdict>) -> Option<Verdict> {
    match (left, right) {
        // Of two windows that throttle, the later end is the one to wait for.
        (Some(Verdict::Throttled(left)), Some(Verdict::Throttled(right))) => Some(Verdict::Throttled(left.max(right))),
        (Some(left), Some(right)) => Some(if right.severity() > left.severity() { right } else { left }),
        (one, None) | (None, one) => one,
    }
}

fn judge_one(demands: &[Demand], entry: &Applied<'_>, judged: &mut Judged) -> Result<Option<Verdict>, AdmissionError> {
    let counter = match &entry.counter {
        Ok(counter) => counter,
        Err(_missing) => {
            judged.holds.push(None);
            judged.fired.push(Some(Action::Block));
            return Ok(Some(Verdict::MissingKey));
        }
    };
    let counted: Vec<&Demand> = demands.iter().filter(|demand| entry.budget.counts_model(&demand.model)).collect();
    if counted.is_empty() {
        judged.holds.push(None);
        judged.fired.push(None);
        return Ok(None);
    }
    let mut amount = Amount::ZERO;
    for demand in &counted {
        amount = amount.max(demand.quantities().in_unit(entry.budget.unit)?);
    }
    judged.holds.push(Some(amount));
    let in_dollars = entry.budget.unit == Unit::Usd;
    if in_dollars && counted.iter().all(|demand| demand.is_free()) {
        judged.fired.push(None);
        return Ok(None);
    }
    if in_dollars
        && counted.iter().any(|demand| demand.is_unpriced())
        && entry.budget.effective_unpriced() == Choice::Deny
    {
        judged.fired.push(Some(Action::Block));
        return Ok(Some(Verdict::Unpriced));
    }
    let fired = fired_by(entry.budget, counter, entry.limit, amount)?;
    judged.fired.push(fired.iter().map(|rule| rule.action).max());
    let offers_models = fired.iter().any(|rule| {
        let already =
            counted.iter().all(|demand| rule.downgrade_to.iter().any(|model| demand.model.is_named_by(model)));
        rule.action == Action::Downgrade && !already
    });
    judged.downgrade |= offers_models && entry.budget.mode == Mode::Enforced;
    Ok(match fired.iter().map(|rule| rule.action).max() {
        Some(Action::Block) => Some(Verdict::Exceeded),
        Some(Action::Throttle) => Some(Verdict::Throttled(entry.window.end)),
        _ => None,
    })
}

/// The rules of a budget that fire on a call that asks for `amount`.
pub(super) fn fired_by<'a>(
    budget: &'a Budget,
    counter: &Counter,
    limit: Amount,
    amount: Amount,
) -> Result<Vec<&'a Rule>, AmountError> {
    let committed = counter.committed()?.plus(amount)?;
    let mut fired = Vec::new();
    for rule in &budget.rules {
        let threshold = threshold(rule, limit);
        let fires = match rule.basis {
            Basis::Spent => counter.spent >= threshold,
            Basis::Committed => committed > threshold,
        };
        if fires {
            fired.push(rule);
        }
    }
    Ok(fired)
}

/// The amount at which a rule fires; one that cannot be held can never be reached.
pub(super) fn threshold(rule: &Rule, limit: Amount) -> Amount {
    limit.times(rule.at_fraction).unwrap_or(Amount::MAX)
}

/// What the BLOCK rules of a budget that binds leave for one more call; `None` = no bound.
///
/// # Errors
/// [`AmountError::TooLarge`].
pub fn room(budget: &Budget, counter: &Counter, limit: Amount) -> Result<Option<Amount>, AmountError> {
    if budget.mode != Mode::Enforced {
        return Ok(None);
    }
    let mut room: Option<Amount> = None;
    for rule in budget.rules.iter().filter(|rule| rule.action == Action::Block) {
        let left = match rule.basis {
            Basis::Committed => threshold(rule, limit).minus(counter.committed()?)?,
            Basis::Spent if counter.spent >= threshold(rule, limit) => Amount::ZERO,
            Basis::Spent => continue,
        };
        room = Some(room.map_or(left, |room| room.min(left)).max(Amount::ZERO));
    }
    Ok(room)
}

fn affordable(demands: &[Demand], applied: &[Applied<'_>]) -> Result<Option<u64>, AdmissionError> {
    let mut smallest: Option<u64> = None;
    for entry in applied {
        let Ok(counter) = &entry.counter else { continue };
        let Some(room) = room(entry.budget, counter, entry.limit)? else { continue };
        for demand in demands.iter().filter(|demand| entry.budget.counts_model(&demand.model)) {
            if let Some(tokens) = output_within(demand, entry.budget.unit, room)? {
                smallest = Some(smallest.map_or(tokens, |smallest| smallest.min(tokens)));
            }
        }
    }
    Ok(smallest)
}

fn output_within(demand: &Demand, unit: Unit, room: Amount) -> Result<Option<u64>, AdmissionError> {
    let outputs = u64::from(demand.estimate.choices.max(1)) * demand.worst.calls.max(1);
    Ok(match unit {
        Unit::Usd => match &demand.sheet {
            Some(sheet) if !demand.is_unpriced() => {
                affordable_output_tokens(&demand.estimate, Some(sheet), room.dollars())
            }
            _ => None,
        },
        Unit::Tokens => Some(room.whole().saturating_sub(demand.worst.input_tokens) / outputs),
        Unit::OutputTokens => Some(room.whole() / outputs),
        Unit::InputTokens | Unit::Calls | Unit::Attempts => None,
    })
}

fn cap_to_room(demands: &[Demand], applied: &[Applied<'_>]) -> Result<Option<Vec<Demand>>, AdmissionError> {
    let Some(tokens) = affordable(demands, applied)?.filter(|tokens| *tokens > 0) else { return Ok(None) };
    let capped = demands.iter().map(|demand| demand.with_output(tokens)).collect::<Result<_, _>>()?;
    Ok(Some(capped))
}

fn downgrade(
    demands: &[Demand],
    applied: &[Applied<'_>],
    judged: &Judged,
    candidate: impl Fn(&ModelRef) -> Result<Demand, PriceError>,
) -> Result<Option<Outcome>, AdmissionError> {
    for (entry, fired) in applied.iter().zip(&judged.fired) {
        let (Some(_), Mode::Enforced, Ok(counter)) = (fired, entry.budget.mode, &entry.counter) else { continue };
        let mut amount = Amount::ZERO;
        for demand in demands.iter().filter(|demand| entry.budget.counts_model(&demand.model)) {
            amount = amount.max(demand.quantities().in_unit(entry.budget.unit)?);
        }
        for rule in fired_by(entry.budget, counter, entry.limit, amount)? {
            for model in &rule.downgrade_to {
                let demand = vec![candidate(model)?];
                let second = judge(&demand, applied)?;
                if second.refusal.is_none() {
                    return outcome(second, &demand, applied, Decision::Downgraded(model.clone())).map(Some);
                }
            }
        }
    }
    Ok(None)
}

fn outcome(
    judged: Judged,
    demands: &[Demand],
    applied: &[Applied<'_>],
    decision: Decision,
) -> Result<Outcome, AdmissionError> {
    let mut never_fits = false;
    for (entry, hold) in applied.iter().zip(&judged.holds) {
        // A rule on what was spent never refuses in an empty window: nothing was spent there.
        let blocks =
            entry.budget.rules.iter().filter(|rule| rule.action == Action::Block && rule.basis == Basis::Committed);
        for rule in blocks.filter(|_| entry.budget.mode == Mode::Enforced) {
            let free = entry.budget.unit == Unit::Usd && demands.iter().all(Demand::is_free);
            // An overrun that was carried over is gone with the window that it is taken off.
            let best = entry.limit.max(entry.own_limit);
            never_fits |= !free && hold.is_some_and(|hold| hold > threshold(rule, best));
        }
    }
    let affordable_output_tokens = affordable(demands, applied)?;
    let dearest = demands.iter().max_by_key(|demand| demand.worst.cost.usd).cloned();
    let Some(demand) = dearest else { return Err(AdmissionError::Amount(AmountError::Malformed)) };
    Ok(Outcome {
        decision,
        holds: judged.holds,
        fired: judged.fired,
        refused: judged.refused,
        demand,
        affordable_output_tokens,
        never_fits,
    })
}

#[cfg(test)]
mod tests;
