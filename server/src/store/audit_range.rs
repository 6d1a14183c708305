//! The statements of an audit that looks at a part of a ledger: which part, and what stands in for comparisons that would
//! have to read all of it.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgConnection;
use tollgate_domain::window::Bounds;

use super::audit::{Comparison, Figure, Selection, SumsRow, count, examples};
use super::error::StoreError;
use super::time::{from_database, to_database};
use crate::tenant::TenantId;

/// First key of the advisory locks under which one replica at a time audits; the second is the tenant.
const AUDIT_LOCK: i32 = 0x746f_6175;

/// Whether this transaction is the only one that audits the tenant in the background, until its end.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(connection: &mut PgConnection, tenant: TenantId) -> Result<bool, StoreError> {
    Ok(sqlx::query_file!("sql/audit/lock.sql", AUDIT_LOCK, tenant.0).fetch_one(connection).await?.locked)
}

/// Bounds the time of each statement from here to the end of the transaction.
///
/// # Errors
/// [`StoreError`].
pub async fn bound_time(connection: &mut PgConnection, longest: Duration) -> Result<(), StoreError> {
    // Zero would mean without a bound.
    let milliseconds = longest.as_millis().max(1).to_string();
    sqlx::query_file!("sql/audit/bound_time.sql", milliseconds).fetch_one(connection).await?;
    Ok(())
}

/// The hours of the newest events that start before an instant.
#[derive(Debug, Clone, Copy)]
pub struct HoursBefore {
    /// How many events were looked at, up to the bound.
    pub events: u64,
    /// The oldest and the newest hour that one of them starts in; absent = there is no event. Where the bound was reached,
    /// events of the oldest hour may be left out.
    pub hours: Option<(Timestamp, Timestamp)>,
}

/// Goes back from `until` over at most `limit` events.
///
/// # Errors
/// [`StoreError`].
pub async fn hours_before(
    connection: &mut PgConnection,
    tenant: TenantId,
    until: Timestamp,
    limit: i64,
) -> Result<HoursBefore, StoreError> {
    let row = sqlx::query_file!("sql/audit/hours_before.sql", tenant.0, to_database(until), limit)
        .fetch_one(connection)
        .await?;
    let hours = match (row.oldest, row.newest) {
        (Some(oldest), Some(newest)) => Some((from_database(oldest)?, from_database(newest)?)),
        _ => None,
    };
    Ok(HoursBefore { events: count(row.events)?, hours })
}

/// The quarter hour of the newest event of an hour that starts before `until`.
///
/// # Errors
/// [`StoreError`].
pub async fn newest_of_hour(
    connection: &mut PgConnection,
    tenant: TenantId,
    hour: Timestamp,
    until: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let row = sqlx::query_file!("sql/audit/newest_of_hour.sql", tenant.0, to_database(hour), to_database(until))
        .fetch_one(connection)
        .await?;
    row.quarter.map(from_database).transpose()
}

/// How many events and legs of corrections start in the range, or are there at all, counted up to `limit`.
///
/// # Errors
/// [`StoreError`].
pub async fn count_range(
    connection: &mut PgConnection,
    tenant: TenantId,
    range: Option<Bounds>,
    limit: i64,
) -> Result<u64, StoreError> {
    let (start, end) = (range.map(|range| to_database(range.start)), range.map(|range| to_database(range.end)));
    let row = sqlx::query_file!("sql/audit/count_range.sql", tenant.0, start, end, limit).fetch_one(connection).await?;
    count(row.entries)
}

/// How many events and legs of corrections are charged in the range, counted up to `limit`.
///
/// # Errors
/// [`StoreError`].
pub async fn count_charged(
    connection: &mut PgConnection,
    tenant: TenantId,
    range: Bounds,
    limit: i64,
) -> Result<u64, StoreError> {
    let (start, end) = (to_database(range.start), to_database(range.end));
    let row =
        sqlx::query_file!("sql/audit/count_charged.sql", tenant.0, start, end, limit).fetch_one(connection).await?;
    count(row.entries)
}

/// Sessions with events in the range: at most `limit`, and others with another `salt` where there are more.
///
/// # Errors
/// [`StoreError`].
pub async fn sessions_of_range(
    connection: &mut PgConnection,
    tenant: TenantId,
    range: Bounds,
    salt: i64,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    let (start, end) = (to_database(range.start), to_database(range.end));
    let rows = sqlx::query_file!("sql/audit/sessions_of_range.sql", tenant.0, start, end, salt, limit)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| row.session_id).collect())
}

/// UTC days of the rollup by shape against their quarter hours.
///
/// # Errors
/// [`StoreError`].
pub async fn usage_days(
    connection: &mut PgConnection,
    tenant: TenantId,
    range: Bounds,
    selection: &Selection,
) -> Result<Comparison, StoreError> {
    let (start, end) = (to_database(range.start), to_database(range.end));
    let limit = i64::from(selection.examples);
    sqlx::query_file_as!(SumsRow, "sql/audit/usage_days.sql", tenant.0, start, end, limit)
        .fetch_one(connection)
        .await?
        .try_into()
}

/// UTC days of the rollup by user against their quarter hours.
///
/// # Errors
/// [`StoreError`].
pub async fn user_days(
    connection: &mut PgConnection,
    tenant: TenantId,
    range: Bounds,
    selection: &Selection,
) -> Result<Comparison, StoreError> {
    let (start, end) = (to_database(range.start), to_database(range.end));
    let limit = i64::from(selection.examples);
    sqlx::query_file_as!(SumsRow, "sql/audit/user_days.sql", tenant.0, start, end, limit)
        .fetch_one(connection)
        .await?
        .try_into()
}

/// What open reservations hold against what counters say that is held.
///
/// # Errors
/// [`StoreError`].
pub async fn open_holds(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<Comparison, StoreError> {
    let row = sqlx::query_file!("sql/audit/open_holds.sql", tenant.0, i64::from(selection.examples))
        .fetch_one(connection)
        .await?;
    Ok(Comparison {
        rows: count(row.rows)?,
        drifting: count(row.drifting)?,
        figures: vec![Figure::amounts("held", row.ledger_held, row.stored_held)],
        usd_drift: None,
        examples: examples(row.examples)?,
    })
}
