//! What the database answered, sorted by what a caller can do about it. Its texts never leave the server.

use thiserror::Error;

/// Why a statement failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Lost against another transaction: the same again may succeed.
    #[error("the transaction lost against another one")]
    Contended(#[source] sqlx::Error),
    /// The database is away, or its outcome is unknown.
    #[error("the database cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The data was refused.
    #[error("the database refused the data")]
    Data(#[source] sqlx::Error),
    /// The statement ran out of time.
    #[error("the statement ran out of time")]
    TimedOut(#[source] sqlx::Error),
    /// A row holds what this version does not understand.
    #[error("a stored {what} cannot be read by this version")]
    Unreadable {
        /// What kind of row.
        what: &'static str,
    },
    /// Anything else: a defect.
    #[error("unexpected database error")]
    Unexpected(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.code().as_deref() {
                Some("40001" | "40P01" | "55P03") => Self::Contended(error),
                Some("57014") => Self::TimedOut(error),
                Some(code) if code.starts_with("22") || code.starts_with("23") => Self::Data(error),
                // Connection exceptions, insufficient resources, operator intervention, system errors.
                Some(code) if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
                    Self::Unavailable(error)
                }
                _ => Self::Unexpected(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(error),
            _ => Self::Unexpected(error),
        }
    }
}
