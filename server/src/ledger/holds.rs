//! Checks: which counters they meet, what is decided, and what is held.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tollgate_domain::budget::{Action, Applied, BudgetState, Choice, Decision, Demand, Mode, Outcome, Refusal, decide};
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Estimate, PriceBook};
use tollgate_domain::reservation::{Part, State};

use super::batch::{BatchError, Scene};
use super::command::{Answer, CheckAnswer, Command, Reserve};
use super::counters::{Counters, Deciding, deciding, watching};
use super::settle::{Reservations, key_of};
use crate::app::AppError;
use crate::store::reservations::{Context, Progress, Reservation};
use crate::store::windows::{StoredWindow, WindowKey};

/// A validated check, priced.
#[derive(Debug, Clone)]
pub struct CheckPlan {
    /// Who and where.
    pub dimensions: Dimensions,
    /// The worst case on the model asked for, then on each fallback.
    pub demands: Vec<Demand>,
    /// What the caller estimates.
    pub estimate: Estimate,
    /// Whether a call that does not fit is cut to the output that does.
    pub headroom: bool,
    /// Prices the models that DOWNGRADE rules name.
    pub prices: Arc<PriceBook>,
    /// The instant whose prices count.
    pub priced_at: Timestamp,
}

impl CheckPlan {
    pub(super) fn decide(&self, applied: &[Applied<'_>]) -> Result<Outcome, BatchError> {
        let candidate = |model: &ModelRef| {
            let sheet = self.prices.find(model, self.priced_at);
            Demand::new(model.clone(), sheet, self.estimate.clone())
        };
        Ok(decide(&self.demands, applied, self.headroom, candidate)?)
    }
}

/// A check with the budgets that decide about it.
#[derive(Debug)]
pub(super) struct ReservePlan {
    deciding: Vec<Deciding>,
    /// Shown only: they still count back.
    watching: Vec<Deciding>,
    raised: Option<Demand>,
}

impl ReservePlan {
    /// The worst case of a raised estimate.
    pub(super) fn raised(&self) -> Option<&Demand> {
        self.raised.as_ref()
    }

    /// The budgets that decide.
    pub(super) fn deciding(&self) -> &[Deciding] {
        &self.deciding
    }

    /// Budgets that decide about the check.
    pub(super) fn matched(&self) -> impl Iterator<Item = i64> {
        self.deciding.iter().map(|one| one.budget.number)
    }

    /// Makes a raised estimate the reservation's own.
    pub(super) fn apply_to(&self, context: &mut Context) {
        if let Some(demand) = &self.raised {
            context.model = demand.model.clone();
            context.estimate = demand.estimate.clone();
            context.worst = demand.quantities();
        }
    }
}

/// Asks for the counters of all commands but events; returns, by index, the budgets that decide about each check.
pub(super) fn need_counters(
    scene: &Scene<'_>,
    reservations: &Reservations,
    counters: &mut Counters,
) -> Result<HashMap<usize, ReservePlan>, BatchError> {
    let mut plans = HashMap::new();
    for (index, command) in scene.commands.iter().enumerate() {
        match command {
            Command::Record(..) => continue,
            Command::Reserve(reserve, _) => {
                let deciding = deciding(&scene.budgets, &reserve.plan.dimensions, scene.now, &scene.calendar)?;
                let watching = watching(&scene.budgets, &reserve.plan.dimensions, scene.now, &scene.calendar)?;
                for target in deciding.iter().chain(&watching).filter_map(|one| one.target.as_ref().ok()) {
                    counters.need(target);
                }
                plans.insert(index, ReservePlan { deciding, watching, raised: None });
            }
            Command::Extend(extension, _) => {
                let known = reservations.get(extension.id);
                if let (Some(plan), Some(known)) = (&extension.raise, known)
                    && let Some(demand) = plan.demands.first()
                {
                    // All budgets of the new model, in the windows in which the reservation was made.
                    let mut deciding = deciding(&scene.budgets, &plan.dimensions, known.create_time, &scene.calendar)?;
                    deciding.retain(|one| one.budget.budget.is_in_force(scene.now));
                    for target in deciding.iter().filter_map(|one| one.target.as_ref().ok()) {
                        counters.need(target);
                    }
                    plans.insert(index, ReservePlan { deciding, watching: Vec::new(), raised: Some(demand.clone()) });
                }
            }
            Command::Adjust(..) | Command::Release { .. } | Command::Expire { .. } | Command::Withdraw { .. } => {}
        }
        let held = command.reservation_id().and_then(|id| reservations.get(id));
        for part in held.iter().flat_map(|reservation| &reservation.parts) {
            counters.need_existing(key_of(part));
        }
    }
    Ok(plans)
}

/// Decides a check on locked counters and holds for it where it is admitted. Only a hold consumes its id (contract,
/// decision 6).
pub(super) fn reserve(
    reserve: &Reserve,
    plan: Option<&ReservePlan>,
    scene: &Scene<'_>,
    reservations: &mut Reservations,
    counters: &mut Counters,
) -> Result<Result<Answer, AppError>, BatchError> {
    let plan = plan.ok_or(BatchError::Command("a check was not prepared"))?;
    if let Some(known) = reservations.get(reserve.id).cloned() {
        let answer = repeated(reserve, &known, plan, scene, counters)?;
        if answer.is_ok()
            && known.state == State::Pending
            && let Some(told) = reservations.change(reserve.id)
        {
            // Whoever finds it later must not take it for a hold that nobody knows of.
            told.progress.told_time = Some(scene.now);
        }
        return Ok(answer);
    }
    let outcome = {
        let applied = applied(&plan.deciding, scene.now, |key| counters.get(key))?;
        reserve.plan.decide(&applied)?
    };
    let mut reservation = None;
    if matches!(outcome.decision, Decision::Allowed | Decision::Downgraded(_)) {
        let mut parts = Vec::new();
        for (one, hold) in plan.deciding.iter().zip(&outcome.holds) {
            let (Ok(target), Some(hold)) = (&one.target, hold) else { continue };
            let limit = counters.limit(&one.budget, &target.key)?;
            let counter = counters.change(&target.key)?;
            counter.note_limit(limit);
            counter.hold(*hold)?;
            parts.push(Part::new(target.key.budget, target.key.scope, target.key.start, *hold));
        }
        let made = make(reserve, &outcome, parts, scene.now);
        reservations.add(made.clone());
        reservation = Some(made);
    }
    let mut budgets = Vec::with_capacity(plan.deciding.len());
    for (position, one) in plan.deciding.iter().enumerate() {
        let fired = outcome.fired.get(position).copied().flatten();
        let refused = outcome.refused.get(position).copied().unwrap_or(false);
        budgets.push(match &one.target {
            Ok(target) => counters.state(&one.budget, &target.key, fired, refused)?,
            Err(_) => keyless_state(one, refused),
        });
    }
    for one in &plan.watching {
        if let Ok(target) = &one.target {
            budgets.push(counters.state(&one.budget, &target.key, None, false)?);
        }
    }
    let answer = answer(outcome, reservation, budgets, &plan.deciding, scene.now);
    Ok(Ok(Answer::Checked(Box::new(answer))))
}

/// The same id again: the hold that it made, as it stands now, or a refusal.
fn repeated(
    reserve: &Reserve,
    known: &Reservation,
    plan: &ReservePlan,
    scene: &Scene<'_>,
    counters: &Counters,
) -> Result<Result<Answer, AppError>, BatchError> {
    if known.fingerprint.is_some_and(|fingerprint| fingerprint != reserve.fingerprint) {
        return Ok(Err(AppError::ReservationIdReused(reserve.id.to_string())));
    }
    let demand = reserve.plan.demands.first().ok_or(BatchError::Command("a check has no demand"))?;
    let (decision, reason) = match (&known.context, known.state) {
        (Some(context), State::Pending) if context.downgraded => (Decision::Downgraded(context.model.clone()), ""),
        (Some(_), State::Pending) => (Decision::Allowed, ""),
        _ => (Decision::Denied(Refusal::Closed), Refusal::Closed.name()),
    };
    let mut budgets = Vec::new();
    for part in &known.parts {
        if let Some(active) = scene.budgets.by_number(part.budget) {
            budgets.push(counters.state(active, &key_of(part), None, false)?);
        }
    }
    let held = known.state == State::Pending;
    Ok(Ok(Answer::Checked(Box::new(CheckAnswer {
        decision,
        reason,
        reservation: held.then(|| known.clone()),
        affordable_output_tokens: None,
        never_fits: false,
        estimate: demand.worst.cost.clone(),
        model: demand.model.clone(),
        budgets,
        when_unreachable: when_unreachable(&plan.deciding),
        now: scene.now,
        degraded: false,
    }))))
}

fn make(reserve: &Reserve, outcome: &Outcome, parts: Vec<Part>, now: Timestamp) -> Reservation {
    let ttl = SignedDuration::try_from(reserve.ttl).unwrap_or_default();
    Reservation {
        id: reserve.id,
        state: State::Pending,
        create_time: now,
        expire_time: now.checked_add(ttl).unwrap_or(now),
        end_time: None,
        sequence: 0,
        fingerprint: Some(reserve.fingerprint),
        context: Some(Context {
            dimensions: reserve.plan.dimensions.clone(),
            model: outcome.demand.model.clone(),
            downgraded: matches!(outcome.decision, Decision::Downgraded(_)),
            estimate: outcome.demand.estimate.clone(),
            worst: outcome.demand.quantities(),
        }),
        parts,
        progress: Progress::default(),
    }
}

pub(super) fn applied<'a>(
    deciding: &'a [Deciding],
    now: Timestamp,
    stored: impl Fn(&WindowKey) -> Result<&'a StoredWindow, BatchError>,
) -> Result<Vec<Applied<'a>>, BatchError> {
    let mut applied = Vec::with_capacity(deciding.len());
    for one in deciding {
        let (counter, limit, own_limit) = match &one.target {
            Ok(target) => {
                let stored = stored(&target.key)?;
                let own_limit = one.budget.limit(target.key.scope, stored.end, now);
                (Ok(&stored.counter), one.budget.effective_limit(stored, now)?, own_limit)
            }
            Err(missing) => (Err(missing.clone()), one.budget.budget.limit, one.budget.budget.limit),
        };
        applied.push(Applied { budget: &one.budget.budget, counter, limit, own_limit, window: one.bounds });
    }
    Ok(applied)
}

/// A budget whose `per` key is missing has no counter to show.
pub(super) fn keyless_state(one: &Deciding, refused: bool) -> BudgetState {
    let budget = &one.budget.budget;
    let zero = tollgate_domain::amount::Amount::ZERO;
    BudgetState {
        budget_id: budget.budget_id.clone(),
        per_values: std::collections::BTreeMap::new(),
        unit: budget.unit,
        window: one.bounds,
        limit: budget.limit,
        effective_limit: budget.limit,
        spent: zero,
        held: zero,
        presumed: zero,
        overrun: zero,
        available: budget.limit,
        fired: Some(Action::Block),
        refused,
        shadow: budget.mode == Mode::Shadow,
        version: 0,
        figures_unknown: false,
    }
}

pub(super) fn answer(
    outcome: Outcome,
    reservation: Option<Reservation>,
    budgets: Vec<BudgetState>,
    deciding: &[Deciding],
    now: Timestamp,
) -> CheckAnswer {
    let reason = match &outcome.decision {
        Decision::Denied(refusal) => refusal.name(),
        Decision::Throttled { .. } => "THROTTLED",
        Decision::Allowed | Decision::Downgraded(_) => "",
    };
    CheckAnswer {
        decision: outcome.decision,
        reason,
        reservation,
        affordable_output_tokens: outcome.affordable_output_tokens,
        never_fits: outcome.never_fits,
        estimate: outcome.demand.worst.cost,
        model: outcome.demand.model,
        budgets,
        when_unreachable: when_unreachable(deciding),
        now,
        degraded: false,
    }
}

pub(super) fn when_unreachable(deciding: &[Deciding]) -> Choice {
    let denies = deciding.iter().any(|one| {
        one.budget.budget.mode == Mode::Enforced && one.budget.budget.effective_unavailable() == Choice::Deny
    });
    if denies { Choice::Deny } else { Choice::Allow }
}

/// A decision in words, for people: which budgets refused, and what would fit.
pub fn explain(answer: &CheckAnswer) -> String {
    let refusing: Vec<String> = answer
        .budgets
        .iter()
        .filter(|state| state.refused && !state.shadow)
        .map(|state| {
            let scope: Vec<String> = state.per_values.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            if state.figures_unknown {
                return format!("budget {}{}: limit {}", state.budget_id, scope.concat(), state.effective_limit);
            }
            format!(
                "budget {}{}: limit {}, spent {}, held {}, presumed {}, available {}, window ends {}",
                state.budget_id,
                scope.concat(),
                state.effective_limit,
                state.spent,
                state.held,
                state.presumed,
                state.available,
                state.window.end
            )
        })
        .collect();
    let head = match &answer.decision {
        Decision::Allowed => "allowed".to_owned(),
        Decision::Downgraded(model) => format!("allowed on {} {}", model.provider_name, model.model),
        Decision::Throttled { until } => format!("wait until {until}"),
        Decision::Denied(_) => format!("denied: {}", answer.reason),
    };
    let mut text = format!("{head}; worst case {} USD on {}", answer.estimate.usd, answer.model.model);
    if answer.degraded {
        text.push_str("; the database is away: nothing is weighed or held, figures are the last known");
    }
    for budget in refusing {
        text.push_str("; ");
        text.push_str(&budget);
    }
    if let (Decision::Denied(_), Some(tokens)) = (&answer.decision, answer.affordable_output_tokens) {
        text.push_str(&format!("; affordable output {tokens} tokens"));
    }
    if answer.never_fits {
        text.push_str("; it would not fit an empty window either");
    }
    text
}
