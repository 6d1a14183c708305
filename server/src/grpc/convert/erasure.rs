//! Erasures between the wire and the use case.

use tollgate_domain::dimensions::{Dimension, VALUE_BYTES_LIMIT, check_text};
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use tollgate_proto::v1::erase_subject_request::Subject as Named;
use uuid::Uuid;

use super::values::{to_timestamp, uuid};
use crate::app::AppError;
use crate::app::erase::Subject;
use crate::store::erasures::StoredErasure;

/// Longest reason, in bytes.
const REASON_BYTES_LIMIT: usize = 512;

/// What is asked for.
#[derive(Debug)]
pub struct Asked {
    /// Whom to erase.
    pub subject: Subject,
    /// The identity of the request.
    pub request_id: Uuid,
    /// Why.
    pub reason: String,
    /// Whether only to count.
    pub validate_only: bool,
}

/// Reads a request.
///
/// # Errors
/// [`AppError::Invalid`].
pub fn asked(request: v1::EraseSubjectRequest) -> Result<Asked, AppError> {
    let v1::EraseSubjectRequest { subject, request_id, reason, validate_only } = request;
    let mut found = Violations::new();
    let named = subject.map(|subject| match subject {
        Named::UserId(name) => (Dimension::UserId, name),
        Named::CustomerId(name) => (Dimension::CustomerId, name),
    });
    match &named {
        Some((dimension, name)) => {
            found.add_if(name.is_empty(), dimension.name(), "must be set");
            check_text(&mut found, dimension.name(), name, VALUE_BYTES_LIMIT);
        }
        None => found.add("subject", "must be set: a user_id or a customer_id"),
    }
    let request_id = uuid(&mut found, "request_id", &request_id);
    check_text(&mut found, "reason", &reason, REASON_BYTES_LIMIT);
    let asked = named.zip(request_id).map(|((dimension, name), request_id)| Asked {
        subject: Subject { dimension, name },
        request_id,
        reason,
        validate_only,
    });
    found.into_result(asked)?.ok_or(AppError::Internal)
}

/// The id of an erasure.
///
/// # Errors
/// [`AppError::Invalid`].
pub fn erasure_id(request: &v1::GetErasureRequest) -> Result<Uuid, AppError> {
    let mut found = Violations::new();
    let id = uuid(&mut found, "erasure_id", &request.erasure_id);
    found.into_result(id)?.ok_or(AppError::Internal)
}

/// For the wire.
pub fn to_erasure(stored: &StoredErasure) -> v1::Erasure {
    let StoredErasure { erasure_id, create_time, done_time, events, events_erased } = stored;
    let state = if done_time.is_some() { v1::erasure::State::Done } else { v1::erasure::State::Running };
    v1::Erasure {
        erasure_id: erasure_id.to_string(),
        state: state.into(),
        events: to_count(events.unwrap_or_default()),
        events_erased: to_count(*events_erased),
        create_time: Some(to_timestamp(*create_time)),
        done_time: done_time.map(to_timestamp),
    }
}

/// An erasure that was not begun: what it would concern.
pub fn to_rehearsal(events: u64) -> v1::Erasure {
    v1::Erasure { events: to_count(events), ..Default::default() }
}

fn to_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
