//! What can go wrong with the private Postgres, and what to do about each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::binaries::{NEWEST_MAJOR, OLDEST_MAJOR};

/// Why the private Postgres could not be found, created, started, reached or stopped. Every message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No usable installation of Postgres is on this machine.
    #[error(
        "no PostgreSQL {OLDEST_MAJOR} to {NEWEST_MAJOR} found (looked in {searched}); install one with `apt install postgresql`, \
         or set DATABASE_URL to a database of your own"
    )]
    BinariesNotFound {
        /// The places looked at, comma separated.
        searched: String,
    },

    /// Postgres is installed, but not in the major version that wrote the data.
    #[error(
        "the data in {cluster} was written by PostgreSQL {needed}, but only {found} is installed; install PostgreSQL {needed}, \
         or move the data with pg_upgrade"
    )]
    MajorMissing {
        /// The Postgres data folder.
        cluster: PathBuf,
        /// The major version that wrote the data.
        needed: u32,
        /// The major versions found, comma separated.
        found: String,
    },

    /// The process runs under a user id that the system's user database does not know: Postgres refuses such a user.
    #[error(
        "user id {uid} has no entry in the user database, which PostgreSQL demands; add one to /etc/passwd, or set DATABASE_URL"
    )]
    UnknownAccount {
        /// The numeric user id.
        uid: u32,
    },

    /// Tollgate runs as root, which Postgres refuses to be, and there is no other account to run it under.
    #[error(
        "PostgreSQL refuses to run as root and there is no user `postgres` or `nobody` to run it under; create the user `postgres`"
    )]
    NoServerAccount,

    /// No data directory was set and none can be derived from the environment.
    #[error("neither XDG_DATA_HOME nor HOME is set to an absolute path; set the data directory")]
    NoDataDirectory,

    /// The data directory holds something else, or cannot be used as one.
    #[error("{} cannot be used as the data directory: {problem}", path.display())]
    UnusableDataDirectory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },

    /// The account that Postgres runs under cannot pass through a parent folder.
    #[error(
        "user `{account}`, under which PostgreSQL runs, cannot enter {}; allow it with `chmod o+x {}`, or choose another place for {}",
        barrier.display(), barrier.display(), path.display()
    )]
    Unreachable {
        /// The path that was to be reached.
        path: PathBuf,
        /// The folder that bars the way.
        barrier: PathBuf,
        /// The account's name.
        account: String,
    },

    /// The folder for the socket belongs to somebody else or is open to others.
    #[error("{} must be a folder of user id {owner} that nobody else may enter; remove it, or choose a shorter data directory", path.display())]
    UnsafeSocketDirectory {
        /// The folder.
        path: PathBuf,
        /// The user id that must own it.
        owner: u32,
    },

    /// Another Tollgate is starting or stopping this Postgres and did not finish in time.
    #[error("another process has been starting or stopping the database in {} for {waited:?}; try again", path.display())]
    Busy {
        /// The data directory.
        path: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },

    /// The program that creates a new cluster failed.
    #[error("initdb failed: {output}")]
    CreateCluster {
        /// Its output.
        output: String,
    },

    /// The server ended while it was starting.
    #[error("PostgreSQL ended while starting; the end of {}:\n{lines}", log.display())]
    Start {
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        lines: String,
    },

    /// The server did not accept connections in time. It is left running, so that a long recovery is not lost.
    #[error(
        "PostgreSQL (process {pid}) did not accept connections within {waited:?}; it goes on in the background and the next start joins it: \
         start again, with a longer start timeout if it recovers from a crash, or end it with `kill -INT {pid}`; the end of {}:\n{lines}", log.display()
    )]
    StartTimeout {
        /// The server's process id.
        pid: i32,
        /// How long the start waited.
        waited: Duration,
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        lines: String,
    },

    /// The server ignored both the fast and the immediate stop.
    #[error("PostgreSQL (process {pid}) did not stop within {waited:?}; end it with `kill -QUIT {pid}`")]
    Stop {
        /// The server's process id.
        pid: i32,
        /// How long the stop waited.
        waited: Duration,
    },

    /// A signal could not be sent to the server.
    #[error("cannot signal PostgreSQL (process {pid}); stop it as the user that runs it")]
    Signal {
        /// The server's process id.
        pid: i32,
        /// The system's answer.
        #[source]
        source: nix::Error,
    },

    /// A name that no Postgres database can have.
    #[error("`{name}` cannot name a database; use 1 to 63 bytes without a zero byte")]
    DatabaseName {
        /// The refused name.
        name: String,
    },

    /// The server answered a connection or a statement with an error.
    #[error("the private PostgreSQL refused {action}; see {}", log.display())]
    Database {
        /// What was attempted.
        action: &'static str,
        /// The server's log.
        log: PathBuf,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },

    /// A file or a process could not be used.
    #[error("cannot {action} {}; check that it exists and that this user may use it", path.display())]
    Io {
        /// What was attempted, such as `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },

    /// A background thread of this process was cancelled, because the process is ending.
    #[error("the process is ending; start again")]
    Cancelled(#[from] tokio::task::JoinError),
}

impl EmbeddedError {
    /// For `map_err`: an I/O error with what was attempted and on what.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// A data directory that cannot be used, and why.
    pub(super) fn unusable(path: &Path, problem: impl Into<String>) -> Self {
        Self::UnusableDataDirectory { path: path.to_owned(), problem: problem.into() }
    }
}
