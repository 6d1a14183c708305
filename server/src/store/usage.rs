//! Events between the domain and their rows, and reads of single events.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize as _;
use sqlx::PgConnection;
use tollgate_domain::amount::Usd;
use tollgate_domain::dimensions::{Dimension, DimensionKind, Dimensions};
use tollgate_domain::event::{
    Accounting, CallOutcome, EventKey, FINGERPRINT_VERSION, Origin, ReservationUse, UsageEvent,
};
use tollgate_domain::extract::ModelUsage;
use tollgate_domain::measures::Charge;
use tollgate_domain::notices::Notices;
use tollgate_domain::price::{Cost, PriceSheet, PriceState, UnitCount, Used};
use tollgate_domain::tokens::{TokenClass, TokenPart, TokenUsage, UsageQuality};
use tracing::Instrument as _;
use uuid::Uuid;

use super::dictionary::{Dictionary, Numbers};
use super::error::StoreError;
use super::event_row::EventRow;
use super::shape::{EXACT_LABEL, Shape};
use super::time::{from_database, to_database};
use crate::tenant::TenantId;
use crate::trace::statement;

/// An event as it is stored.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// Its id, also where its key is external.
    pub event_id: Uuid,
    /// The event, with the dimensions that it was charged to.
    pub event: UsageEvent,
    /// What was charged.
    pub charge: Charge,
    /// Which budget windows were charged.
    pub charge_time: Timestamp,
    /// When it was recorded.
    pub record_time: Timestamp,
    /// How it was charged.
    pub notices: Notices,
    /// Digest of what its first telling said.
    pub fingerprint: Uuid,
}

/// What a new row is made of.
#[derive(Debug)]
pub struct NewEvent<'a> {
    /// Its id.
    pub event_id: Uuid,
    /// The event, with the dimensions that it is charged to.
    pub event: &'a UsageEvent,
    /// Number of its shape, or of that under which it counts.
    pub shape_id: i64,
    /// Whether it counts under another shape than its own.
    pub is_folded: bool,
    /// Number of its price sheet.
    pub price_sheet_id: Option<i64>,
    /// What is charged.
    pub charge: &'a Charge,
    /// Which budget windows are charged.
    pub charge_time: Timestamp,
    /// The database's clock.
    pub record_time: Timestamp,
    /// How it is charged.
    pub notices: Notices,
    /// Digest of what its first telling said.
    pub fingerprint: Uuid,
}

fn state_code(state: PriceState) -> i16 {
    match state {
        PriceState::Priced => 1,
        PriceState::Free => 2,
        PriceState::Partial => 3,
        PriceState::Unpriced => 4,
    }
}

/// The price state of a stored code; `None` where a newer version wrote it.
pub fn state_of(code: i16) -> Option<PriceState> {
    let states = [PriceState::Priced, PriceState::Free, PriceState::Partial, PriceState::Unpriced];
    states.into_iter().find(|state| state_code(*state) == code)
}

fn quality_code(quality: UsageQuality) -> i16 {
    match quality {
        UsageQuality::Reported => 1,
        UsageQuality::Counted => 2,
        UsageQuality::Estimated => 3,
        UsageQuality::Unknown => 4,
    }
}

fn quality_from_code(code: i16) -> Option<UsageQuality> {
    [UsageQuality::Reported, UsageQuality::Counted, UsageQuality::Estimated, UsageQuality::Unknown]
        .into_iter()
        .find(|quality| quality_code(*quality) == code)
}

fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unreadable() -> StoreError {
    StoreError::Unreadable { what: "event" }
}

/// The row of a new event.
///
/// # Errors
/// [`StoreError::Unreadable`] where a value was not interned.
pub fn encode(new: &NewEvent<'_>, numbers: &Numbers) -> Result<EventRow, StoreError> {
    let event = new.event;
    let entity = |dimension: Dimension| {
        event.dimensions.get(dimension).map(|value| numbers.symbol(dimension, value)).transpose()
    };
    let position = |dimension: Dimension| {
        event.dimensions.get(dimension).map(str::parse::<i32>).transpose().map_err(|_| unreadable())
    };
    let usage = event.usage.as_ref();
    let class = |class: TokenClass| usage.and_then(|usage| usage.class_tokens(class)).map(stored_count);
    let ttls: Vec<i64> = usage
        .into_iter()
        .flat_map(|usage| &usage.parts)
        .filter(|part| part.class == TokenClass::CacheWrite)
        .filter_map(|part| Some([i64::from(part.cache_ttl_seconds?), stored_count(part.tokens)]))
        .flatten()
        .collect();
    let json = |value: Result<serde_json::Value, serde_json::Error>| value.map_err(|_| unreadable());
    let (external_source, external_key) = match &event.key {
        EventKey::Id(_) => (None, None),
        EventKey::External { source, key } => (Some(source.clone()), Some(key.clone())),
    };
    Ok(EventRow {
        event_id: new.event_id,
        start_time: to_database(event.start_time),
        charge_time: to_database(new.charge_time),
        record_time: to_database(new.record_time),
        end_time: event.end_time.map(to_database),
        time_to_first_token_us: event.time_to_first_token_micros,
        shape_id: new.shape_id,
        price_sheet_id: new.price_sheet_id,
        user_id: entity(Dimension::UserId)?,
        customer_id: entity(Dimension::CustomerId)?,
        session_id: entity(Dimension::SessionId)?,
        parent_session_id: entity(Dimension::ParentSessionId)?,
        root_session_id: entity(Dimension::RootSessionId)?,
        thread_id: entity(Dimension::ThreadId)?,
        room_id: entity(Dimension::RoomId)?,
        instance_id: entity(Dimension::InstanceId)?,
        workflow_id: entity(Dimension::WorkflowId)?,
        panel_id: entity(Dimension::PanelId)?,
        task_id: entity(Dimension::TaskId)?,
        input_tokens: usage.and_then(|usage| usage.total_input).map(stored_count),
        output_tokens: usage.and_then(|usage| usage.total_output).map(stored_count),
        reported_total: usage.and_then(|usage| usage.reported_total).map(stored_count),
        cache_read_tokens: class(TokenClass::CacheRead),
        cache_write_tokens: class(TokenClass::CacheWrite),
        audio_in_tokens: class(TokenClass::AudioIn),
        image_in_tokens: class(TokenClass::ImageIn),
        video_in_tokens: class(TokenClass::VideoIn),
        cache_read_audio_tokens: class(TokenClass::CacheReadAudio),
        cache_read_image_tokens: class(TokenClass::CacheReadImage),
        cache_read_video_tokens: class(TokenClass::CacheReadVideo),
        tool_in_tokens: class(TokenClass::ToolIn),
        reasoning_tokens: class(TokenClass::Reasoning),
        audio_out_tokens: class(TokenClass::AudioOut),
        image_out_tokens: class(TokenClass::ImageOut),
        video_out_tokens: class(TokenClass::VideoOut),
        citation_tokens: class(TokenClass::Citation),
        fingerprint: new.fingerprint,
        reservation_id: event.reservation.map(|used| used.reservation_id),
        workflow_step: position(Dimension::WorkflowStep)?,
        panel_position: position(Dimension::PanelPosition)?,
        panel_size: position(Dimension::PanelSize)?,
        fingerprint_version: FINGERPRINT_VERSION,
        attempt: event.attempt,
        outcome: event.outcome.code(),
        price_state: state_code(new.charge.cost.state),
        quality: usage.map(|usage| quality_code(usage.quality)),
        accounting: event.accounting.code(),
        origin: event.origin.code(),
        notices: new.notices.code(),
        response_cache_hit: event.response_cache_hit,
        keep_open: event.reservation.is_some_and(|used| used.keep_open),
        usd: new.charge.usd.decimal(),
        saved_usd: new.charge.saved_usd.map(Usd::decimal),
        reported_cost: event.reported_cost.map(Usd::decimal),
        reported_currency: event.reported_currency.clone(),
        cache_write_ttls: (!ttls.is_empty()).then_some(ttls),
        units: (!event.units.is_empty()).then(|| json(serde_json::to_value(&event.units))).transpose()?,
        labels: labels(event, new.is_folded)?,
        call_id: event.call_id.clone(),
        response_id: event.response_id.clone(),
        batch_id: event.batch_id.clone(),
        error_type: event.error_type.clone(),
        trace_id: event.trace_id.clone(),
        span_id: event.span_id.clone(),
        external_source,
        external_key,
        metadata: event.metadata_json.clone(),
        additional: (!event.additional.is_empty())
            .then(|| json(serde_json::to_value(&event.additional)))
            .transpose()?,
        usage_api: event.usage_api.clone(),
    })
}

/// The labels of an event, and its exact shape where it counts under another one.
fn labels(event: &UsageEvent, is_folded: bool) -> Result<Option<serde_json::Value>, StoreError> {
    let mut labels = Cow::Borrowed(&event.dimensions.labels);
    if is_folded {
        let exact = serde_json::to_string(&Shape::of(event, &event.dimensions)).map_err(|_| unreadable())?;
        labels.to_mut().insert(EXACT_LABEL.to_owned(), exact);
    }
    (!labels.is_empty()).then(|| serde_json::to_value(&*labels)).transpose().map_err(|_| unreadable())
}

/// Splits what [`labels`] put together.
///
/// # Errors
/// [`StoreError::Unreadable`].
pub(super) fn labels_and_shape(
    stored: Option<&serde_json::Value>,
) -> Result<(BTreeMap<String, String>, Option<Shape>), StoreError> {
    let Some(stored) = stored else { return Ok((BTreeMap::new(), None)) };
    let mut labels = BTreeMap::<String, String>::deserialize(stored).map_err(|_| unreadable())?;
    let exact = labels.remove(EXACT_LABEL);
    let exact = exact.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| unreadable())?;
    Ok((labels, exact))
}

/// The row of an event that is priced again: nothing but the price is another.
pub fn repriced(row: &EventRow, price_sheet_id: Option<i64>, charge: &Charge) -> EventRow {
    EventRow {
        price_sheet_id,
        price_state: state_code(charge.cost.state),
        usd: charge.usd.decimal(),
        saved_usd: charge.saved_usd.map(Usd::decimal),
        ..row.clone()
    }
}

/// Rows back to events, their numbers looked up in the dictionaries.
///
/// # Errors
/// [`StoreError`].
pub async fn decode(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    rows: Vec<EventRow>,
) -> Result<Vec<StoredEvent>, StoreError> {
    let shapes = dictionary.shapes(&mut *connection, tenant, rows.iter().map(|row| row.shape_id)).await?;
    let sheets = dictionary.sheets(&mut *connection, tenant, rows.iter().filter_map(|row| row.price_sheet_id)).await?;
    let numbers = rows.iter().flat_map(|row| entities(row).into_iter().filter_map(|(_, number)| number));
    let texts = dictionary.symbol_texts(connection, tenant, numbers).await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let shape = shapes.get(&row.shape_id).ok_or_else(unreadable)?;
        let sheet = row.price_sheet_id.map(|number| sheets.get(&number).ok_or_else(unreadable)).transpose()?;
        let mut dimensions = Dimensions::default();
        let (labels, exact) = labels_and_shape(row.labels.as_ref())?;
        dimensions.labels = labels;
        let shape = exact.as_ref().unwrap_or(shape);
        for (dimension, value) in &shape.values {
            if dimension.kind() == DimensionKind::Shape {
                dimensions.set(*dimension, value);
            }
        }
        for (dimension, number) in entities(&row) {
            if let Some(number) = number {
                dimensions.set(dimension, &**texts.get(&number).ok_or_else(unreadable)?);
            }
        }
        let positions = [
            (Dimension::WorkflowStep, row.workflow_step),
            (Dimension::PanelPosition, row.panel_position),
            (Dimension::PanelSize, row.panel_size),
        ];
        for (dimension, value) in positions {
            if let Some(value) = value {
                dimensions.set(dimension, value.to_string());
            }
        }
        events.push(stored(row, shape, sheet, dimensions)?);
    }
    Ok(events)
}

fn entities(row: &EventRow) -> [(Dimension, Option<i64>); 11] {
    [
        (Dimension::UserId, row.user_id),
        (Dimension::CustomerId, row.customer_id),
        (Dimension::SessionId, row.session_id),
        (Dimension::ParentSessionId, row.parent_session_id),
        (Dimension::RootSessionId, row.root_session_id),
        (Dimension::ThreadId, row.thread_id),
        (Dimension::RoomId, row.room_id),
        (Dimension::InstanceId, row.instance_id),
        (Dimension::WorkflowId, row.workflow_id),
        (Dimension::PanelId, row.panel_id),
        (Dimension::TaskId, row.task_id),
    ]
}

fn stored(
    row: EventRow,
    shape: &Shape,
    sheet: Option<&Arc<PriceSheet>>,
    dimensions: Dimensions,
) -> Result<StoredEvent, StoreError> {
    let usage = stored_usage(&row)?;
    let units: Vec<UnitCount> =
        row.units.map(serde_json::from_value).transpose().map_err(|_| unreadable())?.unwrap_or_default();
    let money = |value: rust_decimal::Decimal| Usd::new(value).map_err(|_| unreadable());
    let additional: Vec<ModelUsage> =
        row.additional.map(serde_json::from_value).transpose().map_err(|_| unreadable())?.unwrap_or_default();
    let used = Used { usage: usage.as_ref(), units: &units, additional: &additional };
    let cost: Cost = used.bill(sheet.map(AsRef::as_ref)).map_err(|_| unreadable())?;
    let key = match (row.external_source, row.external_key) {
        (Some(source), Some(key)) => EventKey::External { source, key },
        _ => EventKey::Id(row.event_id),
    };
    let reservation =
        row.reservation_id.map(|reservation_id| ReservationUse { reservation_id, keep_open: row.keep_open });
    let event = UsageEvent {
        key,
        call_id: row.call_id,
        attempt: row.attempt,
        start_time: from_database(row.start_time)?,
        end_time: row.end_time.map(from_database).transpose()?,
        time_to_first_token_micros: row.time_to_first_token_us,
        dimensions,
        operation_name: shape.values.get(&Dimension::OperationName).cloned(),
        request_model: shape.request_model.clone(),
        response_model: shape.response_model.clone(),
        response_id: row.response_id,
        batch_id: row.batch_id,
        usage,
        units,
        additional,
        usage_api: row.usage_api,
        told: None,
        response_cache_hit: row.response_cache_hit,
        outcome: CallOutcome::from_code(row.outcome).ok_or_else(unreadable)?,
        error_type: row.error_type,
        reservation,
        reported_cost: row.reported_cost.map(money).transpose()?,
        reported_currency: row.reported_currency,
        accounting: Accounting::from_code(row.accounting).ok_or_else(unreadable)?,
        origin: Origin::from_code(row.origin).ok_or_else(unreadable)?,
        trace_id: row.trace_id,
        span_id: row.span_id,
        metadata_json: row.metadata,
    };
    Ok(StoredEvent {
        event_id: row.event_id,
        charge: Charge { cost, usd: money(row.usd)?, saved_usd: row.saved_usd.map(money).transpose()? },
        charge_time: from_database(row.charge_time)?,
        record_time: from_database(row.record_time)?,
        notices: Notices::from_code(row.notices),
        fingerprint: row.fingerprint,
        event,
    })
}

fn stored_usage(row: &EventRow) -> Result<Option<TokenUsage>, StoreError> {
    let Some(quality) = row.quality else { return Ok(None) };
    let count = |value: Option<i64>| value.map(u64::try_from).transpose().map_err(|_| unreadable());
    let classes = [
        (TokenClass::CacheRead, row.cache_read_tokens),
        (TokenClass::CacheWrite, row.cache_write_tokens),
        (TokenClass::AudioIn, row.audio_in_tokens),
        (TokenClass::ImageIn, row.image_in_tokens),
        (TokenClass::VideoIn, row.video_in_tokens),
        (TokenClass::CacheReadAudio, row.cache_read_audio_tokens),
        (TokenClass::CacheReadImage, row.cache_read_image_tokens),
        (TokenClass::CacheReadVideo, row.cache_read_video_tokens),
        (TokenClass::ToolIn, row.tool_in_tokens),
        (TokenClass::Reasoning, row.reasoning_tokens),
        (TokenClass::AudioOut, row.audio_out_tokens),
        (TokenClass::ImageOut, row.image_out_tokens),
        (TokenClass::VideoOut, row.video_out_tokens),
        (TokenClass::Citation, row.citation_tokens),
    ];
    let mut parts = Vec::new();
    for (class, tokens) in classes {
        let Some(mut tokens) = count(tokens)? else { continue };
        let ttls = row.cache_write_ttls.as_deref().filter(|_| class == TokenClass::CacheWrite).unwrap_or_default();
        for pair in ttls.chunks_exact(2) {
            let [seconds, with_ttl] = pair else { continue };
            let with_ttl = u64::try_from(*with_ttl).map_err(|_| unreadable())?;
            let seconds = u32::try_from(*seconds).map_err(|_| unreadable())?;
            parts.push(TokenPart { class, tokens: with_ttl, cache_ttl_seconds: Some(seconds) });
            tokens = tokens.saturating_sub(with_ttl);
        }
        if tokens > 0 || ttls.is_empty() {
            parts.push(TokenPart { class, tokens, cache_ttl_seconds: None });
        }
    }
    parts.sort_by_key(|part| (part.class, part.cache_ttl_seconds));
    Ok(Some(TokenUsage {
        total_input: count(row.input_tokens)?,
        total_output: count(row.output_tokens)?,
        reported_total: count(row.reported_total)?,
        parts,
        quality: quality_from_code(quality).ok_or_else(unreadable)?,
    }))
}

/// Reads the rows of these events.
///
/// # Errors
/// [`StoreError`].
pub async fn rows(connection: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<EventRow>, StoreError> {
    let rows = sqlx::query_file!("sql/usage/events_by_id.sql", tenant.0, ids)
        .fetch_all(connection)
        .instrument(statement("usage/events_by_id", "SELECT"))
        .await?;
    Ok(rows.into_iter().map(|row| row.event).collect())
}

/// Which events are gone through, by rising start.
#[derive(Debug, Clone)]
pub struct ScanFilter {
    /// Earliest start of the first row.
    pub from: Timestamp,
    /// Starts before this.
    pub until: Timestamp,
    /// After this one: where the part before ended.
    pub after: Option<(Timestamp, Uuid)>,
    /// Of these shapes, or corrected; `None` = all.
    pub shapes: Option<Vec<i64>>,
    /// Without a complete price, or corrected.
    pub unpriced_only: bool,
}

/// Reads up to `limit` first rows by rising start.
///
/// # Errors
/// [`StoreError`].
pub async fn scan(
    connection: &mut PgConnection,
    tenant: TenantId,
    filter: &ScanFilter,
    limit: i64,
) -> Result<Vec<EventRow>, StoreError> {
    let rows = sqlx::query_file!(
        "sql/usage/scan_events.sql",
        tenant.0,
        to_database(filter.from),
        to_database(filter.until),
        filter.after.map(|(at, _)| to_database(at)),
        filter.after.map(|(_, id)| id),
        filter.shapes.as_deref(),
        filter.unpriced_only,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.event).collect())
}

/// What a list of events is narrowed to, in numbers of the dictionaries. Newest start first.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Earliest start.
    pub from: Option<Timestamp>,
    /// Starts before this.
    pub until: Option<Timestamp>,
    /// Of this session.
    pub session: Option<i64>,
    /// Of these shapes; `None` = all.
    pub shapes: Option<Vec<i64>>,
    /// Conditions on dimensions with many values: code, accepted numbers (0 = absent), whether it is turned around.
    pub entities: Vec<(i16, Vec<i64>, bool)>,
    /// Of this reservation.
    pub reservation: Option<Uuid>,
    /// After this one: where the page before ended.
    pub after: Option<(Timestamp, Uuid)>,
}

impl ListFilter {
    /// The session, where nothing else but times narrows the list.
    fn session_alone(&self) -> Option<i64> {
        let others = self.shapes.is_some() || self.reservation.is_some() || self.entities.len() > 1;
        self.session.filter(|_| !others)
    }
}

/// Later than any start: those are accepted up to the year 9998, from the year 1970 on.
const LATEST: i64 = 253_370_764_800;

/// A session's history: see [`list`].
async fn session_events(
    connection: &mut PgConnection,
    tenant: TenantId,
    session: i64,
    filter: &ListFilter,
    limit: i64,
) -> Result<Vec<EventRow>, StoreError> {
    let latest = Timestamp::from_second(LATEST).unwrap_or(Timestamp::MAX);
    let from = filter.from.unwrap_or(Timestamp::UNIX_EPOCH);
    let (after, after_id) = filter.after.unwrap_or((latest, Uuid::max()));
    let rows = sqlx::query_file!(
        "sql/usage/session_events.sql",
        tenant.0,
        session,
        to_database(from),
        to_database(filter.until.unwrap_or(latest)),
        to_database(after),
        after_id,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.event).collect())
}

/// Reads up to `limit` rows.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    connection: &mut PgConnection,
    tenant: TenantId,
    filter: &ListFilter,
    limit: i64,
) -> Result<Vec<EventRow>, StoreError> {
    if let Some(session) = filter.session_alone() {
        return session_events(connection, tenant, session, filter, limit).await;
    }
    let codes: Vec<i16> = filter.entities.iter().map(|(code, _, _)| *code).collect();
    let accepted: Vec<serde_json::Value> =
        filter.entities.iter().map(|(_, numbers, _)| serde_json::json!(numbers)).collect();
    let negated: Vec<bool> = filter.entities.iter().map(|(_, _, negated)| *negated).collect();
    let rows = sqlx::query_file!(
        "sql/usage/list_events.sql",
        tenant.0,
        filter.from.map(to_database),
        filter.until.map(to_database),
        filter.session,
        filter.shapes.as_deref(),
        filter.reservation,
        filter.after.map(|(at, _)| to_database(at)),
        filter.after.map(|(_, id)| id),
        &codes,
        &accepted,
        &negated,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.event).collect())
}
