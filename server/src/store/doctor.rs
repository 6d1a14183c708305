//! What an examination asks the database. Nothing here writes.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use sqlx::migrate::Migrate as _;
use sqlx::postgres::{PgListener, PgPool};

use super::error::StoreError;
use super::migrations::MIGRATIONS;
use super::time::from_database;

/// The channel of `sql/doctor/notify.sql`.
const CHANNEL: &str = "tollgate_doctor";
/// Questions at once, on as many connections.
pub const QUESTIONERS: u32 = 8;
/// Questions of each.
const QUESTIONS: u32 = 25;

/// What the server says of itself, and of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Such as 150020.
    pub version: i32,
    /// `on` or `off`.
    pub fsync: String,
    /// `on` or `off`.
    pub full_page_writes: String,
    /// `on`, `off`, `local`, `remote_write` or `remote_apply`.
    pub synchronous_commit: String,
    /// `on` or `off`.
    pub autovacuum: String,
    /// `on` or `off`: without counts, autovacuum sees nothing to do.
    pub track_counts: String,
    /// Most connections.
    pub max_connections: i32,
    /// How many of them are kept for superusers.
    pub reserved_connections: i32,
    /// How much log is written between two checkpoints at most.
    pub max_wal_bytes: i64,
    /// Most seconds between two checkpoints.
    pub checkpoint_seconds: i32,
    /// Whether it only follows another server.
    pub is_standby: bool,
    /// Whether it runs on another machine, as far as the connection shows.
    pub is_remote: bool,
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
}

/// Reads the settings.
///
/// # Errors
/// [`StoreError`].
pub async fn settings(pool: &PgPool) -> Result<Settings, StoreError> {
    Ok(sqlx::query_file_as!(Settings, "sql/doctor/settings.sql").fetch_one(pool).await?)
}

/// How far the database's clock is ahead of this machine's, and how long it took to ask, by which the first may be off.
///
/// # Errors
/// [`StoreError`].
pub async fn clock_skew(pool: &PgPool) -> Result<(SignedDuration, Duration), StoreError> {
    let mut connection = pool.acquire().await?;
    // The first question on a connection takes a round trip more.
    sqlx::query_file!("sql/doctor/clock.sql").fetch_one(&mut *connection).await?;
    let before = SystemTime::now();
    let row = sqlx::query_file!("sql/doctor/clock.sql").fetch_one(&mut *connection).await?;
    let took = before.elapsed().unwrap_or_default();
    let unreadable = |_| StoreError::Unreadable { what: "clock" };
    let asked = Timestamp::try_from(before.checked_add(took / 2).unwrap_or(before)).map_err(unreadable)?;
    Ok((from_database(row.now)?.duration_since(asked), took))
}

/// Migrations of this version, against those of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrations {
    /// Not applied yet.
    pub pending: Vec<i64>,
    /// Applied, and unknown to this version.
    pub unknown: Vec<i64>,
    /// Applied with another content than this version's, or not to their end.
    pub broken: Vec<i64>,
}

/// Compares the migrations. A database without any has them all pending.
///
/// # Errors
/// [`StoreError`].
pub async fn migrations(pool: &PgPool) -> Result<Migrations, StoreError> {
    let mut connection = pool.acquire().await?;
    let table = &MIGRATIONS.table_name;
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table.as_ref())
        .fetch_one(&mut *connection)
        .await?;
    let applied = match is_there {
        true => connection
            .list_applied_migrations(table)
            .await
            .map_err(|_| StoreError::Unreadable { what: "migrations" })?,
        false => Vec::new(),
    };
    let mut found = Migrations::default();
    for known in MIGRATIONS.iter().filter(|migration| !migration.migration_type.is_down_migration()) {
        match applied.iter().find(|one| one.version == known.version) {
            None => found.pending.push(known.version),
            Some(one) if one.checksum != known.checksum => found.broken.push(known.version),
            Some(_) => {}
        }
    }
    found.unknown =
        applied.iter().map(|one| one.version).filter(|version| !MIGRATIONS.version_exists(*version)).collect();
    Ok(found)
}

/// Asks many questions at once, and says how many were answered wrongly or not at all, of how many: a pooler that does not know of
/// prepared statements passes on the answers to other questions.
pub async fn swapped_answers(pool: &PgPool) -> (u32, u32) {
    let askers = (0..QUESTIONERS).map(|asker| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let mut wrong = 0;
            for question in 0..QUESTIONS {
                let number = i64::from(asker * QUESTIONS + question) + 1;
                wrong += u32::from(!answers_rightly(&pool, number).await);
            }
            wrong
        })
    });
    let wrong = futures::future::join_all(askers).await;
    (wrong.into_iter().map(|wrong| wrong.unwrap_or(QUESTIONS)).sum(), QUESTIONERS * QUESTIONS)
}

async fn answers_rightly(pool: &PgPool, number: i64) -> bool {
    let echo = sqlx::query_file_scalar!("sql/doctor/echo.sql", number).fetch_one(pool).await;
    let negated = sqlx::query_file_scalar!("sql/doctor/negate.sql", number).fetch_one(pool).await;
    matches!((echo, negated), (Ok(echo), Ok(negated)) if echo == number && negated == -number)
}

/// Whether a notice that is sent on one connection arrives on another within `limit`: not where a pooler lends connections for a
/// transaction each.
///
/// # Errors
/// [`StoreError`].
pub async fn hears_notices(pool: &PgPool, limit: Duration) -> Result<bool, StoreError> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    let said = uuid::Uuid::now_v7().to_string();
    sqlx::query_file!("sql/doctor/notify.sql", said).fetch_one(pool).await?;
    let heard = async {
        loop {
            // Others may be examining the same database.
            if listener.recv().await?.payload() == said {
                return Ok::<bool, StoreError>(true);
            }
        }
    };
    tokio::time::timeout(limit, heard).await.unwrap_or(Ok(false))
}

/// Alerts that the webhook should have been told of for longer than `late`, and those that were given up.
///
/// # Errors
/// [`StoreError`].
pub async fn late_deliveries(pool: &PgPool, late: Duration) -> Result<(i64, i64), StoreError> {
    let seconds = i64::try_from(late.as_secs()).unwrap_or(i64::MAX);
    let row = sqlx::query_file!("sql/doctor/late_deliveries.sql", seconds).fetch_one(pool).await?;
    Ok((row.late, row.given_up))
}

/// API keys that work, of all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkingKeys {
    /// How many.
    pub keys: i64,
    /// How many of them may do everything.
    pub administrators: i64,
    /// How many of them expire within a week.
    pub expiring: i64,
}

/// Counts the keys that work.
///
/// # Errors
/// [`StoreError`].
pub async fn working_keys(pool: &PgPool, administration: i16) -> Result<WorkingKeys, StoreError> {
    Ok(sqlx::query_file_as!(WorkingKeys, "sql/doctor/administrators.sql", administration).fetch_one(pool).await?)
}
