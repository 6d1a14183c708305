//! Erasures: what is known of them, and the statements that replace a name.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use tollgate_domain::budget::{Budget, PerValues};
use tollgate_domain::dimensions::Dimension;
use tollgate_domain::erasure::{Eraser, MovedScope};
use tollgate_domain::reservation::{Part, State};
use uuid::Uuid;

use super::error::StoreError;
use super::time::{from_database, to_database};
use crate::tenant::TenantId;

/// What is erased next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Metadata of events.
    Events,
    /// What checks said.
    Reservations,
    /// Alerts, and answers to corrections.
    Messages,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Events, Self::Reservations, Self::Messages];

    const fn code(self) -> i16 {
        match self {
            Self::Events => 1,
            Self::Reservations => 2,
            Self::Messages => 3,
        }
    }

    fn from_code(code: i16) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|stage| stage.code() == code).ok_or_else(unreadable)
    }
}

/// An erasure as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredErasure {
    /// Its id.
    pub erasure_id: Uuid,
    /// When it was asked for; from then on the name is the pseudonym's.
    pub create_time: Timestamp,
    /// When everything was erased.
    pub done_time: Option<Timestamp>,
    /// Events concerned; absent until all were looked through.
    pub events: Option<u64>,
    /// How many are erased so far.
    pub events_erased: u64,
}

struct Row {
    erasure_id: Uuid,
    stage: i16,
    create_time: OffsetDateTime,
    done_time: Option<OffsetDateTime>,
    events_erased: i64,
}

fn unreadable() -> StoreError {
    StoreError::Unreadable { what: "erasure" }
}

impl TryFrom<Row> for StoredErasure {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let events_erased = u64::try_from(row.events_erased).map_err(|_| unreadable())?;
        let counted = Stage::from_code(row.stage)? > Stage::Events;
        Ok(Self {
            erasure_id: row.erasure_id,
            create_time: from_database(row.create_time)?,
            done_time: row.done_time.map(from_database).transpose()?,
            events: counted.then_some(events_erased),
            events_erased,
        })
    }
}

/// Reads one.
///
/// # Errors
/// [`StoreError`].
pub async fn get(
    connection: &mut PgConnection,
    tenant: TenantId,
    erasure_id: Uuid,
) -> Result<Option<StoredErasure>, StoreError> {
    let row = sqlx::query_file_as!(Row, "sql/erasure/get.sql", tenant.0, erasure_id).fetch_optional(connection).await?;
    row.map(StoredErasure::try_from).transpose()
}

/// Reads the one that a request began.
///
/// # Errors
/// [`StoreError`].
pub async fn of_request(
    connection: &mut PgConnection,
    tenant: TenantId,
    request_id: Uuid,
) -> Result<Option<StoredErasure>, StoreError> {
    let row = sqlx::query_file_as!(Row, "sql/erasure/of_request.sql", tenant.0, request_id)
        .fetch_optional(connection)
        .await?;
    row.map(StoredErasure::try_from).transpose()
}

/// An erasure to begin.
#[derive(Debug)]
pub struct NewErasure<'a> {
    /// Its id.
    pub erasure_id: Uuid,
    /// The request that began it.
    pub request_id: Uuid,
    /// What replaces the name.
    pub eraser: &'a Eraser,
    /// The name's number, where an event told it.
    pub symbol: Option<i64>,
    /// Counters whose keys changed.
    pub moved: &'a [MovedScope],
    /// Why.
    pub reason: &'a str,
    /// When.
    pub now: Timestamp,
}

/// Begins one, and tells every replica.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(connection: &mut PgConnection, tenant: TenantId, new: &NewErasure<'_>) -> Result<(), StoreError> {
    sqlx::query_file!(
        "sql/erasure/insert.sql",
        tenant.0,
        new.erasure_id,
        new.request_id,
        new.eraser.dimension().code(),
        new.symbol,
        new.eraser.pseudonym(),
        new.eraser.key(),
        Json(new.moved) as _,
        new.reason,
        to_database(new.now),
        if new.symbol.is_some() { Stage::Events } else { Stage::Reservations }.code()
    )
    .execute(&mut *connection)
    .await?;
    bump_version(connection, tenant).await
}

/// Tells every replica to look up names anew, and which erasures run.
///
/// # Errors
/// [`StoreError`].
pub async fn bump_version(connection: &mut PgConnection, tenant: TenantId) -> Result<(), StoreError> {
    sqlx::query_file!("sql/erasure/bump_version.sql", tenant.0).execute(connection).await?;
    Ok(())
}

fn dimension_of(code: i16) -> Result<Dimension, StoreError> {
    Dimension::ALL.iter().copied().find(|dimension| dimension.code() == code).ok_or_else(unreadable)
}

fn begun(dimension: i16, pseudonym: String, key: Vec<u8>, scopes: Value) -> Result<Eraser, StoreError> {
    let moved: Vec<MovedScope> = serde_json::from_value(scopes).map_err(|_| unreadable())?;
    Ok(Eraser::begun(dimension_of(dimension)?, pseudonym, key, &moved))
}

/// Those that run: reservations from before them may still tell names.
///
/// # Errors
/// [`StoreError`].
pub async fn running(connection: &mut PgConnection, tenant: TenantId) -> Result<Vec<Eraser>, StoreError> {
    let rows = sqlx::query_file!("sql/erasure/running.sql", tenant.0).fetch_all(connection).await?;
    rows.into_iter().map(|row| begun(row.dimension, row.pseudonym, row.key, row.scopes)).collect()
}

/// An erasure whose turn it is.
#[derive(Debug)]
pub struct Taken {
    /// Its id.
    pub erasure_id: Uuid,
    /// What replaces the name.
    pub eraser: Eraser,
    /// The name's number, where an event told it.
    pub symbol: Option<i64>,
    /// What is erased next …
    pub stage: Stage,
    /// … and after which row.
    pub position: Option<Uuid>,
}

/// Takes the oldest that runs, unless another replica has it.
///
/// # Errors
/// [`StoreError`].
pub async fn take_oldest(connection: &mut PgConnection, tenant: TenantId) -> Result<Option<Taken>, StoreError> {
    let row = sqlx::query_file!("sql/erasure/take_oldest.sql", tenant.0).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Taken {
        erasure_id: row.erasure_id,
        eraser: begun(row.dimension, row.pseudonym, row.key, row.scopes)?,
        symbol: row.symbol_id,
        stage: Stage::from_code(row.stage)?,
        position: row.position,
    }))
}

/// How far one erasure came in a step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What is erased next …
    pub stage: Stage,
    /// … and after which row.
    pub position: Option<Uuid>,
    /// More events that are erased.
    pub events_erased: u64,
}

/// Notes how far it came.
///
/// # Errors
/// [`StoreError`].
pub async fn advance(
    connection: &mut PgConnection,
    tenant: TenantId,
    erasure_id: Uuid,
    progress: Progress,
) -> Result<(), StoreError> {
    sqlx::query_file!(
        "sql/erasure/advance.sql",
        tenant.0,
        erasure_id,
        progress.stage.code(),
        progress.position,
        i64::try_from(progress.events_erased).unwrap_or(i64::MAX)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends it: its key is forgotten, and every replica told.
///
/// # Errors
/// [`StoreError`].
pub async fn finish(connection: &mut PgConnection, tenant: TenantId, erasure_id: Uuid) -> Result<(), StoreError> {
    sqlx::query_file!("sql/erasure/finish.sql", tenant.0, erasure_id).execute(&mut *connection).await?;
    bump_version(connection, tenant).await
}

/// Gives the name's number to the pseudonym; `None` where no event told the name.
///
/// # Errors
/// [`StoreError`].
pub async fn rename(
    connection: &mut PgConnection,
    tenant: TenantId,
    name: &str,
    eraser: &Eraser,
) -> Result<Option<i64>, StoreError> {
    let dimension = eraser.dimension().code();
    Ok(sqlx::query_file_scalar!("sql/erasure/rename.sql", tenant.0, dimension, name, eraser.pseudonym())
        .fetch_optional(connection)
        .await?)
}

/// How many events tell the name of this number, or did before they were corrected.
///
/// # Errors
/// [`StoreError`].
pub async fn count_events(
    connection: &mut PgConnection,
    tenant: TenantId,
    dimension: Dimension,
    symbol: i64,
) -> Result<u64, StoreError> {
    let is_user = dimension == Dimension::UserId;
    let count = sqlx::query_file_scalar!("sql/erasure/count_events.sql", tenant.0, symbol, is_user)
        .fetch_one(connection)
        .await?;
    u64::try_from(count).map_err(|_| unreadable())
}

/// The next events after `after`, and whether each is concerned.
///
/// # Errors
/// [`StoreError`].
pub async fn events(
    connection: &mut PgConnection,
    tenant: TenantId,
    after: Uuid,
    (dimension, symbol): (Dimension, i64),
    limit: i64,
) -> Result<Vec<(Uuid, bool)>, StoreError> {
    let is_user = dimension == Dimension::UserId;
    let rows = sqlx::query_file!("sql/erasure/events.sql", tenant.0, after, symbol, is_user, limit)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.event_id, row.concerned)).collect())
}

/// Drops what callers said freely about these events.
///
/// # Errors
/// [`StoreError`].
pub async fn drop_metadata(connection: &mut PgConnection, tenant: TenantId, events: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query_file!("sql/erasure/drop_metadata.sql", tenant.0, events).execute(connection).await?;
    Ok(())
}

/// Drops view tokens that watch this name.
///
/// # Errors
/// [`StoreError`].
pub async fn drop_view_tokens(connection: &mut PgConnection, tenant: TenantId, name: &str) -> Result<(), StoreError> {
    sqlx::query_file!("sql/erasure/drop_view_tokens.sql", tenant.0, name.as_bytes()).execute(connection).await?;
    Ok(())
}

/// What an API key pins.
#[derive(Debug, Clone)]
pub struct PinnedText {
    /// The key.
    pub api_key_id: Uuid,
    /// What it puts into every call.
    pub pinned: Value,
    /// Whether it is neither revoked nor expired.
    pub works: bool,
}

/// Keys that pin anything.
///
/// # Errors
/// [`StoreError`].
pub async fn pinned_keys(connection: &mut PgConnection, tenant: TenantId) -> Result<Vec<PinnedText>, StoreError> {
    Ok(sqlx::query_file_as!(PinnedText, "sql/erasure/pinned_keys.sql", tenant.0).fetch_all(connection).await?)
}

/// Writes what a key pins.
///
/// # Errors
/// [`StoreError`].
pub async fn write_pinned(connection: &mut PgConnection, tenant: TenantId, key: &PinnedText) -> Result<(), StoreError> {
    sqlx::query_file!("sql/erasure/write_pinned.sql", tenant.0, key.api_key_id, key.pinned).execute(connection).await?;
    Ok(())
}

/// How many run.
///
/// # Errors
/// [`StoreError`].
pub async fn count_running(connection: &mut PgConnection, tenant: TenantId) -> Result<i64, StoreError> {
    Ok(sqlx::query_file_scalar!("sql/erasure/count_running.sql", tenant.0).fetch_one(connection).await?)
}

/// Tenants of which one runs.
///
/// # Errors
/// [`StoreError`].
pub async fn tenants(connection: &mut PgConnection) -> Result<Vec<TenantId>, StoreError> {
    let rows = sqlx::query_file_scalar!("sql/erasure/tenants.sql").fetch_all(connection).await?;
    Ok(rows.into_iter().map(TenantId).collect())
}

/// Drops pages of summaries that wait to be asked for.
///
/// # Errors
/// [`StoreError`].
pub async fn drop_pages(connection: &mut PgConnection, tenant: TenantId) -> Result<(), StoreError> {
    sqlx::query_file!("sql/erasure/drop_pages.sql", tenant.0).execute(connection).await?;
    Ok(())
}

/// The definitions of all budgets, deleted ones included, by number.
///
/// # Errors
/// [`StoreError`].
pub async fn budgets(connection: &mut PgConnection, tenant: TenantId) -> Result<Vec<(i64, Budget)>, StoreError> {
    let rows = sqlx::query_file!("sql/erasure/budgets.sql", tenant.0).fetch_all(connection).await?;
    let parsed = rows.into_iter().map(|row| Ok((row.budget_number, super::budgets::parsed(row.definition, "budget")?)));
    parsed.collect()
}

/// Writes what a budget selects.
///
/// # Errors
/// [`StoreError`].
pub async fn write_budget(
    connection: &mut PgConnection,
    tenant: TenantId,
    number: i64,
    budget: &Budget,
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/erasure/write_budget.sql", tenant.0, number, Json(budget) as _).execute(connection).await?;
    Ok(())
}

/// A counter, wherever it is kept.
#[derive(Debug, Clone)]
pub struct Counter {
    /// The budget's number.
    pub budget: i64,
    /// Digest of its values.
    pub scope: Uuid,
    /// Its values.
    pub per_values: PerValues,
}

/// Counters of these budgets with this value among theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn counters(
    connection: &mut PgConnection,
    tenant: TenantId,
    budgets: &[i64],
    value: &str,
) -> Result<Vec<Counter>, StoreError> {
    let wanted = serde_json::json!([value]);
    let rows = sqlx::query_file!("sql/erasure/counters.sql", tenant.0, budgets, wanted).fetch_all(connection).await?;
    let parsed = rows.into_iter().map(|row| {
        let per_values = super::budgets::parsed(row.per_values, "counter")?;
        Ok(Counter { budget: row.budget_number, scope: row.scope, per_values })
    });
    parsed.collect()
}

/// Moves counters to new values; says whether any of them presumes something of expired reservations.
///
/// # Errors
/// [`StoreError`].
pub async fn move_counters(
    connection: &mut PgConnection,
    tenant: TenantId,
    moves: &[(MovedScope, PerValues)],
) -> Result<bool, StoreError> {
    let budgets: Vec<i64> = moves.iter().map(|(moved, _)| moved.budget).collect();
    let from: Vec<Uuid> = moves.iter().map(|(moved, _)| moved.from).collect();
    let to: Vec<Uuid> = moves.iter().map(|(moved, _)| moved.to).collect();
    let values: Vec<_> = moves.iter().map(|(_, values)| Json(values)).collect();
    Ok(sqlx::query_file_scalar!("sql/erasure/move_counters.sql", tenant.0, &budgets, &from, &to, &values as _)
        .fetch_one(connection)
        .await?)
}

/// What a reservation may tell a name in.
#[derive(Debug, Clone)]
pub struct ReservationText {
    /// Its id.
    pub reservation_id: Uuid,
    /// What was checked.
    pub context: Option<Value>,
    /// Its holds.
    pub parts: Vec<Part>,
}

struct ReservationRow {
    reservation_id: Uuid,
    context: Option<Value>,
    parts: Value,
}

impl TryFrom<ReservationRow> for ReservationText {
    type Error = StoreError;

    fn try_from(row: ReservationRow) -> Result<Self, StoreError> {
        let parts = super::budgets::parsed(row.parts, "reservation")?;
        Ok(Self { reservation_id: row.reservation_id, context: row.context, parts })
    }
}

/// Which reservations are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that hold.
    Open,
    /// Those whose time ran out.
    Expired,
    /// All.
    Any,
}

/// The next reservations after `after`, locked.
///
/// # Errors
/// [`StoreError`].
pub async fn reservations(
    connection: &mut PgConnection,
    tenant: TenantId,
    after: Uuid,
    which: Which,
    limit: i64,
) -> Result<Vec<ReservationText>, StoreError> {
    let state = (which == Which::Expired).then_some(State::Expired.code());
    let rows = if which == Which::Open {
        sqlx::query_file_as!(ReservationRow, "sql/erasure/open_reservations.sql", tenant.0, after, limit)
            .fetch_all(connection)
            .await?
    } else {
        sqlx::query_file_as!(ReservationRow, "sql/erasure/reservations.sql", tenant.0, after, state, limit)
            .fetch_all(connection)
            .await?
    };
    rows.into_iter().map(ReservationText::try_from).collect()
}

/// Writes what they tell now.
///
/// # Errors
/// [`StoreError`].
pub async fn write_reservations(
    connection: &mut PgConnection,
    tenant: TenantId,
    erased: &[ReservationText],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = erased.iter().map(|one| one.reservation_id).collect();
    let contexts: Vec<Option<Value>> = erased.iter().map(|one| one.context.clone()).collect();
    let parts: Vec<_> = erased.iter().map(|one| Json(&one.parts)).collect();
    sqlx::query_file!("sql/erasure/write_reservations.sql", tenant.0, &ids, &contexts as _, &parts as _)
        .execute(connection)
        .await?;
    Ok(())
}

/// What an alert may tell a name in.
#[derive(Debug, Clone)]
pub struct AlertText {
    /// Its id.
    pub alert_id: Uuid,
    /// The counter that it is about.
    pub counter: Option<(i64, Uuid)>,
    /// What it tells.
    pub subject: Value,
}

/// The next alerts after `after`.
///
/// # Errors
/// [`StoreError`].
pub async fn alerts(
    connection: &mut PgConnection,
    tenant: TenantId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<AlertText>, StoreError> {
    let rows = sqlx::query_file!("sql/erasure/alerts.sql", tenant.0, after, limit).fetch_all(connection).await?;
    let text = rows.into_iter().map(|row| AlertText {
        alert_id: row.alert_id,
        counter: row.budget_number.zip(row.scope),
        subject: row.subject,
    });
    Ok(text.collect())
}

/// Writes what they tell now.
///
/// # Errors
/// [`StoreError`].
pub async fn write_alerts(
    connection: &mut PgConnection,
    tenant: TenantId,
    erased: &[AlertText],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = erased.iter().map(|one| one.alert_id).collect();
    let subjects: Vec<Value> = erased.iter().map(|one| one.subject.clone()).collect();
    let scopes: Vec<Option<Uuid>> = erased.iter().map(|one| one.counter.map(|(_, scope)| scope)).collect();
    sqlx::query_file!("sql/erasure/write_alerts.sql", tenant.0, &ids, &subjects, &scopes as _)
        .execute(connection)
        .await?;
    Ok(())
}

/// An answer to a correction that may tell a name.
#[derive(Debug, Clone)]
pub struct AnswerText {
    /// The request.
    pub request_id: Uuid,
    /// Which step of it.
    pub step: String,
    /// What was answered.
    pub answer: Value,
}

/// The next answers after `after`.
///
/// # Errors
/// [`StoreError`].
pub async fn answers(
    connection: &mut PgConnection,
    tenant: TenantId,
    (request_id, step): (Uuid, &str),
    limit: i64,
) -> Result<Vec<AnswerText>, StoreError> {
    Ok(sqlx::query_file_as!(AnswerText, "sql/erasure/answers.sql", tenant.0, request_id, step, limit)
        .fetch_all(connection)
        .await?)
}

/// Writes what they tell now.
///
/// # Errors
/// [`StoreError`].
pub async fn write_answers(
    connection: &mut PgConnection,
    tenant: TenantId,
    erased: &[AnswerText],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = erased.iter().map(|one| one.request_id).collect();
    let steps: Vec<String> = erased.iter().map(|one| one.step.clone()).collect();
    let answers: Vec<Value> = erased.iter().map(|one| one.answer.clone()).collect();
    sqlx::query_file!("sql/erasure/write_answers.sql", tenant.0, &ids, &steps, &answers).execute(connection).await?;
    Ok(())
}
