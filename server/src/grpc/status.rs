//! The only place that makes a [`Status`]: every failure has one code, one documented reason, and what to do about it.
//! Database texts never leave the server.

use std::collections::HashMap;
use std::time::Duration;

use tollgate_proto::v1::{self, ErrorReason};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::convert::event::to_violations;
use crate::app::AppError;
use crate::app::error::Named;
use crate::auth::Refusal;

/// Domain of the reasons.
const DOMAIN: &str = "tollgate";
/// Most broken field rules that one status names: a status travels in a header, which is bounded. One that is too large breaks
/// the connection, with all calls on it.
const VIOLATIONS_SHOWN: usize = 32;
/// Most bytes of a message, of a field's path and of what is wrong with it: they may repeat what the caller sent.
const MESSAGE_BYTES: usize = 1_024;
const PATH_BYTES: usize = 128;
const DESCRIPTION_BYTES: usize = 256;
/// Most bytes of all violations of one status.
const VIOLATIONS_BYTES: usize = 3_072;
/// When to try again, in milliseconds: gRPC's retry design (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// When to try again while the database is away.
const DATABASE_RETRY: Duration = Duration::from_millis(500);

/// When to try again, on another replica, while this one drains.
const DRAIN_RETRY: Duration = Duration::from_millis(100);

/// Code and reason of a failure.
fn classified(error: &AppError) -> (Code, ErrorReason) {
    match error {
        AppError::Invalid(violations) => {
            let class = violations.iter().any(|violation| violation.field.ends_with(".token_class"));
            let reason = if class { ErrorReason::UnknownTokenClass } else { ErrorReason::InvalidField };
            (Code::InvalidArgument, reason)
        }
        AppError::EventIdReused { .. } => (Code::FailedPrecondition, ErrorReason::EventIdReused),
        AppError::EventTooOld { .. } => (Code::FailedPrecondition, ErrorReason::EventTooOld),
        AppError::EventTooFarAhead { .. } => (Code::FailedPrecondition, ErrorReason::EventTooFarAhead),
        AppError::NotFound { what, .. } => (
            Code::NotFound,
            match what {
                Named::Event => ErrorReason::EventNotFound,
                Named::Reservation => ErrorReason::ReservationNotFound,
                Named::Budget => ErrorReason::BudgetNotFound,
                Named::Price => ErrorReason::PriceNotFound,
                Named::Alert => ErrorReason::AlertNotFound,
                Named::Erasure => ErrorReason::ErasureNotFound,
                Named::ApiKey => ErrorReason::ApiKeyNotFound,
            },
        ),
        AppError::Refused(refusal) if refusal.credential_fault().is_some() => {
            (Code::Unauthenticated, ErrorReason::Unauthenticated)
        }
        AppError::Refused(_) => (Code::PermissionDenied, ErrorReason::PermissionDenied),
        AppError::ApiKeyRevoked(_) => (Code::FailedPrecondition, ErrorReason::ApiKeyRevoked),
        AppError::ReservationIdReused(_) => (Code::FailedPrecondition, ErrorReason::ReservationIdReused),
        AppError::ReservationEnded { .. } => (Code::FailedPrecondition, ErrorReason::ReservationEnded),
        AppError::BudgetExists(_) => (Code::AlreadyExists, ErrorReason::BudgetAlreadyExists),
        AppError::BudgetDeleted(_) => (Code::FailedPrecondition, ErrorReason::BudgetDeleted),
        AppError::RequestIdReused(_) => (Code::FailedPrecondition, ErrorReason::RequestIdReused),
        AppError::EtagMismatch(_) => (Code::Aborted, ErrorReason::EtagMismatch),
        AppError::RevisionMismatch { .. } => (Code::Aborted, ErrorReason::RevisionMismatch),
        AppError::EventCancelled(_) => (Code::FailedPrecondition, ErrorReason::EventCancelled),
        AppError::PriceOfCatalog(_) => (Code::FailedPrecondition, ErrorReason::PriceOfCatalog),
        AppError::SubjectPinned(_) => (Code::FailedPrecondition, ErrorReason::SubjectPinned),
        AppError::BudgetBackfilling(_) => (Code::FailedPrecondition, ErrorReason::BudgetBackfilling),
        AppError::QueryTooWide(_) => (Code::FailedPrecondition, ErrorReason::QueryTooWide),
        AppError::PageTokenInvalid => (Code::InvalidArgument, ErrorReason::PageTokenInvalid),
        AppError::NotImplemented(_) => (Code::Unimplemented, ErrorReason::NotImplemented),
        AppError::Full { what, .. } => (
            Code::ResourceExhausted,
            if what.contains("stream") { ErrorReason::TooManyStreams } else { ErrorReason::QueueFull },
        ),
        AppError::TooManyKeys(_) => (Code::ResourceExhausted, ErrorReason::TooManyApiKeys),
        AppError::TooSlow { .. } => (Code::ResourceExhausted, ErrorReason::QueueFull),
        AppError::DeadlineExceeded => (Code::DeadlineExceeded, ErrorReason::DeadlineExceeded),
        AppError::ShuttingDown => (Code::Unavailable, ErrorReason::ShuttingDown),
        AppError::Unavailable => (Code::Unavailable, ErrorReason::DatabaseUnavailable),
        AppError::Internal => (Code::Internal, ErrorReason::Internal),
    }
}

fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// When the same call should be tried again; `None` = it would fail again.
fn retry_after(error: &AppError) -> Option<Duration> {
    match error {
        AppError::Full { retry_after, .. } | AppError::TooSlow { retry_after } => Some(*retry_after),
        AppError::DeadlineExceeded => Some(Duration::ZERO),
        AppError::Unavailable => Some(DATABASE_RETRY),
        AppError::ShuttingDown => Some(DRAIN_RETRY),
        _ => None,
    }
}

/// What the documentation of the reason promises to tell programs.
fn metadata(error: &AppError) -> HashMap<String, String> {
    let named = match error {
        AppError::EventIdReused { fields, .. } => Some(("fields", fields.join(","))),
        AppError::EventTooOld { oldest } => Some(("oldest", oldest.clone())),
        AppError::RevisionMismatch { revision, .. } => Some(("revision", revision.to_string())),
        AppError::ReservationEnded { state, .. } => Some(("state", (*state).to_owned())),
        AppError::Refused(Refusal::Lacks(permission)) => Some(("permission", permission.name().to_owned())),
        AppError::Refused(refusal) => refusal.credential_fault().map(|fault| ("fault", fault.to_owned())),
        _ => None,
    };
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// At most so many bytes of a text, and a sign where something is left out.
fn shortened(text: &str, bytes: usize) -> String {
    const CUT: &str = "…";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(bytes - CUT.len());
    format!("{}{CUT}", text.get(..kept).unwrap_or_default())
}

/// With when to try again, where that helps.
fn with_retry(code: Code, message: &str, mut details: ErrorDetails, retry_after: Option<Duration>) -> Status {
    if let Some(delay) = retry_after {
        details.set_retry_info(Some(delay));
    }
    let mut status = Status::with_error_details(code, shortened(message, MESSAGE_BYTES), details);
    if let Some(delay) = retry_after {
        // Clients that retry by themselves go by this, and by nothing that the details say.
        status
            .metadata_mut()
            .insert(PUSHBACK, MetadataValue::from(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)));
    }
    status
}

/// The status of a failure.
pub fn status(error: &AppError) -> Status {
    if let AppError::Invalid(violations) = error
        && let Some((shown, rest)) = violations.split_at_checked(VIOLATIONS_SHOWN)
        && !rest.is_empty()
    {
        return status(&AppError::Invalid(shown.to_vec()));
    }
    let (code, reason) = classified(error);
    let mut details = ErrorDetails::new();
    details.set_error_info(reason_name(reason), DOMAIN, metadata(error));
    if let AppError::Invalid(violations) = error {
        let mut left = VIOLATIONS_BYTES;
        for violation in violations {
            let (field, description) =
                (shortened(&violation.field, PATH_BYTES), shortened(&violation.description, DESCRIPTION_BYTES));
            let Some(rest) = left.checked_sub(field.len() + description.len()) else { break };
            left = rest;
            details.add_bad_request_violation(field, description);
        }
    }
    with_retry(code, &error.to_string(), details, retry_after(error))
}

/// That of a call whose deadline came before its answer: as that of [`AppError::DeadlineExceeded`], but that perhaps something was
/// done.
pub fn deadline_exceeded(limit: Duration) -> Status {
    let same = AppError::DeadlineExceeded;
    let (code, reason) = classified(&same);
    let mut details = ErrorDetails::new();
    details.set_error_info(reason_name(reason), DOMAIN, metadata(&same));
    let message = format!("there was no answer within {limit:?}: try again with the same ids");
    with_retry(code, &message, details, retry_after(&same))
}

/// That of a request whose messages take more than `limit` bytes together.
pub fn request_too_large(limit: usize) -> Status {
    Status::resource_exhausted(format!("a request must not be larger than {limit} bytes: send it in parts"))
}

/// The failure of one item of a batch.
pub fn item_error(error: &AppError) -> v1::ItemError {
    let (code, reason) = classified(error);
    let violations = match error {
        AppError::Invalid(violations) => to_violations(violations),
        _ => Vec::new(),
    };
    v1::ItemError {
        code: code.into(),
        reason: reason_name(reason).to_owned(),
        message: error.to_string(),
        retryable: retry_after(error).is_some(),
        violations,
    }
}

#[cfg(test)]
mod tests {
    use tollgate_domain::violation::Violation;

    use super::*;

    #[test]
    fn a_deadline_says_the_same_to_programs_whoever_saw_it_pass() {
        let (waited, cut_off) = (status(&AppError::DeadlineExceeded), deadline_exceeded(Duration::from_secs(1)));
        assert_eq!(cut_off.code(), Code::DeadlineExceeded);
        let told = |status: &Status| {
            let details = status.get_error_details();
            let (reason, retry) = (details.error_info().unwrap().clone(), details.retry_info().unwrap().retry_delay);
            (reason.reason, reason.domain, reason.metadata, retry)
        };
        assert_eq!(told(&cut_off), told(&waited));
        assert_eq!(told(&cut_off).0, "DEADLINE_EXCEEDED");
        assert_eq!(cut_off.metadata().get(PUSHBACK), waited.metadata().get(PUSHBACK));
    }

    #[test]
    fn a_status_fits_its_header_whatever_it_repeats() {
        let long = "é".repeat(1 << 19);
        let violations = (0..100).map(|_| Violation::new(long.clone(), long.clone())).collect();
        let refused = status(&AppError::Invalid(violations));
        assert!(refused.message().len() <= MESSAGE_BYTES && refused.details().len() < 8_192, "{refused:?}");
        assert!(!refused.get_error_details().bad_request().unwrap().field_violations.is_empty());
        let named = status(&AppError::NotFound { what: Named::Budget, id: long });
        assert!(named.message().len() <= MESSAGE_BYTES);
        let all: Vec<_> = (0..32).map(|number| Violation::new(format!("events[{number}].a"), "must be set")).collect();
        let shown = status(&AppError::Invalid(all)).get_error_details().bad_request().unwrap().field_violations.len();
        assert_eq!(shown, 32);
    }
}
