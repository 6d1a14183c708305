//! Tells failures that are worth another attempt from those that are not.

use std::error::Error as _;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::error::Error;

/// A failed attempt.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Tollgate is away, by its own word or because the connection failed.
    Unreachable {
        status: Box<Status>,
        /// How long Tollgate asks to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// No answer came in time.
    Timeout,
    /// Tollgate is overloaded.
    Overloaded { status: Box<Status>, retry_after: Duration },
    /// Anything else: the same request would fail again.
    Permanent(Box<Status>),
}

impl Failure {
    /// Sorts a status by the rule of the contract: UNAVAILABLE, DEADLINE_EXCEEDED, and RESOURCE_EXHAUSTED with a RetryInfo
    /// are retried, nothing else.
    pub(crate) fn from_status(status: Status) -> Self {
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        match (status.code(), retry_after) {
            (Code::Unavailable, retry_after) => Self::Unreachable { status: Box::new(status), retry_after },
            (Code::DeadlineExceeded, _) => Self::Timeout,
            (Code::ResourceExhausted, Some(retry_after)) => Self::Overloaded { status: Box::new(status), retry_after },
            (Code::Cancelled, _) if is_local_timeout(&status) => Self::Timeout,
            (Code::Unknown | Code::Cancelled | Code::Internal, _) if is_broken_connection(&status) => {
                Self::Unreachable { status: Box::new(status), retry_after: None }
            }
            _ => Self::Permanent(Box::new(status)),
        }
    }

    /// How long Tollgate asks to be left alone, if it said so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { retry_after, .. } => *retry_after,
            Self::Overloaded { retry_after, .. } => Some(*retry_after),
            Self::Timeout | Self::Permanent(_) => None,
        }
    }

    /// Whether another attempt is not worth it.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent(_))
    }

    /// The error for the caller after the last attempt.
    pub(crate) fn into_error(self, attempts: u32) -> Error {
        match self {
            Self::Unreachable { status, .. } => Error::Unreachable { attempts, last: status },
            Self::Timeout => Error::DeadlineExceeded { attempts },
            Self::Overloaded { status, retry_after } => Error::Overloaded { attempts, retry_after, last: status },
            Self::Permanent(status) => Error::refused(&status),
        }
    }
}

/// Whether the transport itself gave up waiting. It calls that CANCELLED, although nobody cancelled.
fn is_local_timeout(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::TimeoutExpired>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether the status was made on this side out of a transport error, which means UNAVAILABLE whatever the transport calls it: a
/// status that a server sent has no source.
fn is_broken_connection(status: &Status) -> bool {
    status.source().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn only_the_codes_of_the_contract_are_retried() {
        assert!(!Failure::from_status(Status::unavailable("away")).is_permanent());
        assert!(!Failure::from_status(Status::deadline_exceeded("slow")).is_permanent());
        for code in [
            Code::Cancelled,
            Code::Unknown,
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::PermissionDenied,
            Code::ResourceExhausted,
            Code::FailedPrecondition,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unimplemented,
            Code::Internal,
            Code::DataLoss,
            Code::Unauthenticated,
        ] {
            assert!(Failure::from_status(Status::new(code, "no")).is_permanent(), "{code:?}");
        }
    }

    #[test]
    fn exhausted_with_retry_info_is_honoured() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(80)));
        let failure = Failure::from_status(Status::with_error_details(Code::ResourceExhausted, "full", details));
        assert_eq!(failure.retry_after(), Some(Duration::from_millis(80)));
    }

    #[test]
    fn a_broken_connection_means_unavailable() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let failure = Failure::from_status(Status::from_error(Box::new(broken)));
        assert!(matches!(failure, Failure::Unreachable { .. }), "{failure:?}");
    }
}
