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
    /// A text was refused: it holds what Postgres text cannot.
    #[error("the database refused a text")]
    Text(#[source] sqlx::Error),
    /// The data was refused.
    #[error("the database refused the data")]
    Data(#[source] sqlx::Error),
    /// The statement ran out of time.
    #[error("the statement ran out of time")]
    TimedOut(#[source] sqlx::Error),
    /// More rows than memory is set aside for.
    #[error("there are more than {limit} rows")]
    TooManyRows {
        /// How many are too many.
        limit: i64,
    },
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

impl StoreError {
    /// The database did not answer in time.
    pub fn unanswered() -> Self {
        Self::Unavailable(sqlx::Error::PoolTimedOut)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.code().as_deref() {
                Some("40001" | "40P01" | "55P03") => Self::Contended(error),
                Some("22021" | "22P05") => Self::Text(error),
                Some("57014") => Self::TimedOut(error),
                Some(code) if code.starts_with("22") || code.starts_with("23") => Self::Data(error),
                // Connection exceptions, broken transaction states (a standby refuses writes so), refused credentials and
                // databases, insufficient resources, operator intervention, system errors: the environment, not the data.
                Some(code)
                    if ["08", "25", "28", "3D", "42501", "53", "57", "58"]
                        .iter()
                        .any(|class| code.starts_with(class)) =>
                {
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
