//! What can go wrong between the caller and Tollgate.

use std::time::Duration;

use tonic::{Code, Status};

use crate::check::CheckAnswer;
use crate::refusal::Refusal;

/// Why a call of the client gave no result.
///
/// A refusal by a budget is not among them, except for [`Client::reserve`](crate::Client::reserve), which has nothing else to
/// return then: it is an ordinary answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Tollgate answered with an error that sending the same again would not change.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// A budget does not let the call run. Only from [`Client::reserve`](crate::Client::reserve).
    #[error("the call may not run: {0}")]
    NotAllowed(Box<CheckAnswer>),
    /// Tollgate could not be reached, or answered that it is away for now.
    #[error("cannot reach tollgate, tried {attempts} times: {}", .last.message())]
    Unreachable {
        /// How often the call was sent.
        attempts: u32,
        /// The last failure.
        last: Box<Status>,
    },
    /// No answer came in time. Whether Tollgate acted on the call is unknown: send it again with the same ids.
    #[error("no answer from tollgate in time, tried {attempts} times")]
    DeadlineExceeded {
        /// How often the call was sent.
        attempts: u32,
    },
    /// Tollgate is overloaded and was still so at the last attempt. Nothing was recorded.
    #[error("tollgate is overloaded, tried {attempts} times: {}", .last.message())]
    Overloaded {
        /// How often the call was sent.
        attempts: u32,
        /// How long Tollgate asks to be left alone.
        retry_after: Duration,
        /// The last answer.
        last: Box<Status>,
    },
    /// The request was not sent, because it can never be accepted.
    #[error("invalid {field}: {description}")]
    Invalid {
        /// What is at fault.
        field: &'static str,
        /// What would be right.
        description: String,
    },
    /// What was asked for is over: the recorder is shut down.
    #[error("the {0} is closed")]
    Closed(&'static str),
    /// Tollgate answered something that its contract excludes, as a proxy or another version might.
    #[error("unexpected answer from tollgate: {0}")]
    Protocol(&'static str),
}

impl Error {
    /// The error for an answer that is not retried.
    pub(crate) fn refused(status: &Status) -> Self {
        Self::Refused(Box::new(Refusal::from_status(status)))
    }

    /// The error for a request that is not sent.
    pub(crate) fn invalid(field: &'static str, description: impl Into<String>) -> Self {
        Self::Invalid { field, description: description.into() }
    }

    /// Whether Tollgate gave no answer, so that the same call may succeed later with the same ids.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::DeadlineExceeded { .. } | Self::Overloaded { .. })
    }

    /// The gRPC code that tells this error best.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NotAllowed(_) | Self::Closed(_) => Code::FailedPrecondition,
            Self::Unreachable { .. } => Code::Unavailable,
            Self::DeadlineExceeded { .. } => Code::DeadlineExceeded,
            Self::Overloaded { .. } => Code::ResourceExhausted,
            Self::Invalid { .. } => Code::InvalidArgument,
            Self::Protocol(_) => Code::Internal,
        }
    }

    /// The refusal, if Tollgate refused the call.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The reason of the refusal, for example `EVENT_ID_REUSED`; empty for other errors.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.refusal().map(Refusal::reason).unwrap_or_default()
    }
}
