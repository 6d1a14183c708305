//! The windows that a batch or a check counts in: as they are stored, remembered by this replica.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use moka::sync::Cache;
use sqlx::PgConnection;
use tollgate_domain::window::{Bounds, Periods, WindowKind};

use super::batch::BatchError;
use crate::store::StoreError;
use crate::store::budgets::ActiveBudget;
use crate::store::periods::{self, PeriodsByBudget, SettleError, WantedPeriods};
use crate::tenant::TenantId;

/// Most budgets whose windows are remembered.
const BUDGETS: u64 = 20_000;
/// Most windows of one budget that are remembered: the latest.
const WINDOWS: usize = 128;

impl From<SettleError> for BatchError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Store(error) => Self::Store(error),
            SettleError::Window(_) => Self::Command("no window holds its time"),
        }
    }
}

/// Stored windows that this replica has seen. What is stored never changes.
#[derive(Debug, Clone)]
pub(super) struct KnownPeriods {
    budgets: Cache<(TenantId, i64), Arc<Periods>>,
}

impl KnownPeriods {
    pub(super) fn new() -> Self {
        Self { budgets: Cache::new(BUDGETS) }
    }

    /// Forgets all: the database may have come back with less than it had.
    pub(super) fn forget(&self) {
        self.budgets.invalidate_all();
    }

    fn remember(&self, tenant: TenantId, found: &PeriodsByBudget) {
        for (number, periods) in found {
            let mut known = self.budgets.get(&(tenant, *number)).map(|known| (*known).clone()).unwrap_or_default();
            known.merge(periods, WINDOWS);
            self.budgets.insert((tenant, *number), Arc::new(known));
        }
    }
}

/// Where windows are looked up, and what was not found.
#[derive(Debug)]
pub(super) struct Calendar {
    tenant: TenantId,
    known: KnownPeriods,
    /// What this batch had stored before it started over: it counts in it, whatever the memory of the replica has room for.
    settled: PeriodsByBudget,
    /// Read for this one question; windows around it that are not here are not stored.
    read: PeriodsByBudget,
    wanted: Mutex<WantedPeriods>,
}

impl Calendar {
    pub(super) fn new(tenant: TenantId, known: KnownPeriods) -> Self {
        let (settled, read) = (PeriodsByBudget::new(), PeriodsByBudget::new());
        Self { tenant, known, settled, read, wanted: Mutex::default() }
    }

    /// With windows that were stored for the one who asks.
    pub(super) fn with(self, settled: PeriodsByBudget) -> Self {
        Self { settled, ..self }
    }

    /// The window of a budget that holds `at`. One that is not known is computed, and noted as wanted.
    pub(super) fn bounds(&self, active: &Arc<ActiveBudget>, at: Timestamp) -> Result<Bounds, BatchError> {
        let window = &active.budget.window;
        let computed = |_| BatchError::Command("no window holds its time");
        if window.kind() == WindowKind::Lifetime {
            return window.bounds(at).map_err(computed);
        }
        let known = self.known.budgets.get(&(self.tenant, active.number));
        if let Some(stored) = known.as_ref().and_then(|known| known.holding(at)) {
            return Ok(stored);
        }
        if let Some(stored) = self.settled.get(&active.number).and_then(|settled| settled.holding(at)) {
            return Ok(stored);
        }
        if let Some(read) = self.read.get(&active.number) {
            return read.bounds(window, at).map_err(computed);
        }
        let bounds = match known {
            Some(known) => known.bounds(window, at),
            None => window.bounds(at),
        };
        let bounds = bounds.map_err(computed)?;
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.entry((active.number, bounds.start)).or_insert_with(|| (active.clone(), at));
        Ok(bounds)
    }

    /// What was asked for and not known, since this was asked before.
    pub(super) fn take_wanted(&self) -> WantedPeriods {
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what is stored around what is wanted, without storing anything.
    pub(super) async fn read(
        &mut self,
        connection: &mut PgConnection,
        wanted: &WantedPeriods,
    ) -> Result<(), StoreError> {
        self.read = periods::around(connection, self.tenant, wanted).await?;
        Ok(())
    }
}

/// Stores what is wanted, in a transaction of its own: what a window is does not depend on what becomes of the batch that asks
/// first, and nobody waits for that batch because of it. Returns the windows around it.
pub(super) async fn settle(
    connection: &mut PgConnection,
    tenant: TenantId,
    known: &KnownPeriods,
    wanted: &WantedPeriods,
) -> Result<PeriodsByBudget, BatchError> {
    let found = periods::around(connection, tenant, wanted).await?;
    let stored = |number: i64, at: Timestamp| found.get(&number).is_some_and(|known| known.holding(at).is_some());
    if wanted.iter().all(|((number, _), (_, at))| stored(*number, *at)) {
        known.remember(tenant, &found);
        return Ok(found);
    }
    let found = periods::settle_apart(connection, tenant, wanted).await?;
    known.remember(tenant, &found);
    Ok(found)
}
