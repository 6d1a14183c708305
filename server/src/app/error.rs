//! What a use case answers when it cannot do what was asked, in the terms of the contract.

use std::time::Duration;

use thiserror::Error;
use tollgate_domain::violation::Violation;

use crate::auth::Refusal;
use crate::store::StoreError;

/// When a caller may try again whose credential could not be looked up.
const LOOK_UP_RETRY_AFTER: Duration = Duration::from_millis(100);

/// Why a use case failed. Each variant has one gRPC code and one reason.
#[derive(Debug, Clone, Error)]
pub enum AppError {
    /// Field rules are broken.
    #[error("the request breaks {} field rule(s): {}", .0.len(), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// The same event id came with other content.
    #[error("event {event_id} was recorded before with other content ({}): the first telling stands; mint a new id for another event", .fields.join(", "))]
    EventIdReused {
        /// The id.
        event_id: String,
        /// Which fields differ.
        fields: Vec<&'static str>,
    },
    /// The event's id is older than what is kept.
    #[error("the event id was minted before {oldest}: older events are no longer accepted")]
    EventTooOld {
        /// The oldest time accepted.
        oldest: String,
    },
    /// The event's id lies in the future.
    #[error("the event id was minted after {newest}: check the caller's clock")]
    EventTooFarAhead {
        /// The newest time accepted.
        newest: String,
    },
    /// The caller is turned away.
    #[error(transparent)]
    Refused(Refusal),
    /// The API key was revoked.
    #[error("API key `{0}` was revoked: create another one")]
    ApiKeyRevoked(String),
    /// Something that the request names does not exist.
    #[error("{what} `{id}` does not exist")]
    NotFound {
        /// `event`, `reservation`, `budget`, `price`, `alert`, `erasure`, `API key`.
        what: Named,
        /// Its id.
        id: String,
    },
    /// The same reservation id came with another check.
    #[error("reservation {0} was made for another check: mint a new id for another call")]
    ReservationIdReused(String),
    /// The reservation has ended.
    #[error("reservation {id} has ended ({state}): check the budget again with a new id")]
    ReservationEnded {
        /// The id.
        id: String,
        /// Its state.
        state: &'static str,
    },
    /// A budget of this id exists.
    #[error("budget `{0}` exists already: update it, or choose another id")]
    BudgetExists(String),
    /// The budget was deleted.
    #[error("budget `{0}` was deleted: its id stays taken, so that its history stays readable; choose another id")]
    BudgetDeleted(String),
    /// The request id was used for another change.
    #[error("request_id `{0}` was used for another change: choose another one")]
    RequestIdReused(String),
    /// The resource changed since it was read.
    #[error("{0} changed since it was read: read it again and repeat the change on its new etag")]
    EtagMismatch(String),
    /// The event was corrected since it was read.
    #[error("event {event_id} is at revision {revision}: read it again and repeat the change on that revision")]
    RevisionMismatch {
        /// The event.
        event_id: String,
        /// Its revision.
        revision: i64,
    },
    /// The event was cancelled.
    #[error("event {0} was cancelled: only a replacement brings it back")]
    EventCancelled(String),
    /// The price is one of the catalog.
    #[error("price `{0}` is one of the catalog and cannot be ended: set a price of your own over it")]
    PriceOfCatalog(String),
    /// A budget still counts back: what it has counted already cannot change its name meanwhile.
    #[error("budget `{0}` still counts back: ask for the erasure again when it is in force")]
    BudgetBackfilling(String),
    /// A key that works puts the name of the person into its calls.
    #[error("API key {0} pins the name and works: revoke it, or it would bring the name back")]
    SubjectPinned(String),
    /// The query would touch too much.
    #[error("the query is too wide: {0}")]
    QueryTooWide(String),
    /// The page token does not belong to this request or has expired.
    #[error("the page token is not valid for this request or has expired: start again without one")]
    PageTokenInvalid,
    /// Defined in the contract, not there yet.
    #[error("{0} is not implemented in this version")]
    NotImplemented(&'static str),
    /// A tenant has as many API keys as it may have.
    #[error("the tenant has {0} API keys that work, which is the most: revoke those that nobody needs")]
    TooManyKeys(i64),
    /// A bound is reached; nothing was lost.
    #[error("{what} is full: try again in {} ms", .retry_after.as_millis())]
    Full {
        /// Which bound.
        what: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// It would wait beyond its deadline; nothing was done.
    #[error("the ledger's queue takes longer than the call's deadline allows: try again in {} ms", .retry_after.as_millis())]
    TooSlow {
        /// When to try again.
        retry_after: Duration,
    },
    /// The call's deadline passed while it waited; nothing was done.
    #[error("the deadline passed while the call waited, and nothing was done: try again with the same id")]
    DeadlineExceeded,
    /// The server drains.
    #[error("the server is shutting down: try another replica, or again in a moment")]
    ShuttingDown,
    /// The database is away. Nothing was acknowledged.
    #[error("the database cannot be reached: try again with the same id")]
    Unavailable,
    /// A defect.
    #[error("internal error")]
    Internal,
}

/// What can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// An event.
    Event,
    /// A reservation.
    Reservation,
    /// A budget.
    Budget,
    /// A price.
    Price,
    /// An alert.
    Alert,
    /// An erasure.
    Erasure,
    /// An API key.
    ApiKey,
}

impl std::fmt::Display for Named {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Event => "event",
            Self::Reservation => "reservation",
            Self::Budget => "budget",
            Self::Price => "price",
            Self::Alert => "alert",
            Self::Erasure => "erasure",
            Self::ApiKey => "API key",
        })
    }
}

impl AppError {
    /// One broken field rule.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, description)])
    }
}

impl From<Vec<Violation>> for AppError {
    fn from(violations: Vec<Violation>) -> Self {
        Self::Invalid(violations)
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy => Self::Full { what: "the queue of credential look-ups", retry_after: LOOK_UP_RETRY_AFTER },
            Refusal::Unavailable => Self::Unavailable,
            Refusal::Internal => Self::Internal,
            refusal => Self::Refused(refusal),
        }
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Contended(_) | StoreError::Unavailable(_) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the database did not answer");
                Self::Unavailable
            }
            StoreError::TimedOut(_) => {
                Self::QueryTooWide("it ran out of time; ask for a shorter range or fewer dimensions".to_owned())
            }
            StoreError::TooManyRows { .. } => {
                Self::QueryTooWide("it tells too many values apart; use fewer labels or dimensions".to_owned())
            }
            StoreError::Text(_) => Self::invalid("request", "must not contain NUL characters"),
            StoreError::Data(_) | StoreError::Unreadable { .. } | StoreError::Unexpected(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "unexpected store error");
                Self::Internal
            }
        }
    }
}
