//! Reservations and their holds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tollgate_domain::amount::Usd;
use tollgate_domain::budget::Quantities;
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::erasure::Eraser;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::Estimate;
use tollgate_domain::reservation::{Part, State};
use tollgate_domain::tokens::TokenUsage;
use tracing::Instrument as _;
use uuid::Uuid;

use super::error::StoreError;
use super::time::from_database;
use crate::tenant::TenantId;
use crate::trace::statement;

/// What was checked and decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Who and where: all events of the reservation take theirs from here.
    pub dimensions: Dimensions,
    /// The model that is held for.
    pub model: ModelRef,
    /// Whether that is a downgrade.
    pub downgraded: bool,
    /// The estimate.
    pub estimate: Estimate,
    /// Its worst case.
    pub worst: Quantities,
}

/// What happened to it so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Last running usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<TokenUsage>,
    /// The same as budgets count it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_quantities: Option<Quantities>,
    /// When its caller, who asked again, was last told of it; absent = when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_time: Option<Timestamp>,
    /// Input tokens that its events were charged for.
    pub charged_input: u64,
    /// Output tokens that its events were charged for.
    pub charged_output: u64,
    /// What its events were charged.
    pub charged_usd: Usd,
    /// Its events, the first [`EVENT_IDS_LIMIT`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub event_ids: Vec<Uuid>,
    /// Why it ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub end_reason: String,
}

/// Most event ids that a reservation lists.
pub const EVENT_IDS_LIMIT: usize = 1_000;

/// A reservation as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its id.
    pub id: Uuid,
    /// Where it stands.
    pub state: State,
    /// When it was made: the charge time of all its events.
    pub create_time: Timestamp,
    /// When it runs out.
    pub expire_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Number of the last extension.
    pub sequence: i64,
    /// Digest of the check; absent on a tombstone.
    pub fingerprint: Option<Uuid>,
    /// What was checked; absent on a tombstone.
    pub context: Option<Context>,
    /// The holds.
    pub parts: Vec<Part>,
    /// What happened so far.
    pub progress: Progress,
}

impl Reservation {
    /// Tells the pseudonym where it told the name, and holds where the name's counters stand now.
    pub fn erase(&mut self, eraser: &Eraser) {
        if let Some(context) = &mut self.context {
            eraser.erase_from_dimensions(&mut context.dimensions);
        }
        eraser.follow(&mut self.parts);
    }

    /// The tombstone of a reservation that was ended before its check arrived (contract, decision 5).
    pub fn tombstone(id: Uuid, now: Timestamp, reason: &str) -> Self {
        Self {
            id,
            state: State::Void,
            create_time: now,
            expire_time: now,
            end_time: Some(now),
            sequence: 0,
            fingerprint: None,
            context: None,
            parts: Vec::new(),
            progress: Progress { end_reason: reason.to_owned(), ..Progress::default() },
        }
    }
}

struct Row {
    reservation_id: Uuid,
    state: i16,
    create_time: OffsetDateTime,
    expire_time: OffsetDateTime,
    end_time: Option<OffsetDateTime>,
    sequence: i64,
    fingerprint: Option<Uuid>,
    context: Option<Value>,
    parts: Value,
    progress: Value,
}

fn parsed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|error| {
        tracing::error!(%error, "a stored reservation cannot be read");
        StoreError::Unreadable { what: "reservation" }
    })
}

impl TryFrom<Row> for Reservation {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.reservation_id,
            state: State::from_code(row.state).ok_or(StoreError::Unreadable { what: "reservation" })?,
            create_time: from_database(row.create_time)?,
            expire_time: from_database(row.expire_time)?,
            end_time: row.end_time.map(from_database).transpose()?,
            sequence: row.sequence,
            fingerprint: row.fingerprint,
            context: row.context.map(parsed).transpose()?,
            parts: parsed(row.parts)?,
            progress: parsed(row.progress)?,
        })
    }
}

/// Locks reservations, in the order of their ids.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    connection: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<Reservation>, StoreError> {
    let rows = sqlx::query_file_as!(Row, "sql/ledger/lock_reservations.sql", tenant.0, ids)
        .fetch_all(connection)
        .instrument(statement("ledger/lock_reservations", "SELECT"))
        .await?;
    rows.into_iter().map(Reservation::try_from).collect()
}

/// Locks up to `limit` open ones whose ids follow `after`.
///
/// # Errors
/// [`StoreError`].
pub async fn open(
    connection: &mut PgConnection,
    tenant: TenantId,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Reservation>, StoreError> {
    let rows =
        sqlx::query_file_as!(Row, "sql/reservation/open.sql", tenant.0, after, limit).fetch_all(connection).await?;
    rows.into_iter().map(Reservation::try_from).collect()
}

/// Reads one, without a lock.
///
/// # Errors
/// [`StoreError`].
pub async fn get(connection: &mut PgConnection, tenant: TenantId, id: Uuid) -> Result<Option<Reservation>, StoreError> {
    let row = sqlx::query_file_as!(Row, "sql/reservation/get.sql", tenant.0, id).fetch_optional(connection).await?;
    row.map(Reservation::try_from).transpose()
}

/// Those of `ids` that are there, without a lock.
///
/// # Errors
/// [`StoreError`].
pub async fn known(connection: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query_file!("sql/reservation/known.sql", tenant.0, ids)
        .fetch_all(connection)
        .instrument(statement("reservation/known", "SELECT"))
        .await?;
    Ok(rows.into_iter().map(|row| row.reservation_id).collect())
}

/// Which of these are open.
///
/// # Errors
/// [`StoreError`].
pub async fn pending_among(
    connection: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query_file!("sql/reservation/pending_among.sql", tenant.0, ids).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| row.reservation_id).collect())
}

/// What a list of reservations is narrowed to. Newest id first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Any of these states; empty = all.
    pub states: Vec<State>,
    /// Holding on this budget.
    pub budget: Option<i64>,
    /// Ids below this one: where the page before ended.
    pub before: Option<Uuid>,
}

/// Reads up to `limit`.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    connection: &mut PgConnection,
    tenant: TenantId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Reservation>, StoreError> {
    let states: Vec<i16> = filter.states.iter().map(|state| state.code()).collect();
    let budget = filter.budget.map(|number| serde_json::json!([{ "budget": number }]));
    let rows = sqlx::query_file_as!(Row, "sql/reservation/list.sql", tenant.0, &states, budget, filter.before, limit)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(Reservation::try_from).collect()
}

/// Ids of reservations whose time has run out by the database's clock, oldest first. Rows that a writer holds are left
/// for the next round.
///
/// # Errors
/// [`StoreError`].
pub async fn expired(connection: &mut PgConnection, tenant: TenantId, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query_file!("sql/reservation/expired.sql", tenant.0, limit).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| row.reservation_id).collect())
}
