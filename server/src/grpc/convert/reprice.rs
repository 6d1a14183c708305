//! Repricing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use tollgate_domain::dimensions::{VALUE_BYTES_LIMIT, check_text};
use tollgate_domain::violation::Violations;
use tollgate_domain::window::Bounds;
use tollgate_proto::v1;
use uuid::Uuid;

use super::amend::required_reason;
use super::dimensions::{matches, to_model};
use super::values::{required_timestamp, to_timestamp, uuid};
use crate::app::AppError;
use crate::app::reprice::{Application, Position, RepriceChange, RepriceOutcome, RepriceRequest};

const FILTER_LIMIT: usize = 16;
const MODELS_LIMIT: usize = 100;

/// A validated step.
///
/// # Errors
/// [`AppError::Invalid`] with every violation, [`AppError::PageTokenInvalid`] for a cursor that is none.
pub fn request(message: v1::RepriceUsageRequest) -> Result<RepriceRequest, AppError> {
    let v1::RepriceUsageRequest {
        start_time,
        end_time,
        filter,
        models,
        unpriced_only,
        apply,
        request_id,
        reason,
        cursor,
    } = message;
    let mut found = Violations::new();
    let start = required_timestamp(&mut found, "start_time", start_time);
    let end = required_timestamp(&mut found, "end_time", end_time);
    let range = start.zip(end).map(|(start, end)| Bounds { start, end });
    found.add_if(range.is_some_and(|range| range.is_empty()), "end_time", "must be after start_time");
    found.add_if(filter.len() > FILTER_LIMIT, "filter", format!("must have at most {FILTER_LIMIT} entries"));
    let filter = matches(&mut found, "filter", filter);
    found.add_if(models.len() > MODELS_LIMIT, "models", format!("must have at most {MODELS_LIMIT} entries"));
    for (position, model) in models.iter().enumerate().take(MODELS_LIMIT) {
        found.add_if(model.is_empty(), format!("models[{position}]"), "must not be empty");
        check_text(&mut found, format!("models[{position}]"), model, VALUE_BYTES_LIMIT);
    }
    let apply = apply.then(|| {
        let request_id = uuid(&mut found, "request_id", &request_id).unwrap_or_default();
        Application { request_id, reason: required_reason(&mut found, reason) }
    });
    let after = position(&cursor)?;
    let request = range.map(|range| RepriceRequest { range, filter, models, unpriced_only, after, cursor, apply });
    found.into_result(()).map_err(AppError::from)?;
    request.ok_or(AppError::Internal)
}

/// For the wire.
pub fn to_response(outcome: &RepriceOutcome) -> v1::RepriceUsageResponse {
    let RepriceOutcome { events, changed, unpriced, usd_delta, applied, next, changes } = outcome;
    v1::RepriceUsageResponse {
        events: *events,
        changed: *changed,
        unpriced: *unpriced,
        usd_delta: usd_delta.to_string(),
        applied: *applied,
        next_cursor: next.as_ref().map(cursor).unwrap_or_default(),
        changes: changes.iter().map(to_change).collect(),
    }
}

fn to_change(change: &RepriceChange) -> v1::RepriceChange {
    let RepriceChange { day, model, events, changed, usd_before, usd_after } = change;
    v1::RepriceChange {
        day: Some(to_timestamp(*day)),
        model: Some(to_model(model)),
        events: *events,
        changed: *changed,
        usd_before: usd_before.to_string(),
        usd_after: usd_after.to_string(),
    }
}

fn cursor((at, id): &Position) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {id}", at.as_microsecond()))
}

fn position(cursor: &str) -> Result<Option<Position>, AppError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let decoded = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = decoded.as_deref().and_then(|text| text.split_once(' '));
    let parsed = parts
        .and_then(|(at, id)| Some((Timestamp::from_microsecond(at.parse().ok()?).ok()?, Uuid::try_parse(id).ok()?)));
    parsed.map(Some).ok_or(AppError::PageTokenInvalid)
}
