//! What summaries read: rollups summed by bucket and group, and single events where rollups do not reach.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use rust_decimal::Decimal;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tollgate_domain::dimensions::Dimension;
use tollgate_domain::measures::Measures;
use tollgate_domain::window::Bounds;
use uuid::Uuid;

use super::dictionary::ErasuresVersion;
use super::error::StoreError;
use super::measures_row::MeasuresRow;
use super::scoped::{Scoped, TenantPool};
use super::time::{from_database, to_database};
use crate::tenant::TenantId;

/// The group number of what is not told apart.
pub const FOLDED: i32 = -1;
/// The user number of those users of a group that are not told apart.
pub const OTHER_USERS: i64 = -1;

/// One snapshot of the database, read only.
#[derive(Debug)]
pub struct Reading {
    /// All statements of the reading go through it.
    pub transaction: Scoped,
    /// Its moment, by the database's clock.
    pub as_of: Timestamp,
    /// The tenant's erasures that it sees.
    pub erasures_version: ErasuresVersion,
}

/// Opens a snapshot of the tenant's rows whose statements may each take `timeout`.
///
/// # Errors
/// [`StoreError`].
pub async fn begin_reading(tenants: &TenantPool, tenant: TenantId, timeout: Duration) -> Result<Reading, StoreError> {
    let mut transaction = tenants.snapshot(tenant).await?;
    let timeout = format!("{}ms", timeout.as_millis());
    let row = sqlx::query_file!("sql/summary/snapshot.sql", timeout, tenant.0).fetch_one(&mut *transaction).await?;
    let as_of = from_database(row.now)?;
    Ok(Reading { transaction, as_of, erasures_version: row.erasures_version.unwrap_or_default() })
}

/// The numbers of all shapes of a tenant.
///
/// # Errors
/// [`StoreError`].
pub async fn shape_ids(connection: &mut PgConnection, tenant: TenantId) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_file_scalar!("sql/summary/shape_ids.sql", tenant.0).fetch_all(connection).await?)
}

/// The numbers of all price sheets of a tenant.
///
/// # Errors
/// [`StoreError`].
pub async fn price_sheet_ids(connection: &mut PgConnection, tenant: TenantId) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_file_scalar!("sql/summary/price_sheet_ids.sql", tenant.0).fetch_all(connection).await?)
}

/// Stretches of time, each read from one grain of the rollups into one output bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segments {
    starts: Vec<OffsetDateTime>,
    ends: Vec<OffsetDateTime>,
    grains: Vec<i16>,
    outputs: Vec<i32>,
}

impl Segments {
    /// Adds one, whose bounds are aligned with its grain.
    pub fn add(&mut self, bounds: Bounds, grain: i16, output: i32) {
        self.starts.push(to_database(bounds.start));
        self.ends.push(to_database(bounds.end));
        self.grains.push(grain);
        self.outputs.push(output);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }
}

/// Shapes that count, each with the number of its group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShapeGroups {
    /// Shapes.
    pub shapes: Vec<i64>,
    /// Their groups, in the same order.
    pub groups: Vec<i32>,
}

/// How user rollups are narrowed and told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserSelection {
    /// These users; `None` = all.
    pub users: Option<Vec<i64>>,
    /// All but these.
    pub negated: bool,
    /// Whether users are told apart.
    pub apart: bool,
    /// The only pairs of group and user that are told apart; the others of a group are [`OTHER_USERS`].
    pub chosen: Option<(Vec<i32>, Vec<i64>)>,
}

/// Sums of one group in one output bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSum {
    /// The bucket.
    pub output: i32,
    /// The group; [`FOLDED`] = the rest.
    pub group: i32,
    /// The user's number; 0 where users are not told apart, [`OTHER_USERS`] = the rest of the group.
    pub user: i64,
    /// Whether these are what corrections changed, signed, instead of what was first charged.
    pub adjustment: bool,
    /// The versions of the rows together: rises with every change of one of them.
    pub version: i64,
    /// The sums.
    pub measures: Measures,
}

/// Visits the sums of usage by shape, in no order; at most `limit`. With `adjustments`, also what corrections changed.
///
/// # Errors
/// [`StoreError`], and what `visit` answers.
pub async fn each_sum_by_shape<E: From<StoreError>>(
    connection: &mut PgConnection,
    tenant: TenantId,
    segments: &Segments,
    shapes: &ShapeGroups,
    adjustments: bool,
    limit: i64,
    mut visit: impl FnMut(GroupSum) -> Result<(), E>,
) -> Result<(), E> {
    let mut sums = sqlx::query_file!(
        "sql/summary/sum_by_shape.sql",
        tenant.0,
        &segments.starts,
        &segments.ends,
        &segments.grains,
        &segments.outputs,
        &shapes.shapes,
        &shapes.groups,
        limit,
        adjustments
    )
    .fetch(connection);
    while let Some(row) = sums.try_next().await.map_err(StoreError::from)? {
        visit(GroupSum {
            output: row.output,
            group: row.group_number,
            user: 0,
            adjustment: row.adjustment,
            version: row.version,
            measures: row.measures.try_into()?,
        })?;
    }
    Ok(())
}

/// Visits the sums of usage by user and shape, in no order; at most `limit`. Events without a user are in no such
/// rollup.
///
/// # Errors
/// [`StoreError`], and what `visit` answers.
pub async fn each_sum_by_user<E: From<StoreError>>(
    connection: &mut PgConnection,
    tenant: TenantId,
    segments: &Segments,
    shapes: &ShapeGroups,
    users: &UserSelection,
    adjustments: bool,
    limit: i64,
    mut visit: impl FnMut(GroupSum) -> Result<(), E>,
) -> Result<(), E> {
    let (groups, chosen) = users.chosen.clone().unwrap_or_default();
    let mut sums = sqlx::query_file!(
        "sql/summary/sum_by_user.sql",
        tenant.0,
        &segments.starts,
        &segments.ends,
        &segments.grains,
        &segments.outputs,
        &shapes.shapes,
        &shapes.groups,
        users.users.as_deref(),
        users.negated,
        users.apart,
        users.chosen.is_some(),
        &groups,
        &chosen,
        limit,
        adjustments
    )
    .fetch(connection);
    while let Some(row) = sums.try_next().await.map_err(StoreError::from)? {
        visit(GroupSum {
            output: row.output,
            group: row.group_number,
            user: row.user_number,
            adjustment: row.adjustment,
            version: row.version,
            measures: row.measures.try_into()?,
        })?;
    }
    Ok(())
}

/// How many events lie in `segments`, whichever output they belong to.
///
/// # Errors
/// [`StoreError`].
pub async fn count_events(
    connection: &mut PgConnection,
    tenant: TenantId,
    segments: &Segments,
) -> Result<i64, StoreError> {
    let count = sqlx::query_file_scalar!(
        "sql/summary/count_events.sql",
        tenant.0,
        &segments.starts,
        &segments.ends,
        &segments.grains
    );
    Ok(count.fetch_one(connection).await?)
}

/// How many events these sessions have.
///
/// # Errors
/// [`StoreError`].
pub async fn count_session_events(
    connection: &mut PgConnection,
    tenant: TenantId,
    sessions: &[i64],
) -> Result<i64, StoreError> {
    let count = sqlx::query_file_scalar!("sql/summary/count_session_events.sql", tenant.0, sessions);
    Ok(count.fetch_one(connection).await?)
}

/// Where events are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSource {
    /// Those that start in one of these spans.
    Started(Vec<Bounds>),
    /// Those that were charged in one of these spans.
    Charged(Vec<Bounds>),
    /// Those of these sessions that start in the span.
    Sessions(Vec<i64>, Bounds),
}

/// Which events are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSelection {
    /// Where they are looked for.
    pub source: EventSource,
    /// Of these shapes; `None` = all.
    pub shapes: Option<Vec<i64>>,
    /// With one of these numbers (0 = absent) of one dimension with many values.
    pub entity: Option<(Dimension, Vec<i64>)>,
    /// Whether their labels are read as well.
    pub labels: bool,
}

/// What an event adds to sums, and what it is grouped and narrowed by. Dimensions with many values by number.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "field for field the columns of usage_event, which the migration documents")]
pub struct SummedEvent {
    pub start_time: OffsetDateTime,
    pub charge_time: OffsetDateTime,
    pub end_time: Option<OffsetDateTime>,
    pub shape_id: i64,
    pub price_sheet_id: Option<i64>,
    pub user_id: Option<i64>,
    pub customer_id: Option<i64>,
    pub session_id: Option<i64>,
    pub parent_session_id: Option<i64>,
    /// The session's own number where the event names no root.
    pub root_session_id: Option<i64>,
    pub thread_id: Option<i64>,
    pub room_id: Option<i64>,
    pub instance_id: Option<i64>,
    pub workflow_id: Option<i64>,
    pub panel_id: Option<i64>,
    pub task_id: Option<i64>,
    pub workflow_step: Option<i32>,
    pub panel_position: Option<i32>,
    pub panel_size: Option<i32>,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub cache_read_tokens: Option<i64>,
    pub cache_write_tokens: Option<i64>,
    pub audio_in_tokens: Option<i64>,
    pub image_in_tokens: Option<i64>,
    pub video_in_tokens: Option<i64>,
    pub cache_read_audio_tokens: Option<i64>,
    pub cache_read_image_tokens: Option<i64>,
    pub cache_read_video_tokens: Option<i64>,
    pub tool_in_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    pub audio_out_tokens: Option<i64>,
    pub image_out_tokens: Option<i64>,
    pub video_out_tokens: Option<i64>,
    pub citation_tokens: Option<i64>,
    pub attempt: i16,
    /// The outcome is ERROR or ABSORBED.
    pub failed: bool,
    /// How far it could be priced, as [`super::usage::state_of`] reads it.
    pub price_state: i16,
    /// The quality is ESTIMATED or UNKNOWN.
    pub estimated: bool,
    /// The accounting is MEMO.
    pub memo: bool,
    pub response_cache_hit: bool,
    pub usd: Decimal,
    pub saved_usd: Option<Decimal>,
    /// What the provider reported in US dollars.
    pub reported_usd: Option<Decimal>,
    /// Which way a leg of a correction counts; absent = an event as it was first recorded.
    pub sign: Option<i16>,
    pub cache_write_ttls: Option<Vec<i64>>,
    /// Whether its tokens are known; else it is priced by its units alone.
    pub used: bool,
    /// Parts that are billed as other models.
    pub additional: Option<serde_json::Value>,
    pub units: Option<serde_json::Value>,
    pub labels: Option<serde_json::Value>,
}

/// Visits every event of the selection, in no order; at most `limit`.
///
/// # Errors
/// [`StoreError`], and what `visit` answers.
pub async fn each_event<E: From<StoreError>>(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &EventSelection,
    limit: i64,
    mut visit: impl FnMut(&SummedEvent) -> Result<(), E>,
) -> Result<(), E> {
    let shapes = selection.shapes.as_deref();
    let code = selection.entity.as_ref().map(|(dimension, _)| dimension.code());
    let numbers = selection.entity.as_ref().map(|(_, numbers)| numbers.as_slice());
    let mut events = match &selection.source {
        EventSource::Started(spans) => {
            let (starts, ends) = ends(spans);
            sqlx::query_file_as!(
                SummedEvent,
                "sql/summary/events_by_start.sql",
                tenant.0,
                &starts,
                &ends,
                shapes,
                code,
                numbers,
                selection.labels,
                limit
            )
            .fetch(connection)
        }
        EventSource::Charged(spans) => {
            let (starts, ends) = ends(spans);
            sqlx::query_file_as!(
                SummedEvent,
                "sql/summary/events_by_charge.sql",
                tenant.0,
                &starts,
                &ends,
                shapes,
                code,
                numbers,
                selection.labels,
                limit
            )
            .fetch(connection)
        }
        EventSource::Sessions(sessions, span) => sqlx::query_file_as!(
            SummedEvent,
            "sql/summary/events_of_sessions.sql",
            tenant.0,
            sessions,
            to_database(span.start),
            to_database(span.end),
            shapes,
            code,
            numbers,
            selection.labels,
            limit
        )
        .fetch(connection),
    };
    while let Some(event) = events.try_next().await.map_err(StoreError::from)? {
        visit(&event)?;
    }
    Ok(())
}

/// Visits every leg of a correction that the selection selects, in no order; at most `limit`.
///
/// # Errors
/// [`StoreError`], and what `visit` answers.
pub async fn each_adjustment<E: From<StoreError>>(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &EventSelection,
    limit: i64,
    mut visit: impl FnMut(&SummedEvent) -> Result<(), E>,
) -> Result<(), E> {
    let (spans, sessions) = match &selection.source {
        EventSource::Started(spans) | EventSource::Charged(spans) => (spans.as_slice(), None),
        EventSource::Sessions(sessions, span) => (std::slice::from_ref(span), Some(sessions.as_slice())),
    };
    let (starts, ends) = ends(spans);
    let mut legs = sqlx::query_file_as!(
        SummedEvent,
        "sql/summary/adjustments.sql",
        tenant.0,
        &starts,
        &ends,
        selection.shapes.as_deref(),
        selection.entity.as_ref().map(|(dimension, _)| dimension.code()),
        selection.entity.as_ref().map(|(_, numbers)| numbers.as_slice()),
        selection.labels,
        limit,
        matches!(selection.source, EventSource::Charged(_)),
        sessions
    )
    .fetch(connection);
    while let Some(leg) = legs.try_next().await.map_err(StoreError::from)? {
        visit(&leg)?;
    }
    Ok(())
}

fn ends(spans: &[Bounds]) -> (Vec<OffsetDateTime>, Vec<OffsetDateTime>) {
    spans.iter().map(|span| (to_database(span.start), to_database(span.end))).unzip()
}

/// Keeps pages for `lifetime`, and drops those of the tenant that have outlived theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn add_pages(
    tenants: &TenantPool,
    tenant: TenantId,
    request_digest: Uuid,
    lifetime: Duration,
    ids: &[Uuid],
    responses: &[Vec<u8>],
) -> Result<(), StoreError> {
    let mut transaction = tenants.change(tenant).await?;
    sqlx::query_file!("sql/summary/drop_expired_pages.sql", tenant.0).execute(&mut *transaction).await?;
    let seconds = Decimal::from(lifetime.as_secs());
    sqlx::query_file!("sql/summary/add_pages.sql", tenant.0, request_digest, seconds, ids, responses)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// A page that was kept for this request and has not expired, and the tenant's erasures by now.
///
/// # Errors
/// [`StoreError`].
pub async fn find_page(
    tenants: &TenantPool,
    tenant: TenantId,
    page: Uuid,
    request_digest: Uuid,
) -> Result<Option<(Vec<u8>, ErasuresVersion)>, StoreError> {
    let mut transaction = tenants.snapshot(tenant).await?;
    let page = sqlx::query_file!("sql/summary/find_page.sql", tenant.0, page, request_digest);
    let found = page.fetch_optional(&mut *transaction).await?;
    Ok(found.map(|row| (row.response, row.erasures_version.unwrap_or_default())))
}
