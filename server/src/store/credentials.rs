//! Credentials and tenants. What is looked up by a credential's id is looked up before its tenant is known.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor, PgPool};
use tollgate_domain::dimensions::Dimensions;
use uuid::Uuid;

use super::connect::begin;
use super::error::StoreError;
use super::time::{from_database, to_database};
use crate::tenant::{Tenant, TenantId};

/// Advisory lock under which tenants are numbered.
const TENANTS_LOCK: i64 = 0x746f_6c6c_7465_6e61;

/// What is known of the holder of a credential.
#[derive(Debug, Clone)]
pub struct StoredCredential {
    /// SHA-256 of the secret.
    pub digest: Vec<u8>,
    /// Whose it is.
    pub tenant: Tenant,
    /// What it stands for.
    pub holder: StoredHolder,
    /// Whether it was revoked.
    pub revoked: bool,
    /// How long it still works, by the database's clock; `None` = for good.
    pub remaining: Option<Duration>,
}

/// What a credential stands for.
#[derive(Debug, Clone)]
pub enum StoredHolder {
    /// An API key.
    ApiKey {
        /// Its id.
        id: Uuid,
        /// Codes of its permissions.
        permissions: Vec<i16>,
        /// Dimensions of every call.
        pinned: Dimensions,
        /// Other tenants for which it may speak.
        granted: Vec<Tenant>,
    },
    /// A view token.
    ViewToken {
        /// Encoded scopes.
        scopes: Vec<Vec<u8>>,
    },
}

/// An API key, without its secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredKey {
    /// Its id, a UUIDv7.
    pub api_key_id: Uuid,
    /// Its name for people.
    pub display_name: String,
    /// Codes of its permissions.
    pub permissions: Vec<i16>,
    /// Dimensions of every call.
    pub pinned: Dimensions,
    /// Other tenants for which it may speak.
    pub granted: Vec<TenantId>,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it expires.
    pub expire_time: Option<Timestamp>,
    /// When it was revoked.
    pub revoke_time: Option<Timestamp>,
    /// When it was used last, to the minute or so.
    pub last_use_time: Option<Timestamp>,
}

/// A key to be created.
#[derive(Debug, Clone)]
pub struct NewStoredKey {
    /// Its id.
    pub api_key_id: Uuid,
    /// Its name for people.
    pub display_name: String,
    /// Codes of its permissions.
    pub permissions: Vec<i16>,
    /// Dimensions of every call.
    pub pinned: Dimensions,
    /// When it expires.
    pub expire_time: Option<Timestamp>,
    /// The request that creates it.
    pub request_id: Option<Uuid>,
}

/// What is kept of a secret.
#[derive(Debug, Clone, Copy)]
pub struct SecretRecord<'a> {
    /// The id inside of it.
    pub id: &'a [u8],
    /// SHA-256 of all of it.
    pub digest: &'a [u8],
}

/// A key while it is given a new secret.
#[derive(Debug, Clone, Copy)]
pub struct LockedKey {
    /// Whether it was revoked.
    pub revoked: bool,
    /// Whether other tenants were granted to it.
    pub speaks_for_others: bool,
    /// How many secrets it has that work.
    pub secrets: i64,
}

/// A tenant with the time at which it was created.
#[derive(Debug, Clone)]
pub struct StoredTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// Since when it is there.
    pub create_time: Timestamp,
}

/// The API key whose secret has this id.
///
/// # Errors
/// [`StoreError`].
pub async fn find_key(executor: impl PgExecutor<'_>, secret_id: &[u8]) -> Result<Option<StoredCredential>, StoreError> {
    let found =
        sqlx::query_file_as!(HolderRow, "sql/credential/find_key.sql", secret_id).fetch_optional(executor).await?;
    found.map(StoredCredential::try_from).transpose()
}

/// The secrets that work of the API keys that were used within `since`, at most `limit`, with the ids inside of them; those that
/// were used last come first.
///
/// # Errors
/// [`StoreError`].
pub async fn recent_keys(
    pool: &PgPool,
    since: Duration,
    limit: i64,
) -> Result<Vec<(Vec<u8>, StoredCredential)>, StoreError> {
    let rows = sqlx::query_file_as!(HolderRow, "sql/credential/recent_keys.sql", microseconds(since), limit);
    let named = |row: HolderRow| Ok((row.secret_id.clone(), StoredCredential::try_from(row)?));
    rows.fetch_all(pool).await?.into_iter().map(named).collect()
}

/// The view token that has this id.
///
/// # Errors
/// [`StoreError`].
pub async fn find_view_token(pool: &PgPool, secret_id: &[u8]) -> Result<Option<StoredCredential>, StoreError> {
    let found = sqlx::query_file!("sql/credential/find_view_token.sql", secret_id).fetch_optional(pool).await?;
    Ok(found.map(|row| StoredCredential {
        digest: row.digest,
        tenant: Tenant { id: TenantId(row.tenant_id), name: row.tenant_name.into() },
        holder: StoredHolder::ViewToken { scopes: row.scopes },
        revoked: row.revoked,
        remaining: remaining(Some(row.expire_time), row.now),
    }))
}

/// What is left until the end, nothing where it has passed.
fn remaining(expire_time: Option<time::OffsetDateTime>, now: time::OffsetDateTime) -> Option<Duration> {
    expire_time.map(|end| Duration::try_from(end - now).unwrap_or(Duration::ZERO))
}

fn pinned(content: Value) -> Result<Dimensions, StoreError> {
    serde_json::from_value(content).map_err(|_| StoreError::Unreadable { what: "API key" })
}

/// Creates a key with its first secret; `false` where the request created one before. What is granted to it is another step.
///
/// # Errors
/// [`StoreError`].
pub async fn create_key(
    connection: &mut PgConnection,
    tenant: TenantId,
    key: &NewStoredKey,
    secret: SecretRecord<'_>,
) -> Result<bool, StoreError> {
    let NewStoredKey { api_key_id, display_name, permissions, pinned, expire_time, request_id } = key;
    let pinned = serde_json::to_value(pinned).map_err(|_| StoreError::Unreadable { what: "API key" })?;
    let made = sqlx::query_file!(
        "sql/credential/create_key.sql",
        tenant.0,
        api_key_id,
        display_name,
        permissions,
        pinned,
        expire_time.map(to_database),
        *request_id,
        secret.id,
        secret.digest
    )
    .fetch_optional(connection)
    .await?;
    Ok(made.is_some())
}

/// Lets a key speak for other tenants. The role of tenants may not.
///
/// # Errors
/// [`StoreError`].
pub async fn grant_tenants(
    connection: &mut PgConnection,
    tenant: TenantId,
    api_key_id: Uuid,
    granted: &[TenantId],
) -> Result<(), StoreError> {
    let granted: Vec<i32> = granted.iter().map(|tenant| tenant.0).collect();
    sqlx::query_file!("sql/credential/grant_tenants.sql", tenant.0, api_key_id, &granted).execute(connection).await?;
    Ok(())
}

/// How many keys of the tenant work.
///
/// # Errors
/// [`StoreError`].
pub async fn count_keys(connection: &mut PgConnection, tenant: TenantId) -> Result<i64, StoreError> {
    Ok(sqlx::query_file_scalar!("sql/credential/count_keys.sql", tenant.0).fetch_one(connection).await?)
}

/// A key by its id.
///
/// # Errors
/// [`StoreError`].
pub async fn key(
    connection: &mut PgConnection,
    tenant: TenantId,
    api_key_id: Uuid,
) -> Result<Option<StoredKey>, StoreError> {
    get_key(connection, tenant, Some(api_key_id), None).await
}

/// The key that a request created.
///
/// # Errors
/// [`StoreError`].
pub async fn key_of_request(
    connection: &mut PgConnection,
    tenant: TenantId,
    request_id: Uuid,
) -> Result<Option<StoredKey>, StoreError> {
    get_key(connection, tenant, None, Some(request_id)).await
}

async fn get_key(
    connection: &mut PgConnection,
    tenant: TenantId,
    api_key_id: Option<Uuid>,
    request_id: Option<Uuid>,
) -> Result<Option<StoredKey>, StoreError> {
    let row = sqlx::query_file_as!(KeyRow, "sql/credential/get_key.sql", tenant.0, api_key_id, request_id);
    row.fetch_optional(connection).await?.map(StoredKey::try_from).transpose()
}

/// Keys, newest first, below `before`.
///
/// # Errors
/// [`StoreError`].
pub async fn list_keys(
    connection: &mut PgConnection,
    tenant: TenantId,
    before: Option<Uuid>,
    revoked_too: bool,
    limit: i64,
) -> Result<Vec<StoredKey>, StoreError> {
    let rows = sqlx::query_file_as!(KeyRow, "sql/credential/list_keys.sql", tenant.0, before, revoked_too, limit);
    rows.fetch_all(connection).await?.into_iter().map(StoredKey::try_from).collect()
}

/// Locks a key until the end of the transaction.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_key(
    connection: &mut PgConnection,
    tenant: TenantId,
    api_key_id: Uuid,
) -> Result<Option<LockedKey>, StoreError> {
    let found = sqlx::query_file_as!(LockedKey, "sql/credential/lock_key.sql", tenant.0, api_key_id);
    Ok(found.fetch_optional(connection).await?)
}

/// Gives a locked key a new secret; those that it has end after `grace`.
///
/// # Errors
/// [`StoreError`].
pub async fn replace_secret(
    connection: &mut PgConnection,
    tenant: TenantId,
    api_key_id: Uuid,
    grace: Duration,
    secret: SecretRecord<'_>,
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/credential/expire_secrets.sql", tenant.0, api_key_id, microseconds(grace))
        .execute(&mut *connection)
        .await?;
    sqlx::query_file!("sql/credential/add_secret.sql", tenant.0, secret.id, api_key_id, secret.digest)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes the secret of this id where it works no more, whosever it was: for one that is not random.
///
/// # Errors
/// [`StoreError`].
pub async fn drop_ended_secret(connection: &mut PgConnection, secret_id: &[u8]) -> Result<(), StoreError> {
    sqlx::query_file!("sql/credential/drop_ended_secret.sql", secret_id).execute(connection).await?;
    Ok(())
}

/// Revokes a key, once; `false` where there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn revoke_key(connection: &mut PgConnection, tenant: TenantId, api_key_id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query_file!("sql/credential/revoke_key.sql", tenant.0, api_key_id).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// Notes that keys were used just now.
///
/// # Errors
/// [`StoreError`].
pub async fn note_uses(pool: &PgPool, keys: &[(TenantId, Uuid)]) -> Result<(), StoreError> {
    let (tenants, ids): (Vec<i32>, Vec<Uuid>) = keys.iter().map(|(tenant, id)| (tenant.0, *id)).unzip();
    sqlx::query_file!("sql/credential/note_uses.sql", &tenants, &ids).execute(pool).await?;
    Ok(())
}

/// How many view tokens of the tenant work.
///
/// # Errors
/// [`StoreError`].
pub async fn count_view_tokens(connection: &mut PgConnection, tenant: TenantId) -> Result<i64, StoreError> {
    Ok(sqlx::query_file_scalar!("sql/credential/count_view_tokens.sql", tenant.0).fetch_one(connection).await?)
}

/// Creates a view token, which also ends with the key that makes it, and says when it ends.
///
/// # Errors
/// [`StoreError`].
pub async fn create_view_token(
    connection: &mut PgConnection,
    tenant: TenantId,
    secret: SecretRecord<'_>,
    scopes: &[Vec<u8>],
    ttl: Duration,
    maker: Option<Uuid>,
) -> Result<Timestamp, StoreError> {
    let end = sqlx::query_file_scalar!(
        "sql/credential/create_view_token.sql",
        tenant.0,
        secret.id,
        secret.digest,
        scopes,
        microseconds(ttl),
        maker
    );
    from_database(end.fetch_one(connection).await?)
}

/// Deletes view tokens and secrets that ended longer than `kept` ago, at most `limit` of each, and says how many.
///
/// # Errors
/// [`StoreError`].
pub async fn purge(pool: &PgPool, kept: Duration, limit: i64) -> Result<u64, StoreError> {
    let kept = microseconds(kept);
    let tokens = sqlx::query_file!("sql/credential/purge_view_tokens.sql", kept, limit).execute(pool).await?;
    let secrets = sqlx::query_file!("sql/credential/purge_secrets.sql", kept, limit).execute(pool).await?;
    Ok(tokens.rows_affected().saturating_add(secrets.rows_affected()))
}

/// Deletes keys that were revoked or expired longer than `kept` ago, at most `limit`, and says how many.
///
/// # Errors
/// [`StoreError`].
pub async fn purge_keys(pool: &PgPool, kept: Duration, limit: i64) -> Result<u64, StoreError> {
    let purged = sqlx::query_file!("sql/credential/purge_keys.sql", microseconds(kept), limit).execute(pool).await?;
    Ok(purged.rows_affected())
}

/// Creates a tenant; `None` where one has the name.
///
/// # Errors
/// [`StoreError`].
pub async fn create_tenant(pool: &PgPool, name: &str) -> Result<Option<StoredTenant>, StoreError> {
    let mut transaction = begin(pool, "BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    sqlx::query_file!("sql/credential/lock_tenants.sql", TENANTS_LOCK).execute(&mut *transaction).await?;
    let made = sqlx::query_file_as!(TenantRow, "sql/credential/create_tenant.sql", name);
    let made = made.fetch_optional(&mut *transaction).await?;
    transaction.commit().await?;
    made.map(StoredTenant::try_from).transpose()
}

/// Tenants in the order of their numbers, at most `limit`.
///
/// # Errors
/// [`StoreError`].
pub async fn list_tenants(pool: &PgPool, limit: i64) -> Result<Vec<StoredTenant>, StoreError> {
    let rows = sqlx::query_file_as!(TenantRow, "sql/credential/list_tenants.sql", limit).fetch_all(pool).await?;
    rows.into_iter().map(StoredTenant::try_from).collect()
}

/// Tenants that have these names.
///
/// # Errors
/// [`StoreError`].
pub async fn find_tenants(pool: &PgPool, names: &[String]) -> Result<Vec<Tenant>, StoreError> {
    let rows = sqlx::query_file!("sql/credential/find_tenants.sql", names).fetch_all(pool).await?;
    Ok(rows.into_iter().map(|row| Tenant { id: TenantId(row.tenant_id), name: row.name.into() }).collect())
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

struct HolderRow {
    secret_id: Vec<u8>,
    digest: Vec<u8>,
    tenant_id: i32,
    tenant_name: String,
    api_key_id: Uuid,
    permissions: Vec<i16>,
    pinned: Value,
    revoked: bool,
    expire_time: Option<time::OffsetDateTime>,
    granted_ids: Vec<i32>,
    granted_names: Vec<String>,
    now: time::OffsetDateTime,
}

impl TryFrom<HolderRow> for StoredCredential {
    type Error = StoreError;

    fn try_from(row: HolderRow) -> Result<Self, StoreError> {
        let granted = row.granted_ids.into_iter().zip(row.granted_names);
        Ok(Self {
            digest: row.digest,
            tenant: Tenant { id: TenantId(row.tenant_id), name: row.tenant_name.into() },
            holder: StoredHolder::ApiKey {
                id: row.api_key_id,
                permissions: row.permissions,
                pinned: pinned(row.pinned)?,
                granted: granted.map(|(id, name)| Tenant { id: TenantId(id), name: name.into() }).collect(),
            },
            revoked: row.revoked,
            remaining: remaining(row.expire_time, row.now),
        })
    }
}

struct KeyRow {
    api_key_id: Uuid,
    display_name: String,
    permissions: Vec<i16>,
    pinned: Value,
    granted_tenants: Vec<i32>,
    create_time: time::OffsetDateTime,
    expire_time: Option<time::OffsetDateTime>,
    revoke_time: Option<time::OffsetDateTime>,
    last_use_time: Option<time::OffsetDateTime>,
}

impl TryFrom<KeyRow> for StoredKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        Ok(Self {
            api_key_id: row.api_key_id,
            display_name: row.display_name,
            permissions: row.permissions,
            pinned: pinned(row.pinned)?,
            granted: row.granted_tenants.into_iter().map(TenantId).collect(),
            create_time: from_database(row.create_time)?,
            expire_time: row.expire_time.map(from_database).transpose()?,
            revoke_time: row.revoke_time.map(from_database).transpose()?,
            last_use_time: row.last_use_time.map(from_database).transpose()?,
        })
    }
}

struct TenantRow {
    tenant_id: i32,
    name: String,
    create_time: time::OffsetDateTime,
}

impl TryFrom<TenantRow> for StoredTenant {
    type Error = StoreError;

    fn try_from(row: TenantRow) -> Result<Self, StoreError> {
        let tenant = Tenant { id: TenantId(row.tenant_id), name: row.name.into() };
        Ok(Self { tenant, create_time: from_database(row.create_time)? })
    }
}
