//! Connections to the private server: how to open one, and what answers at a socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::error::EmbeddedError;
use super::socket::PORT;

/// The database role that Tollgate connects as, and the name of the map from operating-system users to it.
pub(super) const ROLE: &str = "tollgate";
/// The database of the service.
pub(super) const DATABASE: &str = "tollgate";
/// The database that every cluster has, from which others are created.
const MAINTENANCE_DATABASE: &str = "postgres";

/// How long one look at the socket may take: a server that is stopped in a debugger accepts but never answers.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// Postgres cuts longer names silently.
const LONGEST_NAME: usize = 63;

const CANNOT_CONNECT_NOW: &str = "57P03";
const TOO_MANY_CONNECTIONS: &str = "53300";
const DUPLICATE_DATABASE: &str = "42P04";
const UNIQUE_VIOLATION: &str = "23505";

/// What answered at a socket.
pub(super) enum Answer {
    /// The server of this cluster, ready for work, with its major version.
    Ready(u32),
    /// A server that starts, recovers, stops, or has no connection to spare.
    NotNow,
    /// No server, or the server of another cluster.
    Nobody,
    /// A server that refuses us.
    Refused(sqlx::Error),
}

/// How to connect to a database of the server whose socket is in this folder.
pub(super) fn options(socket_directory: &Path, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_directory)
        .port(PORT)
        .username(ROLE)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        // A stray PGOPTIONS in the environment must not weaken what an acknowledgement promises.
        .options([("synchronous_commit", "on")])
}

/// Asks what is behind a socket. A process-id file proves nothing; an answer does.
pub(super) async fn ask(socket_directory: &Path, cluster: &Path) -> Answer {
    match tokio::time::timeout(PROBE_LIMIT, identify(socket_directory)).await {
        Ok(Ok((version, directory))) if is_same_folder(&directory, cluster) => Answer::Ready(version / 10_000),
        Ok(Ok(_)) => Answer::Nobody,
        Ok(Err(error)) => classify(error),
        Err(_) => Answer::NotNow,
    }
}

/// Creates a database unless it is there.
pub(super) async fn ensure_database(socket_directory: &Path, name: &str, log: PathBuf) -> Result<(), EmbeddedError> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0') {
        return Err(EmbeddedError::DatabaseName { name: name.to_owned() });
    }
    let created = create_if_missing(&options(socket_directory, MAINTENANCE_DATABASE), name).await;
    match created {
        // Somebody else was faster; which of the two errors depends on how much.
        Err(error) if has_code(&error, DUPLICATE_DATABASE) || has_code(&error, UNIQUE_VIOLATION) => Ok(()),
        outcome => outcome.map_err(|source| EmbeddedError::Database { action: "to create a database", log, source }),
    }
}

async fn create_if_missing(options: &PgConnectOptions, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        let statement = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    }
    connection.close().await
}

async fn identify(socket_directory: &Path) -> Result<(u32, PathBuf), sqlx::Error> {
    let mut connection = PgConnection::connect_with(&options(socket_directory, MAINTENANCE_DATABASE)).await?;
    let (version, directory): (i32, String) =
        sqlx::query_as("SELECT current_setting('server_version_num')::int4, current_setting('data_directory')")
            .fetch_one(&mut connection)
            .await?;
    connection.close().await?;
    Ok((version.unsigned_abs(), directory.into()))
}

fn is_same_folder(left: &Path, right: &Path) -> bool {
    left == right || matches!((left.canonicalize(), right.canonicalize()), (Ok(left), Ok(right)) if left == right)
}

fn classify(error: sqlx::Error) -> Answer {
    match &error {
        sqlx::Error::Io(io) if matches!(io.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            Answer::Nobody
        }
        // The server went away while it was asked.
        sqlx::Error::Io(_) => Answer::NotNow,
        _ if has_code(&error, CANNOT_CONNECT_NOW) || has_code(&error, TOO_MANY_CONNECTIONS) => Answer::NotNow,
        _ => Answer::Refused(error),
    }
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|found| found == code)
}
