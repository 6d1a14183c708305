//! Amendments.

use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use tollgate_proto::v1::amend_usage_request::Change;

use super::budget::to_state;
use super::dimensions::stamped;
use super::event::event;
use super::values::{text, uuid};
use crate::app::AppError;
use crate::app::amend::{AmendRequest, Amendment};
use crate::ledger::AdjustAnswer;

/// Longest reason of a correction, in bytes.
pub const REASON_BYTES_LIMIT: usize = 512;

/// A validated amendment. What the caller's key pins wins in the dimensions that it sends; the key that made the call stays that
/// of the event.
///
/// # Errors
/// [`AppError::Invalid`] with every violation, and [`AppError::NotImplemented`].
pub fn request(message: v1::AmendUsageRequest, pinned: &Dimensions) -> Result<AmendRequest, AppError> {
    let v1::AmendUsageRequest { request_id, event_id, expected_revision, change, reason, validate_only } = message;
    let mut found = Violations::new();
    let parsed_request = uuid(&mut found, "request_id", &request_id);
    let parsed_event = uuid(&mut found, "event_id", &event_id);
    found.add_if(expected_revision < 1, "expected_revision", "must be at least 1: the revision that you saw");
    let reason = required_reason(&mut found, reason);
    let amendment = match change {
        None => {
            found.add("cancel", "must be set, or replacement, or reattribute");
            None
        }
        Some(Change::Cancel(cancel)) => {
            found.add_if(!cancel, "cancel", "must be true where it is set");
            Some(Amendment::Cancel)
        }
        Some(Change::Replacement(mut replacement)) => {
            // Unset means the event's own key.
            replacement.key.get_or_insert(v1::usage_event::Key::EventId(event_id));
            match event(Some(replacement), "replacement", pinned) {
                Ok(event) => Some(Amendment::Replace(Box::new(event))),
                Err(AppError::Invalid(violations)) => {
                    // Said once already, where the event's id is no id at all.
                    let own_id = parsed_event.is_none();
                    found.extend(violations.into_iter().filter(|one| !own_id || one.field != "replacement.event_id"));
                    None
                }
                Err(other) => return Err(other),
            }
        }
        Some(Change::Reattribute(message)) => {
            Some(Amendment::Reattribute(Box::new(stamped(&mut found, "reattribute", Some(message), pinned))))
        }
    };
    found.into_result(()).map_err(AppError::from)?;
    let (Some(request_id), Some(event_id), Some(amendment)) = (parsed_request, parsed_event, amendment) else {
        return Err(AppError::Internal);
    };
    Ok(AmendRequest { request_id, event_id, expected_revision, amendment, reason, validate_only })
}

/// Why something is corrected: required, for the record.
pub fn required_reason(found: &mut Violations, reason: String) -> String {
    found.add_if(reason.is_empty(), "reason", "must be set: why, for the record");
    text(found, "reason", reason, REASON_BYTES_LIMIT).unwrap_or_default()
}

/// For the wire.
pub fn to_response(answer: &AdjustAnswer, now: jiff::Timestamp) -> v1::AmendUsageResponse {
    let AdjustAnswer { revision, usd_delta, budgets, told: _ } = answer;
    v1::AmendUsageResponse {
        revision: *revision,
        usd_delta: usd_delta.to_string(),
        budgets: budgets.iter().map(|state| to_state(state, now)).collect(),
    }
}
