//! What `tollgate rebuild` reads and writes: every entry of the ledger, and whole tables of totals and counters.

use futures::{Stream, TryStreamExt as _};
use jiff::Timestamp;
use sqlx::PgConnection;
use tollgate_domain::amount::Amount;
use tollgate_domain::measures::Measures;
use uuid::Uuid;

use super::error::StoreError;
use super::event_row::EventRow;
use super::ledger::{RollupKey, SessionKey};
use super::measures_row::MeasuresRow;
use super::time::{from_database, to_database};
use super::windows::{StoredWindow, WindowRow};
use crate::tenant::TenantId;

/// An event, or a leg of a correction.
#[derive(Debug)]
pub struct Entry {
    /// Whether it is a leg.
    pub adjustment: bool,
    /// Whether it takes back its facts.
    pub reversed: bool,
    /// Its facts.
    pub event: EventRow,
}

/// Every entry, or those of `events`, in no order.
pub fn entries<'a>(
    connection: &'a mut PgConnection,
    tenant: TenantId,
    events: Option<&'a [Uuid]>,
) -> impl Stream<Item = Result<Entry, StoreError>> + 'a {
    sqlx::query_file_as!(Entry, "sql/rebuild/entries.sql", tenant.0, events).fetch(connection).map_err(StoreError::from)
}

/// Whether events were dropped whose totals are kept: attempts that the rollup tells of before the oldest partition, and
/// those that are left.
///
/// # Errors
/// [`StoreError`].
pub async fn attempts_before_partitions(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<(i64, i64), StoreError> {
    let row = sqlx::query_file!("sql/rebuild/dropped.sql", tenant.0).fetch_one(connection).await?;
    Ok((row.told, row.left))
}

/// A stored row of totals.
#[derive(Debug, Clone)]
pub struct StoredSums<K> {
    /// Which one.
    pub key: K,
    /// Rises with every change.
    pub version: i64,
    /// Its sums.
    pub measures: Measures,
}

/// Every row of session totals.
///
/// # Errors
/// [`StoreError`].
pub async fn session_usage(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<StoredSums<SessionKey>>, StoreError> {
    let rows = sqlx::query_file!("sql/rebuild/read_session_usage.sql", tenant.0).fetch_all(connection).await?;
    let stored = rows.into_iter().map(|row| {
        let (session, descendants, shape, adjustment) = (row.session_id, row.descendants, row.shape_id, row.adjustment);
        let key = SessionKey { session, descendants, shape, adjustment };
        Ok(StoredSums { key, version: row.version, measures: row.measures.try_into()? })
    });
    stored.collect()
}

/// Every row of the rollup by shape.
///
/// # Errors
/// [`StoreError`].
pub async fn usage_rollup(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<StoredSums<RollupKey>>, StoreError> {
    let rows = sqlx::query_file!("sql/rebuild/read_usage_rollup.sql", tenant.0).fetch_all(connection).await?;
    let stored = rows.into_iter().map(|row| {
        let (grain, bucket) = (row.grain, from_database(row.bucket)?);
        let key = RollupKey { grain, bucket, user: 0, shape: row.shape_id, adjustment: row.adjustment };
        Ok(StoredSums { key, version: row.version, measures: row.measures.try_into()? })
    });
    stored.collect()
}

/// Every row of the rollup by user.
///
/// # Errors
/// [`StoreError`].
pub async fn user_rollup(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<StoredSums<RollupKey>>, StoreError> {
    let rows = sqlx::query_file!("sql/rebuild/read_user_rollup.sql", tenant.0).fetch_all(connection).await?;
    let stored = rows.into_iter().map(|row| {
        let (grain, bucket) = (row.grain, from_database(row.bucket)?);
        let key = RollupKey { grain, bucket, user: row.user_id, shape: row.shape_id, adjustment: row.adjustment };
        Ok(StoredSums { key, version: row.version, measures: row.measures.try_into()? })
    });
    stored.collect()
}

fn sums<K>(rows: &[StoredSums<K>]) -> (Vec<i64>, Vec<MeasuresRow>) {
    rows.iter().map(|row| (row.version, MeasuresRow::from(&row.measures))).unzip()
}

/// Puts rows of session totals in the place of those that are there.
///
/// # Errors
/// [`StoreError`].
pub async fn put_session_usage(
    connection: &mut PgConnection,
    tenant: TenantId,
    rows: &[StoredSums<SessionKey>],
) -> Result<(), StoreError> {
    let sessions: Vec<i64> = rows.iter().map(|row| row.key.session).collect();
    let descendants: Vec<bool> = rows.iter().map(|row| row.key.descendants).collect();
    let shapes: Vec<i64> = rows.iter().map(|row| row.key.shape).collect();
    let adjustments: Vec<bool> = rows.iter().map(|row| row.key.adjustment).collect();
    let (versions, measures) = sums(rows);
    sqlx::query_file!(
        "sql/rebuild/put_session_usage.sql",
        tenant.0,
        &sessions,
        &descendants,
        &shapes,
        &adjustments,
        &versions,
        &measures as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts rows of the rollup by shape in the place of those that are there.
///
/// # Errors
/// [`StoreError`].
pub async fn put_usage_rollup(
    connection: &mut PgConnection,
    tenant: TenantId,
    rows: &[StoredSums<RollupKey>],
) -> Result<(), StoreError> {
    let keys = RollupColumns::of(rows.iter().map(|row| row.key));
    let (versions, measures) = sums(rows);
    sqlx::query_file!(
        "sql/rebuild/put_usage_rollup.sql",
        tenant.0,
        &keys.grains,
        &keys.buckets,
        &keys.shapes,
        &keys.adjustments,
        &versions,
        &measures as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts rows of the rollup by user in the place of those that are there.
///
/// # Errors
/// [`StoreError`].
pub async fn put_user_rollup(
    connection: &mut PgConnection,
    tenant: TenantId,
    rows: &[StoredSums<RollupKey>],
) -> Result<(), StoreError> {
    let keys = RollupColumns::of(rows.iter().map(|row| row.key));
    let (versions, measures) = sums(rows);
    sqlx::query_file!(
        "sql/rebuild/put_user_rollup.sql",
        tenant.0,
        &keys.grains,
        &keys.buckets,
        &keys.users,
        &keys.shapes,
        &keys.adjustments,
        &versions,
        &measures as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes rows of session totals.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_session_usage(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: &[SessionKey],
) -> Result<(), StoreError> {
    let sessions: Vec<i64> = keys.iter().map(|key| key.session).collect();
    let descendants: Vec<bool> = keys.iter().map(|key| key.descendants).collect();
    let shapes: Vec<i64> = keys.iter().map(|key| key.shape).collect();
    let adjustments: Vec<bool> = keys.iter().map(|key| key.adjustment).collect();
    sqlx::query_file!("sql/rebuild/delete_session_usage.sql", tenant.0, &sessions, &descendants, &shapes, &adjustments)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes rows of the rollup by shape.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_usage_rollup(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: &[RollupKey],
) -> Result<(), StoreError> {
    let RollupColumns { grains, buckets, shapes, adjustments, .. } = RollupColumns::of(keys.iter().copied());
    sqlx::query_file!("sql/rebuild/delete_usage_rollup.sql", tenant.0, &grains, &buckets, &shapes, &adjustments)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes rows of the rollup by user.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_user_rollup(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: &[RollupKey],
) -> Result<(), StoreError> {
    let RollupColumns { grains, buckets, users, shapes, adjustments } = RollupColumns::of(keys.iter().copied());
    sqlx::query_file!("sql/rebuild/delete_user_rollup.sql", tenant.0, &grains, &buckets, &users, &shapes, &adjustments)
        .execute(connection)
        .await?;
    Ok(())
}

#[derive(Default)]
pub(super) struct RollupColumns {
    pub(super) grains: Vec<i16>,
    pub(super) buckets: Vec<time::OffsetDateTime>,
    pub(super) users: Vec<i64>,
    pub(super) shapes: Vec<i64>,
    pub(super) adjustments: Vec<bool>,
}

impl RollupColumns {
    pub(super) fn of(keys: impl Iterator<Item = RollupKey>) -> Self {
        let mut columns = Self::default();
        for RollupKey { grain, bucket, user, shape, adjustment } in keys {
            columns.grains.push(grain);
            columns.buckets.push(to_database(bucket));
            columns.users.push(user);
            columns.shapes.push(shape);
            columns.adjustments.push(adjustment);
        }
        columns
    }
}

/// Every counter of a budget, locked.
///
/// # Errors
/// [`StoreError`].
pub async fn windows(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: i64,
) -> Result<Vec<StoredWindow>, StoreError> {
    let rows =
        sqlx::query_file_as!(WindowRow, "sql/rebuild/read_windows.sql", tenant.0, budget).fetch_all(connection).await?;
    rows.into_iter().map(StoredWindow::try_from).collect()
}

/// What reservations hold and presume of one counter.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    /// Digest of the counter's `per` values.
    pub scope: Uuid,
    /// Start of the window.
    pub window_start: Timestamp,
    /// By open ones.
    pub held: Amount,
    /// By expired ones.
    pub presumed: Amount,
}

/// What reservations hold and presume of a budget's counters.
///
/// # Errors
/// [`StoreError`].
pub async fn holds(connection: &mut PgConnection, tenant: TenantId, budget: i64) -> Result<Vec<Holds>, StoreError> {
    let rows = sqlx::query_file!("sql/rebuild/holds.sql", tenant.0, budget).fetch_all(connection).await?;
    let amount = |value| Amount::new(value).map_err(|_| StoreError::Unreadable { what: "amount" });
    let holds = rows.into_iter().map(|row| {
        let window_start = from_database(row.window_start)?;
        Ok(Holds { scope: row.scope, window_start, held: amount(row.held)?, presumed: amount(row.presumed)? })
    });
    holds.collect()
}
