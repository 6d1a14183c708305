//! The statements of the ledger's transaction, in the order in which it runs them.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, Transaction};
use tollgate_domain::measures::Measures;
use uuid::Uuid;

use super::connect::begin;
use super::error::StoreError;
use super::event_row::EventRow;
use super::measures_row::MeasuresRow;
use super::time::{from_database, to_database};
use crate::tenant::TenantId;

/// First key of the advisory locks that order budget changes against batches; the second is the tenant.
const BUDGETS_LOCK: i32 = 0x746f_6c6c;

/// How every transaction begins that locks what others wait for. A replica that stands still inside of one, or whose host is
/// gone without a word, loses it after that time, so that its peers go on; should it come back, it tries again. The limit is
/// part of the transaction, because poolers drop settings of a connection. It is well above the round trip of a slow network,
/// and short enough for two writers in a row to lose theirs within ten seconds.
pub(super) const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '3s'";

/// Rollup grain of 15 minutes: fine enough for a day in every time zone.
pub const GRAIN_QUARTER: i16 = 1;
/// Rollup grain of UTC days.
pub const GRAIN_DAY: i16 = 2;

/// Starts a batch: from here to its end, the tenant's budgets do not change. Any number of batches run at once.
///
/// The lock is taken in a statement of its own, so that the snapshots of all later ones come after it, and in the round
/// trip of BEGIN. Where this fails, the connection must be closed: the transaction may be open behind it.
///
/// # Errors
/// [`StoreError`].
pub async fn begin_batch(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Transaction<'_, Postgres>, StoreError> {
    let begin = format!("{BEGIN}; SELECT pg_advisory_xact_lock_shared({BUDGETS_LOCK}, {})", tenant.0);
    // Nothing but the tenant's number is put into the text.
    Ok(connection.begin_with(AssertSqlSafe(begin)).await?)
}

/// Starts a change of the tenant's budgets: it waits for the batches under way and holds off new ones.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Unavailable`] where the lock is not to be had in time.
pub async fn begin_budget_change(
    pool: &PgPool,
    tenant: TenantId,
) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut transaction = begin(pool, BEGIN).await?;
    let locked =
        sqlx::query_file!("sql/ledger/lock_budgets.sql", BUDGETS_LOCK, tenant.0).execute(&mut *transaction).await;
    match locked.map_err(StoreError::from) {
        Ok(_) => Ok(transaction),
        Err(StoreError::TimedOut(error)) => Err(StoreError::Unavailable(error)),
        Err(error) => Err(error),
    }
}

/// What a batch starts from.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The database's clock.
    pub now: Timestamp,
    /// The version of the tenant's budgets.
    pub budgets_version: i64,
    /// The version of the tenant's prices.
    pub prices_version: i64,
}

/// Reads the database's clock and the versions of the tenant's budgets and prices.
///
/// # Errors
/// [`StoreError`].
pub async fn clock(connection: &mut PgConnection, tenant: TenantId) -> Result<Clock, StoreError> {
    let row = sqlx::query_file!("sql/ledger/clock.sql", tenant.0).fetch_one(connection).await?;
    Ok(Clock { now: from_database(row.now)?, budgets_version: row.budgets_version, prices_version: row.prices_version })
}

/// Maps keys of other systems to event ids: a key that is there already keeps the id of its first telling.
///
/// # Errors
/// [`StoreError`].
pub async fn claim_external_keys(
    connection: &mut PgConnection,
    tenant: TenantId,
    sources: &[String],
    keys: &[String],
    ids: &[Uuid],
) -> Result<Vec<(String, String, Uuid)>, StoreError> {
    sqlx::query_file!("sql/ledger/add_external_keys.sql", tenant.0, sources, keys, ids)
        .execute(&mut *connection)
        .await?;
    find_external_keys(connection, tenant, sources, keys).await
}

/// The event ids behind keys of other systems; unknown keys are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn find_external_keys(
    connection: &mut PgConnection,
    tenant: TenantId,
    sources: &[String],
    keys: &[String],
) -> Result<Vec<(String, String, Uuid)>, StoreError> {
    let rows =
        sqlx::query_file!("sql/ledger/find_external_keys.sql", tenant.0, sources, keys).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.source, row.key, row.event_id)).collect())
}

/// Inserts events; says which of them are new.
///
/// # Errors
/// [`StoreError`].
pub async fn insert_events(
    connection: &mut PgConnection,
    tenant: TenantId,
    rows: &[EventRow],
) -> Result<HashSet<Uuid>, StoreError> {
    let inserted = sqlx::query_file!("sql/ledger/insert_events.sql", tenant.0, rows as _).fetch_all(connection).await?;
    Ok(inserted.into_iter().map(|row| row.event_id).collect())
}

/// Adds notices to events of this batch.
///
/// # Errors
/// [`StoreError`].
pub async fn add_notices(
    connection: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
    notices: &[i16],
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/ledger/add_notices.sql", tenant.0, ids, notices).execute(connection).await?;
    Ok(())
}

/// One row of session totals to add to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// The session's number.
    pub session: i64,
    /// Whether its descendants used this.
    pub descendants: bool,
    /// The shape.
    pub shape: i64,
    /// Whether it holds what corrections changed, instead of what was first charged.
    pub adjustment: bool,
}

/// One row of rollups to add to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RollupKey {
    /// The grain.
    pub grain: i16,
    /// Start of the bucket.
    pub bucket: Timestamp,
    /// The user's number, for rollups by user; else 0.
    pub user: i64,
    /// The shape.
    pub shape: i64,
    /// Whether it holds what corrections changed, instead of what was first charged.
    pub adjustment: bool,
}

/// Adds to session totals, keys sorted.
///
/// # Errors
/// [`StoreError`].
pub async fn add_session_usage<'a>(
    connection: &mut PgConnection,
    tenant: TenantId,
    deltas: impl Iterator<Item = (&'a SessionKey, &'a Measures)>,
) -> Result<(), StoreError> {
    let (keys, measures): (Vec<&SessionKey>, Vec<MeasuresRow>) =
        deltas.map(|(key, measures)| (key, MeasuresRow::from(measures))).unzip();
    if keys.is_empty() {
        return Ok(());
    }
    let sessions: Vec<i64> = keys.iter().map(|key| key.session).collect();
    let descendants: Vec<bool> = keys.iter().map(|key| key.descendants).collect();
    let shapes: Vec<i64> = keys.iter().map(|key| key.shape).collect();
    let adjustments: Vec<bool> = keys.iter().map(|key| key.adjustment).collect();
    sqlx::query_file!(
        "sql/ledger/add_session_usage.sql",
        tenant.0,
        &sessions,
        &descendants,
        &shapes,
        &adjustments,
        &measures as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds to rollups by shape, keys sorted.
///
/// # Errors
/// [`StoreError`].
pub async fn add_usage_rollup<'a>(
    connection: &mut PgConnection,
    tenant: TenantId,
    deltas: impl Iterator<Item = (&'a RollupKey, &'a Measures)>,
) -> Result<(), StoreError> {
    let (keys, measures): (Vec<&RollupKey>, Vec<MeasuresRow>) =
        deltas.map(|(key, measures)| (key, MeasuresRow::from(measures))).unzip();
    if keys.is_empty() {
        return Ok(());
    }
    let grains: Vec<i16> = keys.iter().map(|key| key.grain).collect();
    let buckets: Vec<_> = keys.iter().map(|key| to_database(key.bucket)).collect();
    let shapes: Vec<i64> = keys.iter().map(|key| key.shape).collect();
    let adjustments: Vec<bool> = keys.iter().map(|key| key.adjustment).collect();
    sqlx::query_file!(
        "sql/ledger/add_usage_rollup.sql",
        tenant.0,
        &grains,
        &buckets,
        &shapes,
        &adjustments,
        &measures as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds to rollups by user and shape, keys sorted.
///
/// # Errors
/// [`StoreError`].
pub async fn add_user_rollup<'a>(
    connection: &mut PgConnection,
    tenant: TenantId,
    deltas: impl Iterator<Item = (&'a RollupKey, &'a Measures)>,
) -> Result<(), StoreError> {
    let (keys, measures): (Vec<&RollupKey>, Vec<MeasuresRow>) =
        deltas.map(|(key, measures)| (key, MeasuresRow::from(measures))).unzip();
    if keys.is_empty() {
        return Ok(());
    }
    let grains: Vec<i16> = keys.iter().map(|key| key.grain).collect();
    let buckets: Vec<_> = keys.iter().map(|key| to_database(key.bucket)).collect();
    let users: Vec<i64> = keys.iter().map(|key| key.user).collect();
    let shapes: Vec<i64> = keys.iter().map(|key| key.shape).collect();
    let adjustments: Vec<bool> = keys.iter().map(|key| key.adjustment).collect();
    sqlx::query_file!(
        "sql/ledger/add_user_rollup.sql",
        tenant.0,
        &grains,
        &buckets,
        &users,
        &shapes,
        &adjustments,
        &measures as _
    )
    .execute(connection)
    .await?;
    Ok(())
}
