//! Usage events and records.

use std::fmt::Display;
use std::time::Duration;

use tollgate_domain::amount::{Amount, Usd};
use tollgate_domain::dimensions::{Dimension, Dimensions};
use tollgate_domain::event::{Accounting, CallOutcome, EventKey, Origin, ReservationUse, UsageEvent};
use tollgate_domain::violation::{FieldOf, Violation, Violations};
use tollgate_proto::v1;

use super::cost::to_charge;
use super::dimensions::{model, required_model, stamped, to_dimensions, to_model};
use super::provider_usage::provider_usage;
use super::tokens::{to_unit, to_usage, units, usage};
use super::values::{
    decimal, duration, known, required_timestamp, text, timestamp, to_duration, to_timestamp, uuid_v7,
};
use crate::app::AppError;
use crate::store::adjustments::Standing;
use crate::store::usage::StoredEvent;

const ID_BYTES_LIMIT: usize = 256;
const SOURCE_BYTES_LIMIT: usize = 64;
const OPERATION_BYTES_LIMIT: usize = 64;
const ERROR_BYTES_LIMIT: usize = 128;
const TRACE_BYTES_LIMIT: usize = 64;
/// Largest cost that one call can be reported with: no sum over calls can overflow by one of them.
const REPORTED_COST_LIMIT: u32 = 1_000_000_000;
const METADATA_BYTES_LIMIT: usize = 4 << 10;
const LONGEST_CALL: Duration = Duration::from_secs(30 * 86_400);

/// A validated event, its dimensions stamped by the server.
///
/// # Errors
/// [`AppError::Invalid`] with every violation, and [`AppError::NotImplemented`].
pub fn event(message: Option<v1::UsageEvent>, path: &str, stamp: &Dimensions) -> Result<UsageEvent, AppError> {
    let Some(message) = message else { return Err(AppError::invalid(path, "must be set")) };
    let v1::UsageEvent {
        key,
        call_id,
        attempt,
        start_time,
        end_time,
        time_to_first_token,
        dimensions: dimensions_message,
        operation_name,
        request_model,
        response_model,
        response_id,
        batch_id,
        usage: usage_message,
        units: units_messages,
        response_cache_hit,
        outcome,
        error_type,
        reservation,
        reported_cost,
        reported_currency,
        accounting,
        origin,
        trace_id,
        span_id,
        metadata_json,
    } = message;
    let mut found = Violations::new();
    let field = |name: &'static str| FieldOf { path, name };
    let key = event_key(&mut found, path, key);
    let start_time = required_timestamp(&mut found, field("start_time"), start_time);
    let end_time = timestamp(&mut found, field("end_time"), end_time);
    if let (Some(start), Some(end)) = (start_time, end_time) {
        let longest = jiff::SignedDuration::try_from(LONGEST_CALL).unwrap_or_default();
        found.add_if(end < start, field("end_time"), "must not lie before start_time");
        found.add_if(end.duration_since(start) > longest, field("end_time"), "must lie within 30 days of start_time");
    }
    let time_to_first_token = duration(&mut found, field("time_to_first_token"), time_to_first_token, LONGEST_CALL);
    let attempt = i16::try_from(attempt.max(1)).ok().filter(|_| attempt >= 0);
    found.add_if(attempt.is_none(), field("attempt"), "must be between 0 and 32767");
    let (usage, reported) = match usage_message {
        None => (None, None),
        Some(v1::usage_event::Usage::Tokens(tokens)) => (usage(&mut found, field("tokens"), tokens), None),
        Some(v1::usage_event::Usage::ProviderUsage(message)) => {
            (None, provider_usage(&mut found, field("provider_usage"), message))
        }
    };
    let metadata = text(&mut found, field("metadata_json"), metadata_json, METADATA_BYTES_LIMIT);
    let is_json = |text: &String| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    found.add_if(metadata.as_ref().is_some_and(|text| !is_json(text)), field("metadata_json"), "must be JSON");
    let has_cost = !reported_cost.is_empty();
    let reported_cost: Option<Usd> = decimal(&mut found, field("reported_cost"), &reported_cost);
    found.add_if(reported_cost.is_some_and(Usd::is_negative), field("reported_cost"), "must not be negative");
    found.add_if(
        reported_cost.is_some_and(|cost: Usd| Amount::from(cost) > REPORTED_COST_LIMIT.into()),
        field("reported_cost"),
        format_args!("must be at most {REPORTED_COST_LIMIT}"),
    );
    let reported_currency = currency(&mut found, field("reported_currency"), reported_currency, has_cost);
    let dimensions = stamped(&mut found, field("dimensions"), dimensions_message, stamp);
    let request_model = required_model(&mut found, field("request_model"), request_model);
    let response_model = response_model.map(|message| model(&mut found, field("response_model"), message));
    let reservation = reservation.and_then(|message| reservation_use(&mut found, field("reservation"), &message));
    let units = units(&mut found, field("units"), units_messages);
    let outcome = outcome_to_domain(&mut found, field("outcome"), outcome);
    let accounting = known::<v1::Accounting>(&mut found, field("accounting"), accounting, true);
    let origin = known::<v1::Origin>(&mut found, field("origin"), origin, true);
    let mut optional = |name: &'static str, value: String, limit: usize| text(&mut found, field(name), value, limit);
    let call_id = optional("call_id", call_id, ID_BYTES_LIMIT);
    let operation_name = optional("operation_name", operation_name, OPERATION_BYTES_LIMIT);
    let response_id = optional("response_id", response_id, ID_BYTES_LIMIT);
    let batch_id = optional("batch_id", batch_id, ID_BYTES_LIMIT);
    let error_type = optional("error_type", error_type, ERROR_BYTES_LIMIT);
    let trace_id = optional("trace_id", trace_id, TRACE_BYTES_LIMIT);
    let span_id = optional("span_id", span_id, TRACE_BYTES_LIMIT);
    let (Some(key), Some(start_time), Some(attempt)) = (key, start_time, attempt) else {
        return Err(found.into_result(()).err().unwrap_or_default().into());
    };
    let mut event = UsageEvent {
        key,
        call_id,
        attempt,
        start_time,
        end_time,
        time_to_first_token_micros: time_to_first_token.and_then(|span| i64::try_from(span.as_micros()).ok()),
        dimensions,
        operation_name,
        request_model,
        response_model: response_model.filter(|model| !model.model.is_empty()),
        response_id,
        batch_id,
        usage,
        units,
        additional: Vec::new(),
        usage_api: None,
        told: None,
        response_cache_hit,
        outcome,
        error_type,
        reservation,
        reported_cost,
        reported_currency,
        accounting: match accounting {
            Some(v1::Accounting::Memo) => Accounting::Memo,
            _ => Accounting::Enforced,
        },
        origin: match origin {
            Some(v1::Origin::BatchJob) => Origin::BatchJob,
            Some(v1::Origin::Import) => Origin::Import,
            Some(v1::Origin::Otlp) => Origin::Otlp,
            _ => Origin::Live,
        },
        trace_id,
        span_id,
        metadata_json: metadata,
    };
    if let Some(reported) = reported {
        reported.fill(&mut found, field("provider_usage"), &mut event);
    }
    found.into_result(event).map_err(AppError::from)
}

fn event_key(found: &mut Violations, path: impl Display + Copy, key: Option<v1::usage_event::Key>) -> Option<EventKey> {
    match key {
        None => {
            found.add(format_args!("{path}.event_id"), "must be set, or external_key");
            None
        }
        Some(v1::usage_event::Key::EventId(id)) => {
            uuid_v7(found, format_args!("{path}.event_id"), &id).map(EventKey::Id)
        }
        Some(v1::usage_event::Key::ExternalKey(key)) => external_key(found, format_args!("{path}.external_key"), key),
    }
}

/// A key of another system.
pub fn external_key(found: &mut Violations, path: impl Display + Copy, message: v1::ExternalKey) -> Option<EventKey> {
    let v1::ExternalKey { source, key } = message;
    let source = required_text(found, format_args!("{path}.source"), source, SOURCE_BYTES_LIMIT);
    let key = required_text(found, format_args!("{path}.key"), key, ID_BYTES_LIMIT);
    Some(EventKey::External { source: source?, key: key? })
}

fn required_text(found: &mut Violations, field: impl Display + Copy, value: String, limit: usize) -> Option<String> {
    found.add_if(value.is_empty(), field, "must be set");
    text(found, field, value, limit)
}

fn reservation_use(
    found: &mut Violations,
    path: impl Display + Copy,
    message: &v1::ReservationUse,
) -> Option<ReservationUse> {
    let v1::ReservationUse { reservation_id, keep_open } = message;
    let reservation_id = uuid_v7(found, format_args!("{path}.reservation_id"), reservation_id)?;
    Some(ReservationUse { reservation_id, keep_open: *keep_open })
}

fn currency(found: &mut Violations, field: impl Display + Copy, value: String, has_cost: bool) -> Option<String> {
    if value.is_empty() {
        found.add_if(has_cost, field, "must be set with reported_cost: the ISO 4217 code, for example USD");
        return None;
    }
    let valid = value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_uppercase());
    found.add_if(!valid, field, "must be an ISO 4217 code of three capital letters, for example USD");
    found.add_if(!has_cost, field, "may be set only with reported_cost");
    Some(value)
}

fn outcome_to_domain(found: &mut Violations, field: impl Display + Copy, value: i32) -> CallOutcome {
    match known::<v1::CallOutcome>(found, field, value, true) {
        Some(v1::CallOutcome::Partial) => CallOutcome::Partial,
        Some(v1::CallOutcome::Cancelled) => CallOutcome::Cancelled,
        Some(v1::CallOutcome::Error) => CallOutcome::Error,
        Some(v1::CallOutcome::Absorbed) => CallOutcome::Absorbed,
        Some(v1::CallOutcome::Ok | v1::CallOutcome::Unspecified) | None => CallOutcome::Ok,
    }
}

/// For the wire.
pub fn to_event(event: &UsageEvent) -> v1::UsageEvent {
    let UsageEvent {
        key,
        call_id,
        attempt,
        start_time,
        end_time,
        time_to_first_token_micros,
        dimensions,
        operation_name,
        request_model,
        response_model,
        response_id,
        batch_id,
        usage,
        units,
        additional: _,
        usage_api: _,
        told: _,
        response_cache_hit,
        outcome,
        error_type,
        reservation,
        reported_cost,
        reported_currency,
        accounting,
        origin,
        trace_id,
        span_id,
        metadata_json,
    } = event;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    v1::UsageEvent {
        key: Some(match key {
            EventKey::Id(id) => v1::usage_event::Key::EventId(id.to_string()),
            EventKey::External { source, key } => {
                v1::usage_event::Key::ExternalKey(v1::ExternalKey { source: source.clone(), key: key.clone() })
            }
        }),
        call_id: text(call_id),
        attempt: i32::from(*attempt),
        start_time: Some(to_timestamp(*start_time)),
        end_time: end_time.map(to_timestamp),
        time_to_first_token: time_to_first_token_micros
            .map(|micros| to_duration(jiff::SignedDuration::from_micros(micros))),
        dimensions: Some(to_dimensions(dimensions)),
        operation_name: text(operation_name),
        request_model: Some(to_model(request_model)),
        response_model: response_model.as_ref().map(to_model),
        response_id: text(response_id),
        batch_id: text(batch_id),
        usage: usage.as_ref().map(|usage| v1::usage_event::Usage::Tokens(to_usage(usage))),
        units: units.iter().map(to_unit).collect(),
        response_cache_hit: *response_cache_hit,
        outcome: match outcome {
            CallOutcome::Ok => v1::CallOutcome::Ok,
            CallOutcome::Partial => v1::CallOutcome::Partial,
            CallOutcome::Cancelled => v1::CallOutcome::Cancelled,
            CallOutcome::Error => v1::CallOutcome::Error,
            CallOutcome::Absorbed => v1::CallOutcome::Absorbed,
        }
        .into(),
        error_type: text(error_type),
        reservation: reservation.map(|used| v1::ReservationUse {
            reservation_id: used.reservation_id.to_string(),
            keep_open: used.keep_open,
        }),
        reported_cost: reported_cost.map(|cost| cost.to_string()).unwrap_or_default(),
        reported_currency: text(reported_currency),
        accounting: match accounting {
            Accounting::Enforced => v1::Accounting::Enforced,
            Accounting::Memo => v1::Accounting::Memo,
        }
        .into(),
        origin: match origin {
            Origin::Live => v1::Origin::Live,
            Origin::BatchJob => v1::Origin::BatchJob,
            Origin::Import => v1::Origin::Import,
            Origin::Otlp => v1::Origin::Otlp,
        }
        .into(),
        trace_id: text(trace_id),
        span_id: text(span_id),
        metadata_json: text(metadata_json),
    }
}

/// An event for the wire as it stands after corrections: the client's words and the server's findings.
pub fn to_record(standing: &Standing) -> v1::UsageRecord {
    let current = standing.current();
    v1::UsageRecord {
        event: Some(to_event(&current.event)),
        charge_time: Some(to_timestamp(current.charge_time)),
        ..to_first_record(standing)
    }
}

/// An event for the wire as it was first recorded, with what it costs now.
pub fn to_first_record(standing: &Standing) -> v1::UsageRecord {
    let Standing { first, corrected: _, row: _, revision, cancelled } = standing;
    let StoredEvent { event_id: _, event, charge, charge_time, record_time, notices: _, fingerprint: _ } = first;
    let current = to_charge(&standing.current().charge);
    v1::UsageRecord {
        event: Some(to_event(event)),
        cost: Some(to_charge(charge)),
        current_cost: Some(if *cancelled { nothing(current) } else { current }),
        revision: *revision,
        api_key_id: event.dimensions.get(Dimension::ApiKeyId).unwrap_or_default().to_owned(),
        charge_time: Some(to_timestamp(*charge_time)),
        record_time: Some(to_timestamp(*record_time)),
        extracted: event.usage_api.as_ref().and(event.usage.as_ref()).map(to_usage),
        cancelled: *cancelled,
    }
}

/// What is left of a cost that was given back.
fn nothing(cost: v1::Cost) -> v1::Cost {
    v1::Cost { usd: "0".to_owned(), lines: Vec::new(), saved_usd: String::new(), ..cost }
}

/// Broken field rules as the items of a batch show them: with paths from their event on.
pub fn to_violations(violations: &[Violation]) -> Vec<v1::FieldViolation> {
    violations
        .iter()
        .map(|Violation { field, description }| v1::FieldViolation {
            field: field.strip_prefix("event.").unwrap_or(field).to_owned(),
            description: description.clone(),
        })
        .collect()
}
