//! New budgets over large ledgers, as long as their earlier charges are being counted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;
use tollgate_domain::amount::Amount;
use tollgate_domain::budget::PerValues;
use uuid::Uuid;

use super::budgets::{ActiveBudget, parsed};
use super::error::StoreError;
use super::time::{from_database, to_database};
use super::windows::WindowKey;
use crate::tenant::TenantId;

/// A budget whose earlier charges are being counted.
#[derive(Debug, Clone)]
pub struct Backfill {
    /// The budget; without the overrides of its counters, which do not matter to what is spent.
    pub budget: ActiveBudget,
    /// What was recorded from here on is counted by the batches themselves.
    pub recorded_before: Timestamp,
    /// Charges of earlier times are counted.
    pub counted_to: Timestamp,
}

/// What was counted of one counter in one window.
#[derive(Debug, Clone)]
pub struct Counted {
    /// End of the window.
    pub end: Timestamp,
    /// Values of the budget's `per` keys.
    pub per_values: PerValues,
    /// What events charged.
    pub spent: Amount,
    /// What open reservations hold.
    pub held: Amount,
    /// The version of the counter, where it is there already.
    pub version: Option<i64>,
}

impl Counted {
    /// Nothing yet.
    pub fn new(end: Timestamp, per_values: PerValues) -> Self {
        Self { end, per_values, spent: Amount::ZERO, held: Amount::ZERO, version: None }
    }
}

/// About how many events a budget that counts from `from` on would count back.
///
/// # Errors
/// [`StoreError`].
pub async fn count_events(connection: &mut PgConnection, tenant: TenantId, from: Timestamp) -> Result<u64, StoreError> {
    let row = sqlx::query_file!("sql/budget_backfill/count_events.sql", tenant.0, to_database(from))
        .fetch_one(connection)
        .await?;
    Ok(u64::try_from(row.count).unwrap_or(0))
}

/// Notes that the earlier charges of a budget are still to be counted.
///
/// # Errors
/// [`StoreError`].
pub async fn start(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: i64,
    recorded_before: Timestamp,
    counted_from: Timestamp,
) -> Result<(), StoreError> {
    let (before, from) = (to_database(recorded_before), to_database(counted_from));
    sqlx::query_file!("sql/budget_backfill/start.sql", tenant.0, budget, before, from).execute(connection).await?;
    Ok(())
}

/// The next one that nobody works on, locked until the transaction ends.
///
/// # Errors
/// [`StoreError`].
pub async fn next(connection: &mut PgConnection, tenant: TenantId) -> Result<Option<Backfill>, StoreError> {
    let row = sqlx::query_file!("sql/budget_backfill/next.sql", tenant.0).fetch_optional(connection).await?;
    row.map(|row| {
        Ok(Backfill {
            budget: ActiveBudget {
                number: row.budget_number,
                budget: parsed(row.definition, "budget")?,
                counted_from: from_database(row.counted_from)?,
                backfilling: true,
                overrides: std::collections::HashMap::new(),
            },
            recorded_before: from_database(row.recorded_before)?,
            counted_to: from_database(row.counted_to)?,
        })
    })
    .transpose()
}

/// Where about `events` events have begun since `from`; `None` = there are fewer.
///
/// # Errors
/// [`StoreError`].
pub async fn chunk_end(
    connection: &mut PgConnection,
    tenant: TenantId,
    from: Timestamp,
    events: u64,
) -> Result<Option<Timestamp>, StoreError> {
    let events = rust_decimal::Decimal::from(events);
    let row = sqlx::query_file!("sql/budget_backfill/chunk_end.sql", tenant.0, to_database(from), events)
        .fetch_one(connection)
        .await?;
    row.chunk_end.map(from_database).transpose()
}

/// Adds what a chunk counted, and goes on from `counted_to`.
///
/// # Errors
/// [`StoreError`].
pub async fn advance(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: i64,
    sums: &BTreeMap<WindowKey, Counted>,
    counted_to: Timestamp,
) -> Result<(), StoreError> {
    let scopes: Vec<Uuid> = sums.keys().map(|key| key.scope).collect();
    let starts: Vec<_> = sums.keys().map(|key| to_database(key.start)).collect();
    let ends: Vec<_> = sums.values().map(|sum| to_database(sum.end)).collect();
    let per_values: Vec<_> = sums.values().map(|sum| Json(&sum.per_values)).collect();
    let amounts: Vec<_> = sums.values().map(|sum| sum.spent.decimal()).collect();
    sqlx::query_file!(
        "sql/budget_backfill/add_sums.sql",
        tenant.0,
        budget,
        &scopes,
        &starts,
        &ends,
        &per_values as _,
        &amounts
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_file!("sql/budget_backfill/advance.sql", tenant.0, budget, to_database(counted_to))
        .execute(connection)
        .await?;
    Ok(())
}

/// What was counted back, together with what batches counted meanwhile.
///
/// # Errors
/// [`StoreError`].
pub async fn counted(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: i64,
) -> Result<BTreeMap<WindowKey, Counted>, StoreError> {
    let rows = sqlx::query_file!("sql/budget_backfill/counted.sql", tenant.0, budget).fetch_all(connection).await?;
    rows.into_iter()
        .map(|row| {
            let key = WindowKey { budget, scope: row.scope, start: from_database(row.window_start)? };
            let counted = Counted {
                end: from_database(row.window_end)?,
                per_values: parsed(row.per_values, "counter")?,
                spent: Amount::new(row.spent).map_err(|_| StoreError::Unreadable { what: "amount" })?,
                held: Amount::ZERO,
                version: row.version,
            };
            Ok((key, counted))
        })
        .collect()
}

/// Drops what was kept for the counting: the budget is in force, or deleted.
///
/// # Errors
/// [`StoreError`].
pub async fn finish(connection: &mut PgConnection, tenant: TenantId, budget: i64) -> Result<(), StoreError> {
    sqlx::query_file!("sql/budget_backfill/finish.sql", tenant.0, budget).execute(connection).await?;
    Ok(())
}
