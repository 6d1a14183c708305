//! What a new budget counts of the ledger that is there already: at once where that is little, else in the background, in
//! chunks that any replica goes on with, and then in force by one switch.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, AmountError};
use tollgate_domain::budget::{Budget, Carry, Counter, OverrunCause, Reach, Unit};
use tollgate_domain::reservation::Part;
use tollgate_domain::window::{Bounds, Periods};
use uuid::Uuid;

use super::{App, AppError, budget_alerts};
use crate::ledger::inherit;
use crate::store::backfill::{self, Backfill, Counted};
use crate::store::budgets::{self, ActiveBudget};
use crate::store::connect::begin;
use crate::store::counters::{Needed, charged_groups, dimensions_of};
use crate::store::dictionary::Dictionary;
use crate::store::ledger::{self, Conclusion};
use crate::store::reservations::{self, Reservation};
use crate::store::windows::{self, NewWindow, StoredWindow, WindowKey};
use crate::store::{StoreError, periods};
use crate::tenant::TenantId;

/// Most counters of one budget that a creation counts back.
const COUNTERS_LIMIT: usize = 1_000_000;
/// The version of a counter that was added and then written once.
const WRITTEN: i64 = 2;
/// How far beyond the creation charges are looked for: none is later than its recording, by a clock that may have been set back.
const MARGIN: SignedDuration = SignedDuration::from_hours(24);
/// Reservations of one page.
const PAGE: i64 = 1_000;

impl App {
    /// Fills the counters of a new budget from the events that it selects, in the transaction that creates it. No batch runs
    /// meanwhile.
    pub(super) async fn count_back(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        active: &ActiveBudget,
        now: Timestamp,
    ) -> Result<(), AppError> {
        let end = active.budget.window.bounds(now).map_err(|_| AppError::Internal)?.end;
        let counted =
            charged(connection, &self.dictionary, tenant, active, Bounds { start: active.counted_from, end }, None)
                .await?;
        write_counted(connection, tenant, active, counted, now).await
    }

    /// Counts the next chunk of a budget that counts back, or puts it in force; says whether there is more to do.
    ///
    /// # Errors
    /// [`AppError`]; the same again goes on.
    pub async fn advance_backfill(&self, tenant: TenantId) -> Result<bool, AppError> {
        let mut transaction = begin(&self.all_tenants, "BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let Some(found) = backfill::next(&mut transaction, tenant).await? else { return Ok(false) };
        let Backfill { budget, recorded_before, counted_to } = found;
        let until = recorded_before.checked_add(MARGIN).unwrap_or(recorded_before);
        if counted_to >= until {
            drop(transaction);
            self.activate(tenant, budget.number).await?;
            return Ok(true);
        }
        let events = self.ledger.settings().count_at_once;
        let chunk_end = backfill::chunk_end(&mut transaction, tenant, counted_to, events).await?;
        let chunk = Bounds { start: counted_to, end: chunk_end.map_or(until, |end| end.min(until)) };
        periods::lock(&mut transaction, tenant, &[budget.number]).await?;
        let counted =
            charged(&mut transaction, &self.dictionary, tenant, &budget, chunk, Some(recorded_before)).await?;
        let windows = counted.iter().map(|(key, counted)| (key.budget, Bounds { start: key.start, end: counted.end }));
        periods::add(&mut transaction, tenant, windows).await?;
        backfill::advance(&mut transaction, tenant, budget.number, &counted, chunk.end).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(true)
    }

    /// Puts a budget in force whose earlier charges are counted. No batch runs meanwhile.
    async fn activate(&self, tenant: TenantId, number: i64) -> Result<(), AppError> {
        let mut transaction = ledger::begin_budget_upkeep(&self.all_tenants, tenant).await?;
        let now = ledger::clock(&mut transaction, tenant).await?.now;
        let set = budgets::active(&mut transaction, tenant, 0).await?;
        // Another replica was faster, or it was deleted.
        let Some(active) = set.by_number(number).filter(|active| active.backfilling) else { return Ok(()) };
        let mut counted = backfill::counted(&mut transaction, tenant, number).await?;
        adopt_holds(&mut transaction, tenant, active, &mut counted, now).await?;
        write_counted(&mut transaction, tenant, active, counted, now).await?;
        backfill::finish(&mut transaction, tenant, number).await?;
        budgets::bump_version(&mut transaction, tenant).await?;
        // It told nothing while it decided nothing: from here on it is like one that was just created.
        let in_force = ActiveBudget { backfilling: false, ..ActiveBudget::clone(active) };
        let mut raised = self.alerts.raising(tenant, now);
        budget_alerts::of_creation(&mut transaction, tenant, &in_force, &mut raised).await?;
        let alerts = self.alerts.write(&mut transaction, raised).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.alerts.announce(tenant, &alerts);
        tracing::info!(tenant = tenant.0, budget = active.number, "a budget has counted back and is in force");
        Ok(())
    }
}

/// What events charge to the counters of a budget within a range of charge times; of those recorded before
/// `recorded_before` alone, where that is set.
///
/// # Errors
/// [`AppError::QueryTooWide`] where there are too many counters, and others.
pub(super) async fn charged(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    active: &ActiveBudget,
    range: Bounds,
    recorded_before: Option<Timestamp>,
) -> Result<BTreeMap<WindowKey, Counted>, AppError> {
    let budget = &active.budget;
    let last = range.end.checked_sub(SignedDuration::from_micros(1)).map_err(|_| AppError::Internal)?;
    let stored = periods::in_range(connection, tenant, active, range.start, last).await?;
    let windows = windows_between(budget, &stored, range.start, last)?;
    let needed = Needed::by(budget);
    let ranges: Vec<(Timestamp, Timestamp)> =
        windows.iter().map(|bounds| (bounds.start.max(range.start), bounds.end.min(range.end))).collect();
    let groups = charged_groups(connection, tenant, &ranges, &needed, recorded_before).await?;
    let shapes = groups.iter().map(|group| group.shape_id);
    let shapes = dictionary.shapes(connection, tenant, shapes).await?;
    let mut counted: BTreeMap<WindowKey, Counted> = BTreeMap::new();
    for group in &groups {
        let (Some(shape), Some(bounds)) = (group.shape(&shapes), windows.get(group.window_index)) else {
            return Err(AppError::Internal);
        };
        let Reach::Counter(per_values) = budget.reach(&dimensions_of(group, shape)) else { continue };
        if !budget.counts_model(shape.model()) {
            continue;
        }
        let amount = group.quantities.in_unit(budget.unit).map_err(too_large)?;
        let key = WindowKey { budget: active.number, scope: per_values.digest(), start: bounds.start };
        let entry = counted.entry(key).or_insert_with(|| Counted::new(bounds.end, per_values));
        entry.spent = entry.spent.plus(amount).map_err(too_large)?;
        if counted.len() > COUNTERS_LIMIT {
            return Err(AppError::QueryTooWide("the budget would start with too many counters".to_owned()));
        }
    }
    Ok(counted)
}

/// Lets open reservations hold in a budget that begins to be in force: what is left of their worst case, in the windows in
/// which they were made.
async fn adopt_holds(
    connection: &mut PgConnection,
    tenant: TenantId,
    active: &ActiveBudget,
    counted: &mut BTreeMap<WindowKey, Counted>,
    now: Timestamp,
) -> Result<(), AppError> {
    if !active.budget.is_in_force(now) {
        return Ok(());
    }
    periods::lock(connection, tenant, &[active.number]).await?;
    let mut known = periods::in_range(connection, tenant, active, active.counted_from, now).await?;
    let mut after: Option<Uuid> = None;
    loop {
        let mut page = reservations::open(connection, tenant, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        let mut changed = Vec::new();
        for reservation in &mut page {
            if let Some((key, bounds, part, per_values)) = hold_of(active, reservation, &known)? {
                known.add(bounds);
                let entry = counted.entry(key).or_insert_with(|| Counted::new(bounds.end, per_values));
                entry.held = entry.held.plus(part.held).map_err(too_large)?;
                reservation.parts.push(part);
                changed.push(&*reservation);
            }
        }
        if !changed.is_empty() {
            ledger::conclude(connection, tenant, &Conclusion { changed, ..Conclusion::default() }).await?;
        }
    }
}

type Hold = (WindowKey, Bounds, Part, tollgate_domain::budget::PerValues);

fn hold_of(active: &ActiveBudget, reservation: &Reservation, known: &Periods) -> Result<Option<Hold>, AppError> {
    let budget = &active.budget;
    let Some(context) = &reservation.context else { return Ok(None) };
    let Reach::Counter(per_values) = budget.reach(&context.dimensions) else { return Ok(None) };
    let counts = active.counted_from <= reservation.create_time && budget.counts_model(&context.model);
    let charged = charged_of(reservation, budget.unit).map_err(too_large)?;
    let worst = context.worst.in_unit(budget.unit).map_err(too_large)?;
    let held = worst.minus(charged).map_err(too_large)?.max(Amount::ZERO);
    if !counts || held.is_zero() {
        return Ok(None);
    }
    let bounds = known.bounds(&budget.window, reservation.create_time).map_err(|_| AppError::Internal)?;
    let key = WindowKey { budget: active.number, scope: per_values.digest(), start: bounds.start };
    let part = Part { charged, ..Part::new(key.budget, key.scope, key.start, held) };
    Ok(Some((key, bounds, part, per_values)))
}

fn charged_of(reservation: &Reservation, unit: Unit) -> Result<Amount, AmountError> {
    let progress = &reservation.progress;
    let events = u64::try_from(progress.event_ids.len()).unwrap_or(u64::MAX);
    match unit {
        Unit::Usd => Ok(progress.charged_usd.into()),
        Unit::Tokens => Amount::from_count(progress.charged_input.saturating_add(progress.charged_output)),
        Unit::InputTokens => Amount::from_count(progress.charged_input),
        Unit::OutputTokens => Amount::from_count(progress.charged_output),
        Unit::Calls | Unit::Attempts => Amount::from_count(events),
    }
}

/// Writes the counters of a budget that begins, each with what it carries from the one before it; what lies above the limit is
/// an overrun of its creation.
async fn write_counted(
    connection: &mut PgConnection,
    tenant: TenantId,
    active: &ActiveBudget,
    counted: BTreeMap<WindowKey, Counted>,
    now: Timestamp,
) -> Result<(), AppError> {
    let mut new: BTreeMap<WindowKey, NewWindow> = BTreeMap::new();
    let mut counters: Vec<StoredWindow> = Vec::with_capacity(counted.len());
    let mut heirs = Vec::new();
    for (key, Counted { end, per_values, spent, held, version }) in counted {
        let version = version.map_or(WRITTEN, |version| version + 1);
        new.insert(key, NewWindow { end, per_values: per_values.clone(), limit: active.budget.limit });
        let mut stored = StoredWindow { key, end, per_values, counter: Counter::default(), version };
        // The keys are sorted: what precedes is the same counter's last window, or another counter.
        let last = counters.last().filter(|last| last.key.scope == key.scope);
        if let Some(last) = last.filter(|_| active.budget.carry != Carry::None) {
            let from = inherit(&mut stored, active, last, now).map_err(|_| AppError::Internal)?;
            heirs.push((stored.clone(), from));
        }
        let limit = active.effective_limit(&stored, now).map_err(too_large)?;
        stored.counter.hold(held).map_err(too_large)?;
        stored.counter.charge(spent, limit, OverrunCause::BudgetCreated).map_err(too_large)?;
        counters.push(stored);
    }
    if new.is_empty() {
        return Ok(());
    }
    let windows = new.iter().map(|(key, window)| (key.budget, Bounds { start: key.start, end: window.end }));
    periods::add(connection, tenant, windows).await?;
    windows::add(connection, tenant, &new).await?;
    if !heirs.is_empty() {
        windows::set_carried(connection, tenant, &heirs).await?;
    }
    windows::write(connection, tenant, &counters).await?;
    Ok(())
}

/// The windows from the one that holds `from` to the one that holds `last`, in rising order.
/// Stored ones stand above computed ones.
pub(super) fn windows_between(
    budget: &Budget,
    stored: &Periods,
    from: Timestamp,
    last: Timestamp,
) -> Result<Vec<Bounds>, AppError> {
    const WINDOWS_LIMIT: usize = 100_000;
    let mut windows = Vec::new();
    let mut at = from;
    loop {
        let bounds = stored.bounds(&budget.window, at).map_err(|_| AppError::Internal)?;
        windows.push(bounds);
        if bounds.end > last {
            return Ok(windows);
        }
        if windows.len() >= WINDOWS_LIMIT {
            return Err(AppError::invalid("budget.count_from", "lies too many windows back"));
        }
        at = bounds.end;
    }
}

pub(super) fn too_large(_: AmountError) -> AppError {
    AppError::invalid("budget", "its counters would exceed what can be held")
}
