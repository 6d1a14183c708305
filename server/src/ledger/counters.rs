//! The counters that a batch needs, locked once, moved in memory, written back once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use moka::sync::Cache;
use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, AmountError};
use tollgate_domain::budget::{Action, BudgetState, Counter, Mode, PerValues, Reach, peek_fired};
use tollgate_domain::dimensions::{DimensionKey, Dimensions};
use tollgate_domain::model::ModelRef;
use tollgate_domain::window::Bounds;

use super::batch::BatchError;
use super::inheritance::Heirs;
use super::known::KnownFigures;
use super::periods::Calendar;
use crate::store::budgets::{ActiveBudget, BudgetSet};
use crate::store::windows::{self, NewWindow, StoredWindow, WindowKey};
use crate::tenant::TenantId;

/// A counter that a call falls under.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) budget: Arc<ActiveBudget>,
    pub(super) key: WindowKey,
    pub(super) per_values: PerValues,
    pub(super) bounds: Bounds,
}

impl Target {
    fn new(budget: &Arc<ActiveBudget>, per_values: PerValues, bounds: Bounds) -> Self {
        let key = WindowKey { budget: budget.number, scope: per_values.digest(), start: bounds.start };
        Self { budget: budget.clone(), key, per_values, bounds }
    }
}

/// The counters that an event of these dimensions is charged to, in their windows.
pub(super) fn charged(
    budgets: &BudgetSet,
    dimensions: &Dimensions,
    model: &ModelRef,
    charge_time: Timestamp,
    calendar: &Calendar,
) -> Result<Vec<Target>, BatchError> {
    let charged = budgets.charged(dimensions, model, charge_time);
    charged
        .map(|(active, per_values)| Ok(Target::new(active, per_values, calendar.bounds(active, charge_time)?)))
        .collect()
}

/// A budget that decides about a call, with its counter or the key that is missing.
#[derive(Debug, Clone)]
pub(super) struct Deciding {
    pub(super) budget: Arc<ActiveBudget>,
    pub(super) target: Result<Target, DimensionKey>,
    pub(super) bounds: Bounds,
}

/// The budgets in force that select a call of these dimensions now.
pub(super) fn deciding(
    budgets: &BudgetSet,
    dimensions: &Dimensions,
    now: Timestamp,
    calendar: &Calendar,
) -> Result<Vec<Deciding>, BatchError> {
    selecting(budgets, dimensions, now, calendar, false)
}

/// The budgets that select it, too, and decide nothing yet, since they still count back.
pub(super) fn watching(
    budgets: &BudgetSet,
    dimensions: &Dimensions,
    now: Timestamp,
    calendar: &Calendar,
) -> Result<Vec<Deciding>, BatchError> {
    let mut found = selecting(budgets, dimensions, now, calendar, true)?;
    found.retain(|one| one.target.is_ok());
    Ok(found)
}

fn selecting(
    budgets: &BudgetSet,
    dimensions: &Dimensions,
    now: Timestamp,
    calendar: &Calendar,
    backfilling: bool,
) -> Result<Vec<Deciding>, BatchError> {
    let mut found = Vec::new();
    for active in budgets.budgets.iter().filter(|active| active.backfilling == backfilling) {
        if !active.budget.is_in_force(now) || active.counted_from > now {
            continue;
        }
        let reach = active.budget.reach(dimensions);
        if reach == Reach::Outside {
            continue;
        }
        let bounds = calendar.bounds(active, now)?;
        let target = match reach {
            Reach::Outside => continue,
            Reach::Counter(per_values) => Ok(Target::new(active, per_values, bounds)),
            Reach::MissingKey(key) => Err(key),
        };
        found.push(Deciding { budget: active.clone(), target, bounds });
    }
    Ok(found)
}

#[derive(Debug)]
struct Slot {
    stored: StoredWindow,
    changed: bool,
    /// As it was before the command under way, where that one moved it.
    before: Option<Counter>,
}

/// The batch's counters.
#[derive(Debug)]
pub(super) struct Counters {
    now: Timestamp,
    needed: BTreeMap<WindowKey, Option<NewWindow>>,
    slots: BTreeMap<WindowKey, Slot>,
    moved: Vec<WindowKey>,
    heirs: Heirs,
}

impl Counters {
    /// Those of a batch that runs now.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, needed: BTreeMap::new(), slots: BTreeMap::new(), moved: Vec::new(), heirs: Heirs::default() }
    }

    /// Asks for a counter that may have to be made.
    pub(super) fn need(&mut self, target: &Target) {
        let now = self.now;
        self.heirs.note(target.key, &target.budget);
        self.needed.entry(target.key).or_default().get_or_insert_with(|| NewWindow {
            end: target.bounds.end,
            per_values: target.per_values.clone(),
            limit: target.budget.limit(target.key.scope, target.bounds.end, now),
        });
    }

    /// Asks for a counter that is there: something is held in it.
    pub(super) fn need_existing(&mut self, key: WindowKey) {
        self.needed.entry(key).or_default();
    }

    /// Makes the counters that are missing, then locks all, in one global order.
    pub(super) async fn lock(
        &mut self,
        connection: &mut PgConnection,
        tenant: TenantId,
        known: &Cache<(TenantId, WindowKey), ()>,
    ) -> Result<(), BatchError> {
        if self.needed.is_empty() {
            return Ok(());
        }
        let missing: BTreeMap<WindowKey, NewWindow> = self
            .needed
            .iter()
            .filter(|(key, _)| !known.contains_key(&(tenant, **key)))
            .filter_map(|(key, new)| Some((*key, new.clone()?)))
            .collect();
        let mut keys: BTreeSet<WindowKey> = self.needed.keys().copied().collect();
        if !missing.is_empty() {
            let added = windows::add(connection, tenant, &missing).await?;
            keys.extend(self.heirs.find_last(connection, tenant, &added).await?);
        }
        for stored in windows::lock(connection, tenant, keys.into_iter()).await? {
            self.slots.insert(stored.key, Slot { stored, changed: false, before: None });
        }
        let gone: Vec<WindowKey> = self
            .needed
            .iter()
            .filter(|(key, new)| new.is_some() && !self.slots.contains_key(key))
            .map(|(key, _)| *key)
            .collect();
        if !gone.is_empty() {
            // Deleted by the retention since this replica made or saw them: the batch starts over and makes them anew.
            for key in gone {
                known.invalidate(&(tenant, key));
            }
            return Err(BatchError::Raced);
        }
        let Self { slots, heirs, now, .. } = self;
        for heir in heirs.take_over(connection, tenant, *now, |key| Some(slots.get(key)?.stored.clone())).await? {
            slots.insert(heir.key, Slot { stored: heir, changed: false, before: None });
        }
        Ok(())
    }

    /// A counter to read.
    pub(super) fn get(&self, key: &WindowKey) -> Result<&StoredWindow, BatchError> {
        self.slots.get(key).map(|slot| &slot.stored).ok_or(BatchError::Command("a counter is missing"))
    }

    /// The limit that is in force for a counter.
    pub(super) fn limit(&self, active: &ActiveBudget, key: &WindowKey) -> Result<Amount, BatchError> {
        Ok(active.effective_limit(self.get(key)?, self.now)?)
    }

    /// The limit that a charge is compared with. A window that has ended keeps the highest limit that it had: one that was
    /// raised later makes no room in it.
    pub(super) fn charged_limit(&self, active: &ActiveBudget, key: &WindowKey) -> Result<Amount, BatchError> {
        let stored = self.get(key)?;
        if stored.end <= self.now { Ok(stored.counter.highest_limit) } else { self.limit(active, key) }
    }

    /// A counter to move.
    pub(super) fn change(&mut self, key: &WindowKey) -> Result<&mut Counter, BatchError> {
        let slot = self.slots.get_mut(key).ok_or(BatchError::Command("a counter is missing"))?;
        slot.changed = true;
        if slot.before.is_none() {
            slot.before = Some(slot.stored.counter.clone());
            self.moved.push(*key);
        }
        Ok(&mut slot.stored.counter)
    }

    /// The counters that moved since this was asked before, each as it was then.
    pub(super) fn take_moved(&mut self) -> BTreeMap<WindowKey, Counter> {
        let slots = &mut self.slots;
        let before = |key: WindowKey| Some((key, slots.get_mut(&key)?.before.take()?));
        self.moved.drain(..).filter_map(before).collect()
    }

    /// A counter as it is shown after this batch.
    pub(super) fn state(
        &self,
        active: &ActiveBudget,
        key: &WindowKey,
        fired: Option<Action>,
        refused: bool,
    ) -> Result<BudgetState, BatchError> {
        let slot = self.slots.get(key).ok_or(BatchError::Command("a counter is missing"))?;
        let mut state = budget_state(active, &slot.stored, self.now)?;
        state.version += i64::from(slot.changed);
        state.fired = state.fired.max(fired);
        state.refused = refused;
        Ok(state)
    }

    /// Those that moved.
    pub(super) fn changed(&self) -> Vec<&StoredWindow> {
        self.slots.values().filter(|slot| slot.changed).map(|slot| &slot.stored).collect()
    }

    /// Remembers, after the commit, which counters are there and what they stand at.
    pub(super) fn remember(&self, tenant: TenantId, known: &Cache<(TenantId, WindowKey), ()>, figures: &KnownFigures) {
        for (key, slot) in &self.slots {
            if !known.contains_key(&(tenant, *key)) {
                known.insert((tenant, *key), ());
            }
            figures.remember(tenant, &slot.stored);
        }
    }
}

/// A stored counter as it is shown, without a call.
///
/// # Errors
/// [`AmountError::TooLarge`].
pub fn budget_state(active: &ActiveBudget, stored: &StoredWindow, now: Timestamp) -> Result<BudgetState, AmountError> {
    let budget = &active.budget;
    let limit = active.effective_limit(stored, now)?;
    Ok(BudgetState {
        budget_id: budget.budget_id.clone(),
        per_values: stored.per_values.by_name(&budget.per),
        unit: budget.unit,
        window: stored.bounds(),
        limit: budget.limit,
        effective_limit: limit,
        spent: stored.counter.spent,
        held: stored.counter.held,
        presumed: stored.counter.presumed,
        overrun: stored.counter.overrun,
        available: stored.counter.available(limit)?,
        fired: if active.backfilling { None } else { peek_fired(budget, &stored.counter, limit)? },
        refused: false,
        shadow: budget.mode == Mode::Shadow,
        version: stored.version,
        figures_unknown: false,
    })
}
