//! An error that Tollgate itself answered, decoded.

use std::collections::HashMap;
use std::fmt;

use tollgate_proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A field that does not satisfy its documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field, for example `request_model.model`.
    pub field: String,
    /// What is wrong and what would be right, for people.
    pub description: String,
}

/// An error that Tollgate answered and that sending the same again would not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    reason: String,
    message: String,
    metadata: HashMap<String, String>,
    violations: Vec<FieldViolation>,
}

impl Refusal {
    /// Decodes the details that the status carries.
    pub(crate) fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) =
            details.error_info().map(|info| (info.reason.clone(), info.metadata.clone())).unwrap_or_default();
        let violations = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
        Self {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            metadata,
            violations: violations
                .iter()
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect(),
        }
    }

    /// The error of one item of a batch.
    pub(crate) fn from_item(item: v1::ItemError) -> Self {
        let v1::ItemError { code, reason, message, retryable: _, violations } = item;
        Self {
            code: Code::from(code),
            reason,
            message,
            metadata: HashMap::new(),
            violations: violations
                .into_iter()
                .map(|v1::FieldViolation { field, description }| FieldViolation { field, description })
                .collect(),
        }
    }

    /// A refusal that the client found by itself before sending.
    pub(crate) fn local(field: &str, description: String) -> Self {
        Self {
            code: Code::InvalidArgument,
            reason: "INVALID_FIELD".to_owned(),
            message: format!("invalid {field}: {description}"),
            metadata: HashMap::new(),
            violations: vec![FieldViolation { field: field.to_owned(), description }],
        }
    }

    /// The gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The reason: a name of [`v1::ErrorReason`] without its prefix, for example `EVENT_ID_REUSED`. An open set; empty when
    /// something else than Tollgate answered.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The reason, if this version of the client knows it.
    #[must_use]
    pub fn known_reason(&self) -> Option<v1::ErrorReason> {
        v1::ErrorReason::from_str_name(&format!("ERROR_REASON_{}", self.reason))
    }

    /// What happened, for people. Not to be parsed.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the reason documents besides, for example `fields` of `EVENT_ID_REUSED`.
    #[must_use]
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// The fields at fault. Empty when no field is.
    #[must_use]
    pub fn violations(&self) -> &[FieldViolation] {
        &self.violations
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "tollgate refused: {}", self.message)?;
        if !self.reason.is_empty() {
            write!(formatter, " ({})", self.reason)?;
        }
        for FieldViolation { field, description } in &self.violations {
            write!(formatter, "; {field}: {description}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}
