//! What events, extensions, releases and the end of time do to reservations and counters.

use std::collections::HashMap;

use sqlx::PgConnection;
use tollgate_domain::amount::Amount;
use tollgate_domain::budget::{
    BudgetState, Choice, Decision, Demand, Mode, OnExpire, OverrunCause, Quantities, Refusal, Unit, room,
};
use tollgate_domain::dimensions::Dimension;
use tollgate_domain::erasure::Eraser;
use tollgate_domain::event::UsageEvent;
use tollgate_domain::measures::Charge;
use tollgate_domain::notices::Notices;
use tollgate_domain::price::{Estimate, price};
use tollgate_domain::reservation::{Part, State};
use tollgate_domain::tokens::TokenUsage;
use uuid::Uuid;

use super::batch::{BatchError, Scene};
use super::command::{Answer, ExtendAnswer, Extension, RecordAnswer, ReleaseAnswer};
use super::counters::Counters;
use super::drafts::{Draft, size_of_one_call};
use super::holds::ReservePlan;
use super::pins::Pins;
use super::withdrawals::Withdrawal;
use crate::app::AppError;
use crate::app::error::Named;
use crate::store::reservations::{self, EVENT_IDS_LIMIT, Reservation};
use crate::store::windows::WindowKey;
use crate::tenant::TenantId;

/// The counter that a part holds in.
pub(super) fn key_of(part: &Part) -> WindowKey {
    WindowKey { budget: part.budget, scope: part.scope, start: part.window_start }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Kept,
    Added,
    Changed,
}

/// The batch's reservations, their rows locked.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    held: HashMap<Uuid, (Reservation, Change)>,
}

impl Reservations {
    /// Locks those that are there. Names that are being erased are told as their pseudonyms, whatever the rows still say.
    pub(super) async fn lock(
        connection: &mut PgConnection,
        tenant: TenantId,
        mut ids: Vec<Uuid>,
        erasers: &[Eraser],
    ) -> Result<Self, BatchError> {
        if ids.is_empty() {
            return Ok(Self::default());
        }
        ids.sort_unstable();
        ids.dedup();
        let mut locked = reservations::lock(connection, tenant, &ids).await?;
        for reservation in &mut locked {
            erasers.iter().for_each(|eraser| reservation.erase(eraser));
        }
        Ok(Self { held: locked.into_iter().map(|one| (one.id, (one, Change::Kept))).collect() })
    }

    /// One of them.
    pub(super) fn get(&self, id: Uuid) -> Option<&Reservation> {
        self.held.get(&id).map(|(reservation, _)| reservation)
    }

    /// Adds one that was not there.
    pub(super) fn add(&mut self, reservation: Reservation) {
        self.held.insert(reservation.id, (reservation, Change::Added));
    }

    /// Whether checks were refused whose id was taken meanwhile: what other writers hold is on the counters, which are locked, but
    /// their reservations were not there to be locked. The batch then starts over: a check that is sent twice at once is admitted or
    /// refused as one.
    pub(super) async fn refused_are_known(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        checks: impl Iterator<Item = Uuid>,
    ) -> Result<bool, BatchError> {
        let refused: Vec<Uuid> = checks.filter(|id| self.get(*id).is_none()).collect();
        Ok(!refused.is_empty() && !reservations::known(connection, tenant, &refused).await?.is_empty())
    }

    pub(super) fn change(&mut self, id: Uuid) -> Option<&mut Reservation> {
        self.held.get_mut(&id).map(|(reservation, change)| {
            if *change == Change::Kept {
                *change = Change::Changed;
            }
            reservation
        })
    }

    /// Those that the batch adds, ids sorted.
    pub(super) fn added(&self) -> Vec<&Reservation> {
        let mut added = self.with(Change::Added);
        added.sort_unstable_by_key(|reservation| reservation.id);
        added
    }

    /// Those that it changes.
    pub(super) fn changed(&self) -> Vec<&Reservation> {
        self.with(Change::Changed)
    }

    fn with(&self, wanted: Change) -> Vec<&Reservation> {
        self.held.values().filter(|(_, change)| *change == wanted).map(|(reservation, _)| reservation).collect()
    }
}

/// What budgets count of an event. A response-cache hit used no token.
pub(super) fn quantities(event: &UsageEvent, charge: &Charge) -> Quantities {
    let used = event.usage.as_ref().filter(|_| !event.response_cache_hit);
    Quantities {
        usd: charge.usd,
        input_tokens: used.and_then(|usage| usage.total_input).unwrap_or(0),
        output_tokens: used.and_then(|usage| usage.total_output).unwrap_or(0),
        calls: u64::from(event.calls()),
        attempts: 1,
    }
}

/// Charges a new event in full, whatever the limits: real spend is never refused, capped or dropped.
pub(super) fn settle(
    draft: &mut Draft<'_>,
    scene: &Scene<'_>,
    reservations: &mut Reservations,
    counters: &mut Counters,
) -> Result<RecordAnswer, BatchError> {
    let quantities = quantities(&draft.event, &draft.charge);
    let used = draft.event.reservation;
    let keep_open = used.is_some_and(|used| used.keep_open);
    if let Some(used) = used
        && let Some(known) = reservations.get(used.reservation_id)
    {
        if known.state != State::Pending {
            // An earlier event of this batch may have ended it.
            draft.notices.add(Notices::LATE);
        }
    } else if let Some(used) = used {
        // Settled before its check arrived: that check is refused when it does (contract, decision 5).
        reservations.add(Reservation::tombstone(used.reservation_id, scene.now, "recorded before its check"));
    }
    let mut reservation = used.and_then(|used| reservations.change(used.reservation_id));
    let live = reservation.as_ref().is_some_and(|one| !one.state.is_final());
    let late = reservation.as_ref().is_some_and(|one| one.state != State::Pending);
    let mut overrun = false;
    let mut charged = Vec::with_capacity(draft.targets.len());
    for target in &draft.targets {
        let budget = &target.budget.budget;
        let amount = quantities.in_unit(budget.unit)?;
        let part = reservation
            .as_mut()
            .filter(|_| live)
            .and_then(|one| one.parts.iter_mut().find(|part| part.budget == target.key.budget));
        let (key, excess) = match part {
            Some(part) => {
                let key = key_of(part);
                let limit = counters.charged_limit(&target.budget, &key)?;
                let charged = part.charge(counters.change(&key)?, amount, keep_open, late, limit)?;
                (key, charged.overrun)
            }
            None => {
                let cause = if used.is_some() && !live { OverrunCause::Late } else { OverrunCause::NotReserved };
                let limit = counters.charged_limit(&target.budget, &target.key)?;
                let counter = counters.change(&target.key)?;
                if target.budget.backfilling {
                    counter.count(amount)?;
                    (target.key, Amount::ZERO)
                } else {
                    (target.key, counter.charge(amount, limit, cause)?)
                }
            }
        };
        overrun |= !excess.is_zero() && budget.mode != Mode::Disabled;
        charged.push((target.budget.clone(), key));
    }
    if overrun {
        draft.notices.add(Notices::OVERRUN);
    }
    if let Some(reservation) = reservation.as_mut() {
        let progress = &mut reservation.progress;
        progress.charged_input = progress.charged_input.saturating_add(quantities.input_tokens);
        progress.charged_output = progress.charged_output.saturating_add(quantities.output_tokens);
        progress.charged_usd = progress.charged_usd.plus(quantities.usd)?;
        if reservation.progress.event_ids.len() < EVENT_IDS_LIMIT {
            reservation.progress.event_ids.push(draft.event_id);
        }
        if live && !keep_open {
            // Held parts that the event did not meet, such as those of another model's budget, are freed.
            for part in &mut reservation.parts {
                part.release(counters.change(&key_of(part))?)?;
            }
            reservation.state = if reservation.state == State::Expired { State::SettledLate } else { State::Settled };
            reservation.end_time = Some(scene.now);
        }
    }
    let reservation = reservation.map(|one| one.clone());
    let mut budgets = Vec::new();
    if draft.record.wants_budgets {
        for (budget, key) in charged {
            budgets.push(counters.state(&budget, &key, None, false)?);
        }
    }
    Ok(RecordAnswer {
        duplicate: false,
        event_id: draft.event_id,
        charge: Charge::clone(&draft.charge),
        charge_time: draft.charge_time,
        notices: draft.notices,
        reservation,
        budgets,
        session_id: draft.event.dimensions.get(Dimension::SessionId).map(str::to_owned),
    })
}

/// Releases a reservation for a caller; one that contradicts what its key pins is not there for it.
pub(super) fn release_for(
    pins: &Pins,
    id: Uuid,
    reason: &str,
    scene: &Scene<'_>,
    reservations: &mut Reservations,
    counters: &mut Counters,
) -> Result<Result<Answer, AppError>, BatchError> {
    if reservations.get(id).is_some_and(|known| !pins.admit_reservation(known, &scene.budgets.erasers)) {
        return Ok(Err(unknown(id)));
    }
    release(id, reason, scene, reservations, counters)
}

/// The answer where there is no such reservation.
fn unknown(id: Uuid) -> AppError {
    AppError::NotFound { what: Named::Reservation, id: id.to_string() }
}

/// Frees what is left. An unknown id gets a tombstone; an ended reservation stays as it ended.
fn release(
    id: Uuid,
    reason: &str,
    scene: &Scene<'_>,
    reservations: &mut Reservations,
    counters: &mut Counters,
) -> Result<Result<Answer, AppError>, BatchError> {
    match reservations.get(id) {
        None => reservations.add(Reservation::tombstone(id, scene.now, reason)),
        Some(known) if known.state.is_final() => {}
        Some(_) => {
            if let Some(reservation) = reservations.change(id) {
                for part in &mut reservation.parts {
                    part.release(counters.change(&key_of(part))?)?;
                }
                let used = !reservation.progress.event_ids.is_empty();
                reservation.state = if used { State::Settled } else { State::Released };
                reservation.end_time = Some(scene.now);
                reservation.progress.end_reason = reason.to_owned();
            }
        }
    }
    let reservation = reservations.get(id).cloned().ok_or(BatchError::Command("a reservation is missing"))?;
    let budgets = states(&reservation, scene, counters)?;
    Ok(Ok(Answer::Released(Box::new(ReleaseAnswer { reservation, budgets }))))
}

/// Releases a hold that its caller was never told of. One that is gone on with is left: somebody knows of it.
pub(super) fn withdraw(
    withdrawal: &Withdrawal,
    scene: &Scene<'_>,
    reservations: &mut Reservations,
    counters: &mut Counters,
) -> Result<Result<Answer, AppError>, BatchError> {
    let unseen = reservations.get(withdrawal.id).is_some_and(|one| {
        let untouched = one.sequence == 0 && one.progress.event_ids.is_empty();
        let told_time = one.progress.told_time.unwrap_or(one.create_time);
        one.state == State::Pending && untouched && told_time < withdrawal.told_before
    });
    if unseen {
        let reason = "its check was answered while the database was away";
        return Ok(release(withdrawal.id, reason, scene, reservations, counters)?.map(|_| Answer::Withdrawn(true)));
    }
    Ok(Ok(Answer::Withdrawn(false)))
}

/// Ends a reservation whose time has run out by the database's clock; one that was extended or ended meanwhile is left.
pub(super) fn expire(
    id: Uuid,
    scene: &Scene<'_>,
    reservations: &mut Reservations,
    counters: &mut Counters,
) -> Result<Result<Answer, AppError>, BatchError> {
    let due = reservations.get(id).is_some_and(|one| one.state == State::Pending && one.expire_time <= scene.now);
    if let Some(reservation) = reservations.change(id).filter(|_| due) {
        let running = reservation.progress.running_quantities;
        for part in &mut reservation.parts {
            let budget = scene.budgets.by_number(part.budget);
            let on_expire = budget.map_or(OnExpire::Release, |active| active.budget.effective_on_expire());
            let running = match (running, budget) {
                // Running usage says nothing of calls: the call that reported it certainly ran.
                (Some(running), Some(active)) if !matches!(active.budget.unit, Unit::Calls | Unit::Attempts) => {
                    Some(running.in_unit(active.budget.unit)?)
                }
                _ => None,
            };
            part.expire(counters.change(&key_of(part))?, on_expire, running)?;
        }
        reservation.state = State::Expired;
        reservation.end_time = Some(scene.now);
        "expired".clone_into(&mut reservation.progress.end_reason);
    }
    Ok(Ok(Answer::Expired))
}

/// Extends a reservation: a new lead from now, the running usage, and, where that or a raised estimate asks for more
/// than is held, more of every budget or of none.
pub(super) fn extend(
    extension: &Extension,
    plan: Option<&ReservePlan>,
    scene: &Scene<'_>,
    reservations: &mut Reservations,
    counters: &mut Counters,
) -> Result<Result<Answer, AppError>, BatchError> {
    let id = extension.id;
    let own = |known: &&Reservation| extension.pins.admit_reservation(known, &scene.budgets.erasers);
    match reservations.get(id).filter(own).map(|one| one.state) {
        None => return Ok(Err(unknown(id))),
        Some(State::Pending) => {}
        Some(state) => {
            return Ok(Err(AppError::ReservationEnded { id: id.to_string(), state: state_name(state) }));
        }
    }
    let Some(reservation) = reservations.change(id) else {
        return Err(BatchError::Command("a reservation is missing"));
    };
    let mut decision = Decision::Allowed;
    // The last one again is answered again: everything that an extension says is absolute.
    if extension.sequence >= reservation.sequence {
        reservation.sequence = extension.sequence;
        if let Some(ttl) = extension.ttl {
            let lead = jiff::SignedDuration::try_from(ttl).unwrap_or_default();
            let expire_time = scene.now.checked_add(lead).unwrap_or(reservation.expire_time);
            reservation.expire_time = reservation.expire_time.max(expire_time);
        }
        let estimate = reservation.context.as_ref().map(|context| &context.estimate);
        let running =
            extension.running.as_ref().map(|usage| running_quantities(usage, extension, estimate)).transpose()?;
        if let (Some(usage), Some(quantities)) = (&extension.running, running) {
            reservation.progress.running = Some(usage.clone());
            reservation.progress.running_quantities = Some(quantities);
        }
        if !raise(reservation, running, plan, scene, counters)? {
            decision = Decision::Denied(Refusal::BudgetExceeded);
        } else if let (Some(plan), Some(context)) = (plan, reservation.context.as_mut()) {
            plan.apply_to(context);
        }
    }
    let reservation = reservation.clone();
    let budgets = states(&reservation, scene, counters)?;
    Ok(Ok(Answer::Extended(Box::new(ExtendAnswer { decision, reservation, budgets }))))
}

/// What running usage comes to. Where the hold is for several calls, it is priced by the size of one of them.
fn running_quantities(
    usage: &TokenUsage,
    extension: &Extension,
    estimate: Option<&Estimate>,
) -> Result<Quantities, BatchError> {
    let size = estimate.map_or(usage.total_input.unwrap_or(0), |estimate| size_of_one_call(estimate, usage));
    let sheet = extension.running_sheet.as_ref().map(|sheet| sheet.applied(size));
    let cost =
        price(Some(usage), &[], sheet.as_deref()).map_err(|_| BatchError::Command("running usage cannot be priced"))?;
    Ok(Quantities {
        usd: cost.usd,
        input_tokens: usage.total_input.unwrap_or(0),
        output_tokens: usage.total_output.unwrap_or(0),
        calls: 0,
        attempts: 0,
    })
}

/// A hold to raise, or to make where the raised call reaches a budget for the first time.
struct Raise {
    key: WindowKey,
    amount: Amount,
    limit: Amount,
}

/// Raises every hold to what the call is now known to need, or none of them where a binding budget refuses.
fn raise(
    reservation: &mut Reservation,
    running: Option<Quantities>,
    plan: Option<&ReservePlan>,
    scene: &Scene<'_>,
    counters: &mut Counters,
) -> Result<bool, BatchError> {
    let mut wanted = Vec::new();
    for part in &reservation.parts {
        let Some(active) = scene.budgets.by_number(part.budget) else { continue };
        // Both say what the whole call needs: what was charged on the way is no longer to be held.
        let mut amount = Amount::ZERO;
        let raised = plan.and_then(ReservePlan::raised).filter(|demand| active.budget.counts_model(&demand.model));
        for quantities in running.into_iter().chain(raised.map(Demand::quantities)) {
            amount = amount.max(quantities.in_unit(active.budget.unit)?.minus(part.charged)?);
        }
        let key = key_of(part);
        wanted.push((active.clone(), Raise { key, amount, limit: counters.limit(active, &key)? }, part.held));
    }
    for one in plan.map(ReservePlan::deciding).unwrap_or_default() {
        let (Some(demand), Ok(target)) = (plan.and_then(ReservePlan::raised), &one.target) else { continue };
        let budget = &one.budget.budget;
        let refuses_unpriced = budget.unit == Unit::Usd && budget.effective_unpriced() == Choice::Deny;
        if !budget.counts_model(&demand.model) {
            continue;
        }
        if demand.is_unpriced() && refuses_unpriced && budget.mode == Mode::Enforced {
            return Ok(false);
        }
        if !reservation.parts.iter().any(|part| part.budget == target.key.budget) {
            let amount = demand.quantities().in_unit(budget.unit)?;
            let limit = counters.limit(&one.budget, &target.key)?;
            wanted.push((one.budget.clone(), Raise { key: target.key, amount, limit }, Amount::ZERO));
        }
    }
    for (active, raise, held) in &wanted {
        let more = raise.amount.minus(*held)?;
        let room = room(&active.budget, &counters.get(&raise.key)?.counter, raise.limit)?;
        if more > Amount::ZERO && room.is_some_and(|room| room < more) {
            return Ok(false);
        }
    }
    for (_, raise, _) in wanted {
        let counter = counters.change(&raise.key)?;
        counter.note_limit(raise.limit);
        match reservation.parts.iter_mut().find(|part| key_of(part) == raise.key) {
            Some(part) => part.raise(counter, raise.amount)?,
            None => {
                counter.hold(raise.amount)?;
                reservation.parts.push(Part::new(raise.key.budget, raise.key.scope, raise.key.start, raise.amount));
            }
        }
    }
    Ok(true)
}

fn states(reservation: &Reservation, scene: &Scene<'_>, counters: &Counters) -> Result<Vec<BudgetState>, BatchError> {
    let mut states = Vec::with_capacity(reservation.parts.len());
    for part in &reservation.parts {
        if let Some(active) = scene.budgets.by_number(part.budget) {
            states.push(counters.state(active, &key_of(part), None, false)?);
        }
    }
    Ok(states)
}

/// The name of a state in messages.
pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Settled => "settled",
        State::Released => "released",
        State::Expired => "expired",
        State::SettledLate => "settled late",
        State::Void => "void",
    }
}
