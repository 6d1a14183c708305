//! The embedded default: a private Postgres that Tollgate creates, starts, joins and stops by itself, so that
//! `tollgate serve` works on a machine where nobody set up a database.
//!
//! # The data directory
//! ```text
//! cluster/            what Postgres calls its data directory
//! postgres.log        the server's log; emptied at a start when it is over 10 MiB
//! start.lock          held while the server is started or stopped
//! use.lock            held, shared, by every process that uses the server
//! .s.PGSQL.5432       the Unix socket, the only way in (elsewhere if the directory's name is too long for a socket)
//! ```
//! All of it belongs to the user that runs Postgres, and only that user (and root) can enter. When Tollgate is root,
//! Postgres runs as `postgres`, else `nobody`; otherwise both are the same user. The kernel vouches for who connects
//! (peer authentication): there is no password and no TCP port.
//!
//! # Who stops it
//! The last one out. Any number of processes may [start](EmbeddedPostgres::start) the same data directory: the first
//! starts the server, the others join it. [`EmbeddedPostgres::stop`] stops the server only when no other process uses
//! it. A process that is killed, or drops its handle, leaves the server running; the next one to start joins it and is
//! then responsible for it like any other. Whether a server is alive is decided by talking to it, never by a file.
//!
//! The server has a process group of its own, so that Ctrl-C in a terminal reaches Tollgate alone, which drains its
//! calls and then stops the database. A service manager that signals every process of a service should be told to
//! signal the main process only (systemd: `KillMode=mixed`).
//!
//! # Durability
//! `fsync`, `full_page_writes` and `synchronous_commit` are on and cannot be turned off in the settings files: what
//! Tollgate acknowledged survives a crash of the machine. Other settings are in `cluster/tollgate.conf`, which
//! `cluster/postgresql.conf` or `ALTER SYSTEM` overrides.

mod account;
mod binaries;
mod cluster;
mod configuration;
mod connection;
mod error;
mod layout;
mod lock;
mod log_file;
mod process;
mod server;
mod socket;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

pub use self::error::EmbeddedError;

use self::account::Account;
use self::layout::Layout;
use self::lock::{StartLock, UseLock};
use self::server::Server;

/// How long a start waits unless told otherwise. Recovery after a crash reads up to `max_wal_size` of log first.
const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a stop waits for another process that is starting or stopping the same server.
const STOP_LOCK_LIMIT: Duration = Duration::from_secs(30);

/// Where the private Postgres keeps its data and where its programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The data directory; created if missing. By default `/var/lib/tollgate` for root, else `$XDG_DATA_HOME/tollgate`
    /// or `~/.local/share/tollgate`.
    pub data_dir: Option<PathBuf>,
    /// The folder that holds `initdb` and `postgres`. By default they are searched for in the usual places.
    pub binaries_dir: Option<PathBuf>,
    /// How long a start may wait for the server to accept connections, and for other processes that are starting or
    /// stopping it. By default 60 seconds.
    pub start_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { data_dir: None, binaries_dir: None, start_timeout: DEFAULT_START_TIMEOUT }
    }
}

/// A private Postgres in use by this process.
///
/// Dropping it leaves the server running, for the next start to join; [`EmbeddedPostgres::stop`] ends it in order.
#[derive(Debug)]
#[must_use = "the server keeps running until `stop` is called"]
pub struct EmbeddedPostgres {
    layout: Layout,
    server: Server,
    use_lock: UseLock,
}

impl EmbeddedPostgres {
    /// Joins the server of the data directory, or creates and starts it, and makes sure that the database `tollgate`
    /// exists.
    ///
    /// A cancelled start may leave the server running; the next start joins it.
    ///
    /// # Errors
    /// [`EmbeddedError`], whose text says what to do. After [`EmbeddedError::StartTimeout`] the server goes on starting.
    pub async fn start(settings: &Settings) -> Result<Self, EmbeddedError> {
        let data_dir = settings.data_dir.clone();
        let layout =
            tokio::task::spawn_blocking(move || Layout::prepare(data_dir.as_deref(), Account::current()?)).await??;
        let start_lock = StartLock::acquire(&layout, settings.start_timeout).await?;
        let server = server::join_or_start(&layout, settings.binaries_dir.clone(), settings.start_timeout).await?;
        let use_lock = UseLock::acquire(&layout, &start_lock)?;
        let embedded = Self { layout, server, use_lock };
        if let Err(error) = embedded.create_database(connection::DATABASE).await {
            embedded.leave(&start_lock).await?;
            return Err(error);
        }
        tracing::info!(
            data_dir = %embedded.data_dir().display(),
            pid = embedded.server.pid.as_raw(),
            version = embedded.major_version(),
            "the private postgres is ready"
        );
        Ok(embedded)
    }

    /// How to connect to the database `tollgate`, through the Unix socket.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        connection::options(&self.server.socket_directory, connection::DATABASE)
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.layout.root()
    }

    /// The server's log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.layout.log()
    }

    /// The server's major version, such as 15.
    #[must_use]
    pub fn major_version(&self) -> u32 {
        self.server.major
    }

    /// Creates a database beside `tollgate`, unless it exists, and returns how to connect to it.
    ///
    /// # Errors
    /// [`EmbeddedError::DatabaseName`] for a name outside 1 to 63 bytes; [`EmbeddedError::Database`] if the server
    /// refuses.
    pub async fn create_database(&self, name: &str) -> Result<PgConnectOptions, EmbeddedError> {
        connection::ensure_database(&self.server.socket_directory, name, self.layout.log()).await?;
        Ok(connection::options(&self.server.socket_directory, name))
    }

    /// Stops using the server, and stops the server itself unless another process uses it.
    ///
    /// Every connection is ended, open transactions are rolled back, and the data is written out. A server that takes
    /// longer than 60 seconds is ended at once; it then recovers at the next start, without loss.
    ///
    /// # Errors
    /// [`EmbeddedError::Busy`] if another process starts or stops the same server for longer than 30 seconds;
    /// [`EmbeddedError::Stop`] if the server outlives every signal.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        let start_lock = StartLock::acquire(&self.layout, STOP_LOCK_LIMIT).await?;
        self.leave(&start_lock).await
    }

    async fn leave(self, start_lock: &StartLock) -> Result<(), EmbeddedError> {
        if self.use_lock.release(start_lock) {
            return self.server.stop(&self.layout).await;
        }
        tracing::info!(data_dir = %self.layout.root().display(), "other processes use the private postgres: left running");
        Ok(())
    }
}
