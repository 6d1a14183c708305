//! What outlives the retention, and what does not: sealed sums of old events, and everything that is deleted.

use jiff::Timestamp;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tollgate_domain::amount::Amount;
use tollgate_domain::measures::Measures;
use uuid::Uuid;

use super::backfill::Counted;
use super::error::StoreError;
use super::ledger::{RollupKey, SessionKey};
use super::measures_row::MeasuresRow;
use super::rebuild::RollupColumns;
use super::time::{from_database, to_database};
use super::windows::WindowKey;
use crate::tenant::TenantId;

/// The oldest events whose ids lie before `first_kept`, up to `limit`.
///
/// # Errors
/// [`StoreError`].
pub async fn oldest_events(
    connection: &mut PgConnection,
    tenant: TenantId,
    first_kept: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_file_scalar!("sql/retention/oldest_events.sql", tenant.0, first_kept, limit)
        .fetch_all(connection)
        .await?)
}

/// Adds to what is sealed of sessions.
///
/// # Errors
/// [`StoreError`].
pub async fn seal_sessions<'a>(
    connection: &mut PgConnection,
    tenant: TenantId,
    sums: impl Iterator<Item = (&'a SessionKey, &'a Measures)>,
) -> Result<(), StoreError> {
    let (keys, measures): (Vec<&SessionKey>, Vec<MeasuresRow>) =
        sums.map(|(key, measures)| (key, MeasuresRow::from(measures))).unzip();
    let sessions: Vec<i64> = keys.iter().map(|key| key.session).collect();
    let descendants: Vec<bool> = keys.iter().map(|key| key.descendants).collect();
    let shapes: Vec<i64> = keys.iter().map(|key| key.shape).collect();
    let adjustments: Vec<bool> = keys.iter().map(|key| key.adjustment).collect();
    sqlx::query_file!(
        "sql/retention/seal_sessions.sql",
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

/// Adds to what is sealed of rollups; user 0 = of all users.
///
/// # Errors
/// [`StoreError`].
pub async fn seal_rollups<'a>(
    connection: &mut PgConnection,
    tenant: TenantId,
    sums: impl Iterator<Item = (&'a RollupKey, &'a Measures)>,
) -> Result<(), StoreError> {
    let (keys, measures): (Vec<RollupKey>, Vec<MeasuresRow>) =
        sums.map(|(key, measures)| (*key, MeasuresRow::from(measures))).unzip();
    let keys = RollupColumns::of(keys.into_iter());
    sqlx::query_file!(
        "sql/retention/seal_rollups.sql",
        tenant.0,
        &keys.grains,
        &keys.buckets,
        &keys.users,
        &keys.shapes,
        &keys.adjustments,
        &measures as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What an event charged to a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// The budget's number.
    pub budget: i64,
    /// Digest of the counter's `per` values.
    pub scope: Uuid,
    /// Decides about the window.
    pub charge_time: OffsetDateTime,
    /// How much; below 0 for what a correction took back.
    pub amount: Amount,
}

/// Adds to what is sealed of the windows in which these charges were counted.
///
/// # Errors
/// [`StoreError`].
pub async fn seal_counters(
    connection: &mut PgConnection,
    tenant: TenantId,
    charges: &[Charged],
) -> Result<(), StoreError> {
    let budgets: Vec<i64> = charges.iter().map(|charge| charge.budget).collect();
    let scopes: Vec<Uuid> = charges.iter().map(|charge| charge.scope).collect();
    let times: Vec<OffsetDateTime> = charges.iter().map(|charge| charge.charge_time).collect();
    let amounts: Vec<_> = charges.iter().map(|charge| charge.amount.decimal()).collect();
    sqlx::query_file!("sql/retention/seal_counters.sql", tenant.0, &budgets, &scopes, &times, &amounts)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes events with their corrections and external keys (sources, keys).
///
/// # Errors
/// [`StoreError`].
pub async fn delete_events(
    connection: &mut PgConnection,
    tenant: TenantId,
    events: &[Uuid],
    external_keys: (&[String], &[String]),
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/retention/delete_adjustments.sql", tenant.0, events).execute(&mut *connection).await?;
    sqlx::query_file!("sql/retention/delete_events.sql", tenant.0, events).execute(&mut *connection).await?;
    let (sources, keys) = external_keys;
    if !sources.is_empty() {
        sqlx::query_file!("sql/retention/delete_external_keys.sql", tenant.0, sources, keys)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Everything that is sealed of sessions.
///
/// # Errors
/// [`StoreError`].
pub async fn sealed_sessions(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<(SessionKey, Measures)>, StoreError> {
    let rows = sqlx::query_file!("sql/retention/sealed_sessions.sql", tenant.0).fetch_all(connection).await?;
    let sealed = rows.into_iter().map(|row| {
        let (session, descendants, shape, adjustment) = (row.session_id, row.descendants, row.shape_id, row.adjustment);
        Ok((SessionKey { session, descendants, shape, adjustment }, row.sums.try_into()?))
    });
    sealed.collect()
}

/// Everything that is sealed of rollups; user 0 = of all users.
///
/// # Errors
/// [`StoreError`].
pub async fn sealed_rollups(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<(RollupKey, Measures)>, StoreError> {
    let rows = sqlx::query_file!("sql/retention/sealed_rollups.sql", tenant.0).fetch_all(connection).await?;
    let sealed = rows.into_iter().map(|row| {
        let (grain, bucket) = (row.grain, from_database(row.bucket)?);
        let key = RollupKey { grain, bucket, user: row.user_id, shape: row.shape_id, adjustment: row.adjustment };
        Ok((key, row.sums.try_into()?))
    });
    sealed.collect()
}

/// Everything that is sealed of the counters of a budget.
///
/// # Errors
/// [`StoreError`].
pub async fn sealed_counters(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: i64,
) -> Result<Vec<(WindowKey, Counted)>, StoreError> {
    let rows = sqlx::query_file!("sql/retention/sealed_counters.sql", tenant.0, budget).fetch_all(connection).await?;
    let sealed = rows.into_iter().map(|row| {
        let unreadable = || StoreError::Unreadable { what: "counter" };
        let key = WindowKey { budget, scope: row.scope, start: from_database(row.window_start)? };
        let per_values = serde_json::from_value(row.per_values).map_err(|_| unreadable())?;
        let spent = Amount::new(row.spent).map_err(|_| unreadable())?;
        Ok((key, Counted { spent, ..Counted::new(from_database(row.window_end)?, per_values) }))
    });
    sealed.collect()
}

/// Deletes up to `limit` reservations that ended before an instant, given with the smallest id of that time, and presume nothing;
/// says how many.
///
/// # Errors
/// [`StoreError`].
pub async fn purge_reservations(
    connection: &mut PgConnection,
    tenant: TenantId,
    (before, first_id): (Timestamp, Uuid),
    limit: i64,
) -> Result<u64, StoreError> {
    let before = to_database(before);
    let gone = sqlx::query_file_scalar!("sql/retention/purge_reservations.sql", tenant.0, before, first_id, limit)
        .fetch_one(connection)
        .await?;
    Ok(u64::try_from(gone).unwrap_or_default())
}

/// Deletes up to `limit` answers to corrections from before `before`; says how many.
///
/// # Errors
/// [`StoreError`].
pub async fn purge_adjustment_requests(
    connection: &mut PgConnection,
    tenant: TenantId,
    before: Timestamp,
    limit: i64,
) -> Result<u64, StoreError> {
    let done = sqlx::query_file!("sql/retention/purge_adjustment_requests.sql", tenant.0, to_database(before), limit)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Deletes up to `limit` alerts from before `before`, delivered or not; says how many.
///
/// # Errors
/// [`StoreError`].
pub async fn purge_alerts(
    connection: &mut PgConnection,
    tenant: TenantId,
    before: Timestamp,
    limit: i64,
) -> Result<u64, StoreError> {
    let alerts = sqlx::query_file_scalar!("sql/retention/purge_alerts.sql", tenant.0, to_database(before), limit)
        .fetch_one(connection)
        .await?;
    Ok(u64::try_from(alerts).unwrap_or_default())
}

/// Up to `limit` counters of windows that ended before `before` and of which no event is left.
///
/// # Errors
/// [`StoreError`].
pub async fn ended_windows(
    connection: &mut PgConnection,
    tenant: TenantId,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<WindowKey>, StoreError> {
    let rows = sqlx::query_file!("sql/retention/ended_windows.sql", tenant.0, to_database(before), limit)
        .fetch_all(connection)
        .await?;
    let keys = rows.into_iter().map(|row| {
        let start = from_database(row.window_start)?;
        Ok(WindowKey { budget: row.budget_number, scope: row.scope, start })
    });
    keys.collect()
}

/// Deletes those of these counters of which still nothing is held and no event is left; says how many.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_windows(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: &[WindowKey],
) -> Result<u64, StoreError> {
    let budgets: Vec<i64> = keys.iter().map(|key| key.budget).collect();
    let scopes: Vec<Uuid> = keys.iter().map(|key| key.scope).collect();
    let starts: Vec<OffsetDateTime> = keys.iter().map(|key| to_database(key.start)).collect();
    let counters = sqlx::query_file_scalar!("sql/retention/delete_windows.sql", tenant.0, &budgets, &scopes, &starts)
        .fetch_one(connection)
        .await?;
    Ok(u64::try_from(counters).unwrap_or_default())
}

/// Deletes up to `limit` windows of budgets that ended before `before` and in which no counter is left; says how many.
///
/// # Errors
/// [`StoreError`].
pub async fn purge_periods(
    connection: &mut PgConnection,
    tenant: TenantId,
    before: Timestamp,
    limit: i64,
) -> Result<u64, StoreError> {
    let done = sqlx::query_file!("sql/retention/purge_periods.sql", tenant.0, to_database(before), limit)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
