//! Connections: pools, the checks that a database must pass, and migrations.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Postgres, SqlSafeStr, Transaction};
use thiserror::Error;

use super::error::StoreError;
use super::migrations::{self, SchemaError};
use super::scoped::ROLE;

/// Oldest Postgres that is supported.
pub const OLDEST_MAJOR: u32 = 15;
/// Newest Postgres that is supported.
pub const NEWEST_MAJOR: u32 = 18;

/// Why a database is not used.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// It cannot be reached, or it answered unexpectedly.
    #[error("the database cannot be used: {0}")]
    Store(#[from] StoreError),
    /// Its version is not supported.
    #[error(
        "the database runs PostgreSQL {found}, Tollgate needs {OLDEST_MAJOR} to {NEWEST_MAJOR}: \
         point DATABASE_URL at such a server"
    )]
    Version {
        /// Its major version.
        found: u32,
    },
    /// It would lose what it acknowledged.
    #[error(
        "the database runs with {setting} = {value}: acknowledged usage could be lost. \
         Set {setting} = on (for synchronous_commit, remote_write and remote_apply will do, too) and start again"
    )]
    NotDurable {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// The schema cannot be brought up to date, or is too new.
    #[error("the schema cannot be used: {0}")]
    Schema(#[from] SchemaError),
    /// The role that confines tenants is missing, or may not be used.
    #[error(
        "statements of tenants cannot be confined: let an administrator run in this database: \
         CREATE ROLE {ROLE} NOLOGIN (where it is missing); GRANT {ROLE} TO {user}; \
         GRANT USAGE ON SCHEMA (that of the tables) TO {ROLE}, and restore the rights of that role from the dump of this database"
    )]
    TenantRole {
        /// Who connects.
        user: String,
    },
    /// The role that confines tenants confines nobody.
    #[error(
        "the role {ROLE} passes by row-level security: let an administrator run: ALTER ROLE {ROLE} NOSUPERUSER NOBYPASSRLS"
    )]
    NotConfining,
}

/// A pool of connections, each with the settings that the statements count on.
pub fn pool(options: PgConnectOptions, connections: u32, acquire_timeout: Duration) -> PgPool {
    of(connections, acquire_timeout).connect_lazy_with(settled(options))
}

/// A pool for the ledger's writers. Its connections are not tried before each use, which would cost every batch a round trip: a
/// batch that meets a broken one is run again on another. Each statement has one plan, for any values: writers look for rows by
/// their whole keys, and to plan such a statement takes longer than to run it.
pub fn writers_pool(options: PgConnectOptions, connections: u32, acquire_timeout: Duration) -> PgPool {
    let options = options.options([("plan_cache_mode", "force_generic_plan")]);
    untried_pool(options, connections, acquire_timeout)
}

/// A pool whose connections are not tried before each use, for whoever can go on with another one.
pub fn untried_pool(options: PgConnectOptions, connections: u32, acquire_timeout: Duration) -> PgPool {
    of(connections, acquire_timeout).test_before_acquire(false).connect_lazy_with(settled(options))
}

fn of(connections: u32, acquire_timeout: Duration) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(connections).acquire_timeout(acquire_timeout)
}

fn settled(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("tollgate").options([("TimeZone", "UTC"), ("jit", "off")])
}

/// Checks version and durability.
///
/// # Errors
/// [`ConnectError`] that says what to change.
pub async fn check(pool: &PgPool) -> Result<(), ConnectError> {
    let settings = sqlx::query_file!("sql/tasks/settings.sql").fetch_one(pool).await.map_err(StoreError::from)?;
    let major = u32::try_from(settings.server_version_num / 10_000).unwrap_or(0);
    if !(OLDEST_MAJOR..=NEWEST_MAJOR).contains(&major) {
        return Err(ConnectError::Version { found: major });
    }
    let durable = [
        ("fsync", settings.fsync, &["on"][..]),
        ("full_page_writes", settings.full_page_writes, &["on"]),
        ("synchronous_commit", settings.synchronous_commit, &["on", "local", "remote_write", "remote_apply"]),
    ];
    for (setting, value, accepted) in durable {
        if !accepted.contains(&value.as_str()) {
            return Err(ConnectError::NotDurable { setting, value });
        }
    }
    Ok(())
}

/// Checks that statements of tenants can be confined to them: that there is the role that confines them, which a database that
/// was moved to another cluster lacks.
///
/// # Errors
/// [`ConnectError::TenantRole`] and [`ConnectError::NotConfining`], which say what to run.
pub async fn check_tenant_role(pool: &PgPool) -> Result<(), ConnectError> {
    let role = sqlx::query_file!("sql/tasks/tenant_role.sql", ROLE).fetch_one(pool).await.map_err(StoreError::from)?;
    if !role.is_usable {
        return Err(ConnectError::TenantRole { user: role.user });
    }
    if role.passes_by {
        return Err(ConnectError::NotConfining);
    }
    Ok(())
}

/// Brings the schema up to date. Replicas that start at once take turns.
///
/// # Errors
/// [`ConnectError::Schema`].
pub async fn migrate(pool: &PgPool) -> Result<(), ConnectError> {
    Ok(migrations::bring_up_to_date(pool).await?)
}

/// Begins a transaction that survives a cancelled caller: sqlx knows of a transaction only once BEGIN has answered, so a
/// BEGIN that is dropped half way would leave one open in the pool.
///
/// # Errors
/// [`StoreError`].
pub async fn begin(
    pool: &PgPool,
    statement: impl SqlSafeStr + Send + 'static,
) -> Result<Transaction<'static, Postgres>, StoreError> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await }).await;
    Ok(begun.map_err(|_| StoreError::Unavailable(sqlx::Error::WorkerCrashed))??)
}
