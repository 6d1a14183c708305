//! What a batch raises: counters that cross thresholds, calls that rules stand against, models without a price.

use std::collections::BTreeMap;

use tollgate_domain::alert::Subject;
use tollgate_domain::budget::{Action, Counter, Crossing, Decision, Refusal, crossings, rules_against};
use tollgate_domain::notices::Notices;
use tollgate_domain::price::PriceState;

use super::batch::{BatchError, Scene};
use super::command::{Answer, Command, Reserve};
use super::counters::Counters;
use super::drafts::Draft;
use super::holds::ReservePlan;
use crate::alerts::{AlertSource, Raised};
use crate::app::AppError;
use crate::store::budgets::ActiveBudget;
use crate::store::windows::WindowKey;

/// What new events raise by themselves.
pub(super) fn of_events<'a>(drafts: impl Iterator<Item = &'a Draft<'a>>, raised: &mut Raised) {
    for draft in drafts {
        let reservation_id = draft.event.reservation.map(|used| used.reservation_id);
        let source = AlertSource { event_id: Some(draft.event_id), reservation_id };
        let state = draft.charge.cost.state;
        if matches!(state, PriceState::Unpriced | PriceState::Partial) {
            let model = draft.event.model().clone();
            raised.add(Subject::UnpricedModel { model, partial: state == PriceState::Partial }, None, source);
        }
        if draft.notices.contains(Notices::REPORTED_COST_DIFFERS)
            && let Some(reported_usd) = draft.event.reported_usd()
        {
            let (model, computed_usd) = (draft.event.model().clone(), draft.charge.cost.usd);
            raised.add(Subject::ReportedCostDiffers { model, reported_usd, computed_usd }, None, source);
        }
    }
}

/// What one command raised, told right after it: another one of the same batch may take back what it moved.
pub(super) fn of_command(
    command: &Command,
    answer: &Result<Answer, AppError>,
    plan: Option<&ReservePlan>,
    scene: &Scene<'_>,
    counters: &mut Counters,
    raised: &mut Raised,
) -> Result<(), BatchError> {
    let source = source(command, answer);
    let moved: BTreeMap<WindowKey, Counter> = counters.take_moved();
    for (key, before) in &moved {
        let Some(active) = concerned(scene, counters, key)? else { continue };
        let stored = counters.get(key)?;
        let limit = active.effective_limit(stored, scene.now)?;
        let found = crossings(&active.budget, before, &stored.counter, limit)?;
        for crossing in found {
            raised.crossing(crossing, *key, counters.state(active, key, None, false)?, source);
        }
        if matches!(command, Command::Expire { .. }) {
            let budget = counters.state(active, key, None, false)?;
            raised.add(Subject::ReservationExpired { budget }, Some(*key), source);
        }
    }
    if let (Command::Reserve(reserve, _), Ok(Answer::Checked(checked)), Some(plan)) = (command, answer, plan) {
        of_decision(reserve, &checked.decision, plan, &moved, scene, counters, raised)?;
    }
    Ok(())
}

/// The rules that refused, throttled or downgraded a check.
fn of_decision(
    reserve: &Reserve,
    decision: &Decision,
    plan: &ReservePlan,
    moved: &BTreeMap<WindowKey, Counter>,
    scene: &Scene<'_>,
    counters: &Counters,
    raised: &mut Raised,
) -> Result<(), BatchError> {
    if matches!(decision, Decision::Allowed | Decision::Denied(Refusal::Closed)) {
        return Ok(());
    }
    let targets = plan.deciding().iter().filter_map(|one| one.target.as_ref().ok());
    for key in targets.map(|target| target.key) {
        let Some(active) = concerned(scene, counters, &key)? else { continue };
        // As it was decided: a downgraded call holds already.
        let stored = counters.get(&key)?;
        let counter = moved.get(&key).unwrap_or(&stored.counter);
        let limit = active.effective_limit(stored, scene.now)?;
        for rule in rules_against(&active.budget, counter, limit, &reserve.plan.demands)? {
            let refused = rule.action > Action::Downgrade;
            let state = counters.state(active, &key, Some(rule.action), refused)?;
            raised.crossing(Crossing::Rule(rule), key, state, AlertSource::default());
        }
    }
    Ok(())
}

/// The budget of a counter, where its alerts are of use: it is in force, and the window is open (contract, decision 15).
fn concerned<'a>(
    scene: &'a Scene<'_>,
    counters: &Counters,
    key: &WindowKey,
) -> Result<Option<&'a ActiveBudget>, BatchError> {
    let open = counters.get(key)?.end > scene.now;
    let active = scene.budgets.by_number(key.budget);
    Ok(active.filter(|active| open && active.budget.is_in_force(scene.now)).map(|active| &**active))
}

/// The event or reservation behind a command.
fn source(command: &Command, answer: &Result<Answer, AppError>) -> AlertSource {
    let event_id = match (command, answer) {
        (_, Ok(Answer::Recorded(recorded))) => Some(recorded.event_id),
        (Command::Adjust(adjust, _), _) => match adjust.corrections.as_slice() {
            [correction] => Some(correction.event_id),
            _ => None,
        },
        _ => None,
    };
    AlertSource { event_id, reservation_id: command.reservation_id() }
}
