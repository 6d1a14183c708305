//! The retention: what is older is sealed, in chunks that keep writers waiting for a moment only, and deleted.

use std::time::Duration;

use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use tollgate_domain::amount::AmountError;
use tollgate_domain::event::Accounting;
use tollgate_domain::measures::Measures;
use uuid::Uuid;

use super::{App, AppError};
use crate::ledger::totals::Totals;
use crate::store::budgets::{self, BudgetSet};
use crate::store::counters::ChargedQuantities;
use crate::store::rebuild::{Entry, entries};
use crate::store::retention::{self, Charged};
use crate::store::time::from_database;
use crate::store::usage::StoredEvent;
use crate::store::{StoreError, ledger, partitions, usage};
use crate::tenant::TenantId;

/// Events that are sealed together, while the tenant's writers wait.
const CHUNK: i64 = 500;
/// Rows that are deleted together.
const PURGED: i64 = 5_000;
/// Ids of this much more than the retention are not accepted for sure, whatever batch is under way.
const MARGIN: SignedDuration = SignedDuration::from_hours(48);
/// An event names its reservation, and its partition may reach a month beyond the retention: reservations stay a while longer.
const RESERVATIONS_LONGER: SignedDuration = SignedDuration::from_hours(24 * 64);

impl App {
    /// Seals the oldest events of months before the one that holds `oldest_kept`: adds what they and their corrections count
    /// to what is sealed of their sessions, rollups and counters, and deletes them. Says how many; 0 = there are none, or a
    /// budget still counts back.
    ///
    /// # Errors
    /// [`AppError`]; nothing is changed then.
    pub async fn seal_oldest(&self, tenant: TenantId, oldest_kept: Timestamp) -> Result<usize, AppError> {
        let (_, first_kept) = partitions::month_of(oldest_kept)?;
        let mut transaction = ledger::begin_budget_upkeep(&self.all_tenants, tenant).await?;
        let set = budgets::active(&mut transaction, tenant, 0).await?;
        // Which of its events it has counted already is not known.
        if let Some(active) = set.budgets.iter().find(|active| active.backfilling) {
            tracing::info!(
                budget = active.budget.budget_id,
                "a budget still counts back: nothing is sealed before it has"
            );
            return Ok(0);
        }
        let events = retention::oldest_events(&mut transaction, tenant, first_kept, CHUNK).await?;
        if events.is_empty() {
            return Ok(0);
        }
        let found: Vec<Entry> = entries(&mut transaction, tenant, Some(&events)).try_collect().await?;
        let rows = found.iter().map(|entry| entry.event.clone()).collect();
        let decoded = usage::decode(&mut transaction, &self.dictionary, tenant, rows).await?;
        let sealed = Sealed::of(&set, &found, &decoded).map_err(|error| {
            tracing::error!(%error, "events that are older than the retention cannot be sealed");
            AppError::Internal
        })?;
        sealed.write(&mut transaction, tenant).await?;
        let keys = found
            .iter()
            .filter_map(|Entry { event, .. }| Some((event.external_source.clone()?, event.external_key.clone()?)));
        let (sources, keys): (Vec<String>, Vec<String>) = keys.unzip();
        retention::delete_events(&mut transaction, tenant, &events, (&sources, &keys)).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(events.len())
    }

    /// Deletes what else is older than the retention: ended reservations that presume nothing, counters of windows of which no
    /// event is left, answers to corrections, and alerts. Says how many rows; 0 = there are none.
    ///
    /// # Errors
    /// [`AppError`]; the same again goes on.
    pub async fn purge(&self, tenant: TenantId, oldest_kept: Timestamp) -> Result<u64, AppError> {
        let (start, _) = partitions::month_of(oldest_kept)?;
        let longer = start.checked_sub(RESERVATIONS_LONGER).map_err(|_| AppError::Internal)?;
        let reservations_before = partitions::month_of(longer)?;
        let mut connection = self.all_tenants.acquire().await.map_err(StoreError::from)?;
        // None of these is of use to a batch: writers need not wait.
        let mut purged = retention::purge_reservations(&mut connection, tenant, reservations_before, PURGED).await?;
        purged += retention::purge_adjustment_requests(&mut connection, tenant, start, PURGED).await?;
        purged += retention::purge_alerts(&mut connection, tenant, start, PURGED).await?;
        // As long as reservations: these show what they held in.
        let ended = retention::ended_windows(&mut connection, tenant, reservations_before.0, PURGED).await?;
        drop(connection);
        if !ended.is_empty() {
            // A late call may be charged to them at any time.
            let mut transaction = ledger::begin_budget_upkeep(&self.all_tenants, tenant).await?;
            purged += retention::delete_windows(&mut transaction, tenant, &ended).await?;
            purged += retention::purge_periods(&mut transaction, tenant, reservations_before.0, PURGED).await?;
            transaction.commit().await.map_err(StoreError::from)?;
        }
        Ok(purged)
    }

    /// From when on events are kept, by the database's clock: a replica's own may be wrong.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn oldest_kept(&self, tenant: TenantId, kept_for: Duration) -> Result<Timestamp, AppError> {
        let mut connection = self.all_tenants.acquire().await.map_err(StoreError::from)?;
        let now = ledger::clock(&mut connection, tenant).await?.now;
        let kept_for = SignedDuration::try_from(kept_for).map_err(|_| AppError::Internal)?;
        now.checked_sub(kept_for + MARGIN).map_err(|_| AppError::Internal)
    }
}

/// What some events count.
#[derive(Default)]
struct Sealed {
    totals: Totals,
    charges: Vec<Charged>,
}

impl Sealed {
    fn of(set: &BudgetSet, entries: &[Entry], events: &[StoredEvent]) -> Result<Self, SealError> {
        let mut sealed = Self::default();
        for (entry, event) in entries.iter().zip(events) {
            let measures = Measures::of(&event.event, &event.charge)?;
            let measures = if entry.reversed { measures.negated()? } else { measures };
            sealed.totals.add_row(&entry.event, event.event.start_time, &measures, entry.adjustment)?;
            if event.event.accounting == Accounting::Enforced {
                sealed.charge(set, entry, event)?;
            }
        }
        Ok(sealed)
    }

    /// Notes what an entry charged to counters, as batches decided it.
    fn charge(&mut self, set: &BudgetSet, entry: &Entry, event: &StoredEvent) -> Result<(), SealError> {
        let quantities = ChargedQuantities::of_row(&entry.event, entry.reversed)?;
        let charge_time = from_database(entry.event.charge_time)?;
        for (active, per_values) in set.charged(&event.event.dimensions, event.event.model(), charge_time) {
            let amount = quantities.in_unit(active.budget.unit)?;
            let (budget, scope): (i64, Uuid) = (active.number, per_values.digest());
            self.charges.push(Charged { budget, scope, charge_time: entry.event.charge_time, amount });
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection, tenant: TenantId) -> Result<(), StoreError> {
        retention::seal_sessions(connection, tenant, self.totals.sessions()).await?;
        let rollups = self.totals.shapes().chain(self.totals.users());
        retention::seal_rollups(connection, tenant, rollups).await?;
        retention::seal_counters(connection, tenant, &self.charges).await
    }
}

/// Why something cannot be sealed.
#[derive(Debug, thiserror::Error)]
enum SealError {
    #[error("a sum cannot be held: {0}")]
    Amount(#[from] AmountError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
