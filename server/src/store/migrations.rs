//! The schema: brought up to date at every start, while other replicas may serve, of this release or of another.
//!
//! Upgrades roll, and a replica of the release before may be started anew after the first replica of the next one has migrated. So
//! a schema with migrations that this program does not know is fine, as long as they only add. One that takes away what older
//! programs use says in its name which migration a program has to know: `0030_contract_0021_…`.

use std::time::Duration;

use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection as _};
use thiserror::Error;
use tokio::time::Instant;

use super::error::StoreError;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");
/// Where the migrator notes what it has applied.
const TABLE: &str = "_sqlx_migrations";
/// How the description of a migration begins that takes away what older programs use.
const CONTRACT: &str = "contract ";

/// Advisory lock of whoever migrates. It is tried again and again: who waits for a lock holds a snapshot, and an index that is
/// built beside its writers waits for all snapshots.
const TURN: i64 = 0x746f_6c6c_6761_7465;
/// How long a migration waits for the lock of a table. Meanwhile every call waits behind it; then they go on, and it tries again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a migration tries to get the locks of its tables, or its turn.
const PATIENCE: Duration = Duration::from_secs(600);
/// The code of a lock that was not to be had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Why the schema cannot be used.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// A migration fails, or an applied one is not what this program knows under its number.
    #[error(transparent)]
    Migration(#[from] MigrateError),
    /// The database cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A later release has taken away what this program uses.
    #[error(
        "migration {migration} has removed what this program uses: run one that knows migration {needed}, \
         this one knows no newer than {known}"
    )]
    Contracted {
        /// What was applied.
        migration: i64,
        /// What a program has to know.
        needed: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Its migrations are not a continuation of those of this program.
    #[error(
        "the database and this program have different migrations: {migration} is known to one of them only. \
         Run the program that has migrated it, or a newer release of that"
    )]
    Diverged {
        /// Which one.
        migration: i64,
    },
    /// Another replica migrates and does not come to an end.
    #[error(
        "another replica has been migrating for {PATIENCE:?}: see what its migration waits for in pg_stat_activity"
    )]
    NoTurn,
}

/// A migration that was applied.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Applied {
    version: i64,
    description: String,
}

/// Brings the schema up to date. Replicas that start at once take turns.
///
/// # Errors
/// [`SchemaError`].
pub(super) async fn bring_up_to_date(pool: &PgPool) -> Result<(), SchemaError> {
    // A connection of its own: whatever happens, the lock and the settings end with it.
    let mut connection = pool.acquire().await.map_err(StoreError::from)?.detach();
    let outcome = migrate(&mut connection).await;
    let closed = connection.close().await.map_err(StoreError::from);
    outcome?;
    Ok(closed?)
}

async fn migrate(connection: &mut PgConnection) -> Result<(), SchemaError> {
    take_turn(connection).await?;
    connection.ensure_migrations_table(TABLE).await?;
    let applied = applied(connection).await?;
    let known: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
    compare(&known, &applied)?;
    let is_applied = |migration: &Migration| applied.iter().any(|applied| applied.version == migration.version);
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.set_ignore_missing(true).set_locking(false);
    for migration in MIGRATIONS.iter().filter(|migration| !is_applied(migration)) {
        apply(connection, &migrator, migration).await?;
    }
    // Nothing is left to apply: compares the checksums of what was applied before.
    Ok(migrator.run_direct(None, connection, false).await?)
}

async fn take_turn(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(TURN);
        if lock.fetch_one(&mut *connection).await.map_err(StoreError::from)? {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(SchemaError::NoTurn);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The migrator makes its table itself, so that no statement about it can be checked when this is compiled.
async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, StoreError> {
    let statement = format!("SELECT version, description FROM {TABLE} ORDER BY version");
    Ok(sqlx::query_as(AssertSqlSafe(statement)).fetch_all(connection).await?)
}

/// Applies one migration, as soon as the tables that it changes are free for a moment.
async fn apply(connection: &mut PgConnection, migrator: &Migrator, migration: &Migration) -> Result<(), SchemaError> {
    // What runs without a transaction locks nobody out, and would leave half of its work behind.
    let lock_timeout = if migration.no_tx { 0 } else { LOCK_TIMEOUT.as_millis() };
    let statement = format!("SET lock_timeout = {lock_timeout}");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await.map_err(StoreError::from)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match migrator.run_direct(Some(migration.version), connection, false).await {
            Err(error) if is_locked_out(&error) && Instant::now() < deadline => {
                tracing::warn!(version = migration.version, "a migration waits until its tables are free");
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return Ok(outcome?),
        }
    }
}

fn is_locked_out(error: &MigrateError) -> bool {
    let (MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)) = error else { return false };
    source.as_database_error().is_some_and(|error| error.code().as_deref() == Some(LOCK_NOT_AVAILABLE))
}

/// Whether a program that knows these migrations works where those were applied.
fn compare(known: &[i64], applied: &[Applied]) -> Result<(), SchemaError> {
    let newest_known = known.iter().copied().max().unwrap_or(0);
    let unknown = applied.iter().filter(|applied| !known.contains(&applied.version));
    for Applied { version, description } in unknown.clone() {
        if *version < newest_known {
            return Err(SchemaError::Diverged { migration: *version });
        }
        let Some(rest) = description.strip_prefix(CONTRACT) else { continue };
        // One that does not say may have taken away anything.
        let needed = rest.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(*version);
        if newest_known < needed {
            return Err(SchemaError::Contracted { migration: *version, needed, known: newest_known });
        }
    }
    let is_newer = unknown.count() > 0;
    let missing = known.iter().find(|version| !applied.iter().any(|applied| applied.version == **version));
    match missing {
        Some(missing) if is_newer => Err(SchemaError::Diverged { migration: *missing }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(migrations: &[(i64, &str)]) -> Vec<Applied> {
        let of = |(version, description): &(i64, &str)| Applied {
            version: *version,
            description: (*description).to_owned(),
        };
        migrations.iter().map(of).collect()
    }

    #[test]
    fn a_schema_that_only_grew_is_fine() {
        for later in [&[][..], &[(4, "more")], &[(4, "more"), (5, "contract 3 less")]] {
            let all = [&[(1, "a"), (2, "b"), (3, "c")][..], later].concat();
            assert!(compare(&[1, 2, 3], &applied(&all)).is_ok(), "{later:?}");
        }
        assert!(compare(&[1, 2, 3], &applied(&[(1, "a")])).is_ok(), "the rest is about to be applied");
    }

    #[test]
    fn what_took_something_away_is_refused() {
        let refused = |description| {
            let schema = applied(&[(1, "a"), (2, "b"), (5, description)]);
            compare(&[1, 2], &schema).unwrap_err().to_string()
        };
        assert!(refused("contract 3 less").contains("run one that knows migration 3, this one knows no newer than 2"));
        assert!(refused("contract less").contains("run one that knows migration 5"));
    }

    #[test]
    fn another_line_of_migrations_is_refused() {
        for (known, schema) in [(&[1, 3][..], &[(1, "a"), (2, "b"), (3, "c")][..]), (&[1, 2], &[(1, "a"), (3, "c")])] {
            let refused = compare(known, &applied(schema)).unwrap_err();
            assert!(matches!(refused, SchemaError::Diverged { migration: 2 }), "{refused}");
        }
    }
}
