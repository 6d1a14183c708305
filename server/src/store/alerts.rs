//! Alerts, and what the webhook has to be told of them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tollgate_domain::alert::{AlertKind, CounterKey, Subject};
use tracing::Instrument as _;
use uuid::Uuid;

use super::error::StoreError;
use super::time::{from_database, to_database};
use crate::tenant::TenantId;
use crate::trace::statement;

/// An alert to add.
#[derive(Debug, Clone)]
pub struct NewAlert {
    /// Its id.
    pub alert_id: Uuid,
    /// Digest of what is told once.
    pub occasion: Uuid,
    /// What is told.
    pub subject: Subject,
    /// The counter that it is about.
    pub counter: Option<CounterKey>,
    /// The event that raised it.
    pub event_id: Option<Uuid>,
    /// The reservation that raised it.
    pub reservation_id: Option<Uuid>,
}

/// An alert as it is stored.
#[derive(Debug, Clone)]
pub struct StoredAlert {
    /// Its id.
    pub alert_id: Uuid,
    /// Its place in the order of the tenant's alerts.
    pub position: i64,
    /// When it was raised.
    pub create_time: Timestamp,
    /// The event that raised it.
    pub event_id: Option<Uuid>,
    /// The reservation that raised it.
    pub reservation_id: Option<Uuid>,
    /// What is told.
    pub subject: Subject,
    /// How it was acknowledged.
    pub acknowledgement: Option<Acknowledgement>,
}

/// How an alert was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// When.
    pub time: Timestamp,
    /// By which API key; empty where there was none.
    pub by: String,
    /// What was done about it.
    pub note: String,
}

/// What a list of alerts is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    /// Raised then or later.
    pub from: Option<Timestamp>,
    /// Raised before.
    pub until: Option<Timestamp>,
    /// About this budget.
    pub budget: Option<i64>,
    /// Not acknowledged.
    pub unacknowledged_only: bool,
    /// Positions below this one: where the page before ended.
    pub before: Option<i64>,
}

struct Row {
    alert_id: Uuid,
    position: i64,
    create_time: OffsetDateTime,
    event_id: Option<Uuid>,
    reservation_id: Option<Uuid>,
    subject: Value,
    acknowledge_time: Option<OffsetDateTime>,
    acknowledged_by: String,
    note: String,
}

impl TryFrom<Row> for StoredAlert {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let subject = serde_json::from_value(row.subject).map_err(|error| {
            tracing::error!(%error, alert_id = %row.alert_id, "a stored alert cannot be read");
            StoreError::Unreadable { what: "alert" }
        })?;
        let time = row.acknowledge_time.map(from_database).transpose()?;
        Ok(Self {
            alert_id: row.alert_id,
            position: row.position,
            create_time: from_database(row.create_time)?,
            event_id: row.event_id,
            reservation_id: row.reservation_id,
            subject,
            acknowledgement: time.map(|time| Acknowledgement { time, by: row.acknowledged_by, note: row.note }),
        })
    }
}

fn stored(rows: Vec<Row>) -> Result<Vec<StoredAlert>, StoreError> {
    rows.into_iter().map(StoredAlert::try_from).collect()
}

/// Which of these occasions were told before.
///
/// # Errors
/// [`StoreError`].
pub async fn known(
    connection: &mut PgConnection,
    tenant: TenantId,
    occasions: &[Uuid],
) -> Result<HashSet<Uuid>, StoreError> {
    let known = sqlx::query_file_scalar!("sql/alert/known.sql", tenant.0, occasions)
        .fetch_all(connection)
        .instrument(statement("alert/known", "SELECT"))
        .await?;
    Ok(known.into_iter().collect())
}

/// How many alerts of these kinds were raised about models since `from`, by the code of the kind.
///
/// # Errors
/// [`StoreError`].
pub async fn models_since(
    connection: &mut PgConnection,
    tenant: TenantId,
    kinds: &[AlertKind],
    from: Timestamp,
) -> Result<HashMap<i16, i64>, StoreError> {
    let codes: Vec<i16> = kinds.iter().map(|kind| kind.code()).collect();
    let rows = sqlx::query_file!("sql/alert/models_today.sql", tenant.0, &codes, to_database(from))
        .fetch_all(connection)
        .instrument(statement("alert/models_today", "SELECT"))
        .await?;
    Ok(rows.into_iter().map(|row| (row.kind, row.count)).collect())
}

/// Adds alerts whose occasions were not told before, in the order in which transactions commit: the tenant's alerts wait here for
/// one another until the transaction ends, so it should come last. Says which were added.
///
/// # Errors
/// [`StoreError`].
pub async fn add(
    connection: &mut PgConnection,
    tenant: TenantId,
    alerts: &[NewAlert],
    now: Timestamp,
) -> Result<HashSet<Uuid>, StoreError> {
    let count = i64::try_from(alerts.len()).unwrap_or(i64::MAX);
    let last = sqlx::query_file_scalar!("sql/alert/take_positions.sql", tenant.0, count)
        .fetch_one(&mut *connection)
        .instrument(statement("alert/take_positions", "UPDATE"))
        .await?;
    let ids: Vec<Uuid> = alerts.iter().map(|alert| alert.alert_id).collect();
    let positions: Vec<i64> = (last - count + 1..=last).collect();
    let occasions: Vec<Uuid> = alerts.iter().map(|alert| alert.occasion).collect();
    let kinds: Vec<i16> = alerts.iter().map(|alert| alert.subject.kind().code()).collect();
    let severities: Vec<i16> = alerts.iter().map(|alert| alert.subject.severity().code()).collect();
    let counters = || alerts.iter().map(|alert| alert.counter);
    let budgets: Vec<Option<i64>> = counters().map(|counter| Some(counter?.budget)).collect();
    let scopes: Vec<Option<Uuid>> = counters().map(|counter| Some(counter?.scope)).collect();
    let starts: Vec<_> = counters().map(|counter| Some(to_database(counter?.window_start))).collect();
    let events: Vec<Option<Uuid>> = alerts.iter().map(|alert| alert.event_id).collect();
    let reservations: Vec<Option<Uuid>> = alerts.iter().map(|alert| alert.reservation_id).collect();
    let subjects: Vec<_> = alerts.iter().map(|alert| Json(&alert.subject)).collect();
    let added = sqlx::query_file_scalar!(
        "sql/alert/insert.sql",
        tenant.0,
        to_database(now),
        &ids,
        &positions,
        &occasions,
        &kinds,
        &severities,
        &budgets as _,
        &scopes as _,
        &starts as _,
        &events as _,
        &reservations as _,
        &subjects as _
    )
    .fetch_all(connection)
    .instrument(statement("alert/insert", "INSERT"))
    .await?;
    Ok(added.into_iter().collect())
}

/// Leaves alerts to the webhook.
///
/// # Errors
/// [`StoreError`].
pub async fn add_deliveries(
    connection: &mut PgConnection,
    tenant: TenantId,
    alert_ids: &[Uuid],
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/alert/add_deliveries.sql", tenant.0, alert_ids, to_database(now))
        .execute(connection)
        .instrument(statement("alert/add_deliveries", "INSERT"))
        .await?;
    Ok(())
}

/// Reads up to `limit` alerts, newest first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    connection: &mut PgConnection,
    tenant: TenantId,
    filter: &AlertFilter,
    limit: i64,
) -> Result<Vec<StoredAlert>, StoreError> {
    let AlertFilter { from, until, budget, unacknowledged_only, before } = filter;
    let rows = sqlx::query_file_as!(
        Row,
        "sql/alert/list.sql",
        tenant.0,
        *before,
        from.map(to_database),
        until.map(to_database),
        *unacknowledged_only,
        *budget,
        limit
    )
    .fetch_all(connection)
    .await?;
    stored(rows)
}

/// Reads up to `limit` alerts after position `after` and up to position `until`, oldest first; no budgets = all, and those of none.
///
/// # Errors
/// [`StoreError`].
pub async fn since(
    connection: &mut PgConnection,
    tenant: TenantId,
    after: i64,
    until: i64,
    budgets: &[i64],
    limit: i64,
) -> Result<Vec<StoredAlert>, StoreError> {
    let rows = sqlx::query_file_as!(Row, "sql/alert/since.sql", tenant.0, after, until, budgets, limit)
        .fetch_all(connection)
        .await?;
    stored(rows)
}

/// Reads alerts by their ids.
///
/// # Errors
/// [`StoreError`].
pub async fn get(
    connection: &mut PgConnection,
    tenant: TenantId,
    alert_ids: &[Uuid],
) -> Result<Vec<StoredAlert>, StoreError> {
    stored(sqlx::query_file_as!(Row, "sql/alert/get.sql", tenant.0, alert_ids).fetch_all(connection).await?)
}

/// Marks an alert as seen, unless it is.
///
/// # Errors
/// [`StoreError`].
pub async fn acknowledge(
    connection: &mut PgConnection,
    tenant: TenantId,
    alert_id: Uuid,
    acknowledgement: &Acknowledgement,
) -> Result<(), StoreError> {
    let Acknowledgement { time, by, note } = acknowledgement;
    sqlx::query_file!("sql/alert/acknowledge.sql", tenant.0, alert_id, to_database(*time), by, note)
        .execute(connection)
        .await?;
    Ok(())
}

/// The positions of the newest alerts of tenants; those without an alert are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn positions(
    connection: &mut PgConnection,
    tenants: &[TenantId],
) -> Result<HashMap<TenantId, i64>, StoreError> {
    let numbers: Vec<i32> = tenants.iter().map(|tenant| tenant.0).collect();
    let rows = sqlx::query_file!("sql/alert/positions.sql", &numbers).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (TenantId(row.tenant_id), row.last)).collect())
}

/// An alert that the webhook is to be told now.
#[derive(Debug, Clone)]
pub struct DueDelivery {
    /// Which one.
    pub alert_id: Uuid,
    /// Which attempt this is, from 1 on.
    pub attempt: i32,
}

/// Takes up to `limit` deliveries that are due by the database's clock. They are due again after `lease`, unless what became of
/// them is told before.
///
/// # Errors
/// [`StoreError`].
pub async fn claim_deliveries(
    pool: &PgPool,
    tenant: TenantId,
    limit: i64,
    lease: Duration,
) -> Result<Vec<DueDelivery>, StoreError> {
    let rows = sqlx::query_file!("sql/alert/claim_deliveries.sql", tenant.0, limit, milliseconds(lease))
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(|row| DueDelivery { alert_id: row.alert_id, attempt: row.attempts }).collect())
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The receiver took it.
    Delivered,
    /// It failed, and is tried again.
    Retried {
        /// Why.
        error: String,
        /// When, from now.
        after: Duration,
    },
    /// It failed for the last time.
    GivenUp {
        /// Why.
        error: String,
    },
}

/// Writes down what became of an attempt.
///
/// # Errors
/// [`StoreError`].
pub async fn end_delivery(
    pool: &PgPool,
    tenant: TenantId,
    alert_id: Uuid,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    let (error, after) = match attempt {
        Attempt::Delivered => ("", None),
        Attempt::Retried { error, after } => (error.as_str(), Some(milliseconds(*after))),
        Attempt::GivenUp { error } => (error.as_str(), None),
    };
    let delivered = *attempt == Attempt::Delivered;
    sqlx::query_file!("sql/alert/end_delivery.sql", tenant.0, alert_id, error, delivered, after).execute(pool).await?;
    Ok(())
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
