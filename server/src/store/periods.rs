//! The windows of budgets, stored once by who needs them first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};
use tollgate_domain::window::{Bounds, Periods, WindowError, WindowKind};
use tracing::Instrument as _;

use super::budgets::ActiveBudget;
use super::error::StoreError;
use super::ledger::BEGIN;
use super::time::{from_database, to_database};
use crate::tenant::TenantId;
use crate::trace::statement;

/// First key of the advisory locks that order who stores windows; the second is made of the budget.
const PERIODS_LOCK: i32 = 0x746f_6c70;

/// Stored windows, by the number of their budget.
pub type PeriodsByBudget = HashMap<i64, Periods>;

/// Windows that are wanted and not known, by budget and by the start that this replica would give them.
pub type WantedPeriods = BTreeMap<(i64, Timestamp), (Arc<ActiveBudget>, Timestamp)>;

/// Waits for whoever stores windows of these budgets, until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(connection: &mut PgConnection, tenant: TenantId, budgets: &[i64]) -> Result<(), StoreError> {
    sqlx::query_file!("sql/budget_period/lock.sql", PERIODS_LOCK, tenant.0, budgets)
        .fetch_all(connection)
        .instrument(statement("budget_period/lock", "SELECT"))
        .await?;
    Ok(())
}

/// The stored windows around what is wanted.
///
/// # Errors
/// [`StoreError`].
pub async fn around(
    connection: &mut PgConnection,
    tenant: TenantId,
    wanted: &WantedPeriods,
) -> Result<PeriodsByBudget, StoreError> {
    if wanted.is_empty() {
        return Ok(PeriodsByBudget::new());
    }
    let numbers: Vec<i64> = wanted.keys().map(|(number, _)| *number).collect();
    let instants: Vec<_> = wanted.values().map(|(_, at)| to_database(*at)).collect();
    let rows = sqlx::query_file!("sql/budget_period/neighbours.sql", tenant.0, &numbers, &instants)
        .fetch_all(connection)
        .instrument(statement("budget_period/neighbours", "SELECT"))
        .await?;
    let mut found: PeriodsByBudget = numbers.into_iter().map(|number| (number, Periods::default())).collect();
    for row in rows {
        let bounds = Bounds { start: from_database(row.period_start)?, end: from_database(row.period_end)? };
        found.entry(row.budget_number).or_default().add(bounds);
    }
    Ok(found)
}

/// The stored windows of a budget that meet a range of time, with their neighbours.
///
/// # Errors
/// [`StoreError`].
pub async fn in_range(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: &ActiveBudget,
    from: Timestamp,
    last: Timestamp,
) -> Result<Periods, StoreError> {
    let mut found = Periods::default();
    if budget.budget.window.kind() == WindowKind::Lifetime {
        return Ok(found);
    }
    let (from, last) = (to_database(from), to_database(last));
    let rows = sqlx::query_file!("sql/budget_period/in_range.sql", tenant.0, budget.number, from, last)
        .fetch_all(connection)
        .await?;
    for row in rows {
        found.add(Bounds { start: from_database(row.period_start)?, end: from_database(row.period_end)? });
    }
    Ok(found)
}

/// Stores windows of a budget that are not there yet.
///
/// # Errors
/// [`StoreError`].
pub async fn add(
    connection: &mut PgConnection,
    tenant: TenantId,
    windows: impl Iterator<Item = (i64, Bounds)>,
) -> Result<(), StoreError> {
    let (mut numbers, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for (number, bounds) in windows.filter(|(_, bounds)| *bounds != Bounds::LIFETIME) {
        numbers.push(number);
        starts.push(to_database(bounds.start));
        ends.push(to_database(bounds.end));
    }
    if !numbers.is_empty() {
        sqlx::query_file!("sql/budget_period/add.sql", tenant.0, &numbers, &starts, &ends)
            .execute(connection)
            .instrument(statement("budget_period/add", "INSERT"))
            .await?;
    }
    Ok(())
}

/// Makes sure that what is wanted is stored, in the transaction of the caller; returns the windows around it. Who comes second
/// waits for the first and takes what that one stored.
///
/// # Errors
/// [`SettleError`].
pub async fn settle(
    connection: &mut PgConnection,
    tenant: TenantId,
    wanted: &WantedPeriods,
) -> Result<PeriodsByBudget, SettleError> {
    let numbers: Vec<i64> = wanted.keys().map(|(number, _)| *number).collect();
    lock(connection, tenant, &numbers).await?;
    let mut known = around(connection, tenant, wanted).await?;
    let mut added = Vec::new();
    for ((number, _), (active, at)) in wanted {
        let periods = known.entry(*number).or_default();
        if periods.holding(*at).is_none() {
            let bounds = periods.bounds(&active.budget.window, *at)?;
            periods.add(bounds);
            added.push((*number, bounds));
        }
    }
    add(connection, tenant, added.into_iter()).await?;
    Ok(known)
}

/// The same in a transaction of its own.
///
/// # Errors
/// [`SettleError`].
pub async fn settle_apart(
    connection: &mut PgConnection,
    tenant: TenantId,
    wanted: &WantedPeriods,
) -> Result<PeriodsByBudget, SettleError> {
    // Others wait for it: a replica that stands still in it loses it.
    let mut transaction = connection.begin_with(BEGIN).await.map_err(StoreError::from)?;
    let found = settle(&mut transaction, tenant, wanted).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(found)
}

/// Why windows could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No window holds an instant.
    #[error(transparent)]
    Window(#[from] WindowError),
}
