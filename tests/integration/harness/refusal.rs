//! What a refusal says to programs.

use std::collections::BTreeSet;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A refusal: its code, its reason, and the fields that it names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) fields: BTreeSet<String>,
}

impl Refusal {
    /// As expected.
    pub(crate) fn new(code: Code, reason: &str, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        Self { code, reason: reason.to_owned(), fields }
    }

    /// As it arrived.
    pub(crate) fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().map(|request| request.field_violations.clone()).unwrap_or_default();
        Self {
            code: status.code(),
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            fields: violations.into_iter().map(|violation| violation.field).collect(),
        }
    }
}

/// The reason of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    Refusal::of(status).reason
}

/// What the refusal tells under this name.
pub(crate) fn metadata(status: &Status, name: &str) -> Option<String> {
    status.get_error_details().error_info().and_then(|info| info.metadata.get(name).cloned())
}
