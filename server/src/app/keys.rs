//! API keys and view tokens: created, listed, given new secrets, revoked.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::{PgConnection, PgPool};
use tollgate_domain::dimensions::Dimensions;
use uuid::Uuid;

use super::AppError;
use super::error::Named;
use crate::auth::{NewSecret, NoRandomness, Permissions, PresentedSecret, Refusal, SecretKind};
use crate::store::StoreError;
use crate::store::connect::begin;
use crate::store::credentials::{self, LockedKey, NewStoredKey, SecretRecord, StoredKey};
use crate::store::scoped::TenantPool;
use crate::tenant::TenantId;

/// Longest time for which a replaced secret still works.
pub const LONGEST_GRACE: Duration = Duration::from_secs(7 * 86_400);
/// How changes begin that no tenant makes.
const CHANGE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Most keys of a tenant that work.
const KEYS_LIMIT: i64 = 10_000;
/// Most secrets of one key that work.
const SECRETS_LIMIT: i64 = 8;
/// Most view tokens of a tenant that work.
const VIEW_TOKENS_LIMIT: i64 = 100_000;
/// When a tenant with too many view tokens may try again: they end soon.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(60);

/// A validated key to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct NewKey {
    /// A name for people.
    pub display_name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// Values that it puts into every call.
    pub pinned: Dimensions,
    /// Other tenants for which it may speak.
    pub granted: Vec<TenantId>,
    /// When it expires.
    pub expire_time: Option<Timestamp>,
}

/// A key with a secret that is shown this once.
#[derive(Debug)]
pub struct KeyWithSecret {
    /// The key.
    pub key: StoredKey,
    /// Its new secret; absent where the same request was answered before, and where a certificate is in its place.
    pub secret: Option<SecretString>,
}

/// A page of keys, newest first.
#[derive(Debug, Clone)]
pub struct KeysPage {
    /// The keys.
    pub keys: Vec<StoredKey>,
    /// Where the next page begins.
    pub next: Option<Uuid>,
}

/// A view token that is shown this once.
#[derive(Debug)]
pub struct ViewToken {
    /// The token.
    pub secret: SecretString,
    /// When it ends.
    pub expire_time: Timestamp,
}

impl NewKey {
    fn is(&self, stored: &StoredKey) -> bool {
        let Self { display_name, permissions, pinned, granted, expire_time } = self;
        let same_grants = *granted == stored.granted;
        let same_terms = permissions.codes() == stored.permissions && *pinned == stored.pinned;
        *display_name == stored.display_name && same_terms && same_grants && *expire_time == stored.expire_time
    }
}

/// Creates a key for whoever holds the permissions `creator`. The same request again gets the same key, without its secret.
///
/// # Errors
/// [`AppError::Refused`] for more permissions than the creator has and for a key that speaks for other tenants,
/// [`AppError::RequestIdReused`] for a request that created another key, [`AppError::TooManyKeys`], and others.
pub async fn create_key(
    tenants: &TenantPool,
    tenant: TenantId,
    creator: Permissions,
    new: NewKey,
    request_id: Option<Uuid>,
) -> Result<KeyWithSecret, AppError> {
    if let Some(missing) = new.permissions.iter().find(|permission| !creator.allow(*permission)) {
        return Err(Refusal::Lacks(missing).into());
    }
    if !new.granted.is_empty() {
        return Err(Refusal::SpeaksForOthers.into());
    }
    let mut change = tenants.change(tenant).await?;
    let created = created(&mut change, tenant, &new, None, request_id).await?;
    change.commit().await?;
    Ok(created)
}

/// Creates a key for whoever runs the service: with any permission, for any tenants, and with the client certificate in the place of
/// a secret whose public key has the SHA-256 `certificate`.
///
/// # Errors
/// As [`create_key`], but for what it refuses callers; [`AppError::Invalid`] for the certificate of another key that works.
pub async fn issue_key(
    all_tenants: &PgPool,
    tenant: TenantId,
    new: NewKey,
    certificate: Option<[u8; 32]>,
    request_id: Option<Uuid>,
) -> Result<KeyWithSecret, AppError> {
    let certificate = certificate.map(|public_key| PresentedSecret::of_certificate(&public_key));
    let mut change = begin(all_tenants, CHANGE).await?;
    if let Some(PresentedSecret { id, .. }) = &certificate {
        credentials::drop_ended_secret(&mut change, id.as_bytes()).await?;
        if credentials::find_key(&mut *change, id.as_bytes()).await?.is_some() {
            return Err(AppError::invalid("certificate_sha256", "is that of another key: revoke that one first"));
        }
    }
    let created = created(&mut change, tenant, &new, certificate, request_id).await?;
    change.commit().await.map_err(StoreError::from)?;
    Ok(created)
}

async fn created(
    change: &mut PgConnection,
    tenant: TenantId,
    new: &NewKey,
    certificate: Option<PresentedSecret>,
    request_id: Option<Uuid>,
) -> Result<KeyWithSecret, AppError> {
    // Before the bound: a request that was answered once is answered again, however many keys there are by now.
    if let Some(earlier) = answered(change, tenant, new, request_id).await? {
        return Ok(earlier);
    }
    if credentials::count_keys(change, tenant).await? >= KEYS_LIMIT {
        return Err(AppError::TooManyKeys(KEYS_LIMIT));
    }
    let (kept, secret) = match certificate {
        Some(PresentedSecret { id, digest }) => ((id, digest), None),
        None => {
            let NewSecret { id, digest, text } = mint(SecretKind::ApiKey)?;
            ((id, digest), Some(text))
        }
    };
    let record = SecretRecord { id: kept.0.as_bytes(), digest: kept.1.as_bytes() };
    let NewKey { display_name, permissions, pinned, granted, expire_time } = new.clone();
    let stored = NewStoredKey {
        api_key_id: Uuid::now_v7(),
        display_name,
        permissions: permissions.codes(),
        pinned,
        expire_time,
        request_id,
    };
    if credentials::create_key(change, tenant, &stored, record).await? {
        if !granted.is_empty() {
            credentials::grant_tenants(change, tenant, stored.api_key_id, &granted).await?;
        }
        let key = known(change, tenant, stored.api_key_id).await?;
        return Ok(KeyWithSecret { key, secret });
    }
    // The same request came at the same time.
    answered(change, tenant, new, request_id).await?.ok_or(AppError::Internal)
}

/// The key that the request created before, where it did.
async fn answered(
    change: &mut PgConnection,
    tenant: TenantId,
    new: &NewKey,
    request_id: Option<Uuid>,
) -> Result<Option<KeyWithSecret>, AppError> {
    let Some(request_id) = request_id else { return Ok(None) };
    match credentials::key_of_request(change, tenant, request_id).await? {
        None => Ok(None),
        Some(earlier) if new.is(&earlier) => Ok(Some(KeyWithSecret { key: earlier, secret: None })),
        Some(_) => Err(AppError::RequestIdReused(request_id.to_string())),
    }
}

/// Lists up to `limit` keys below `before`, newest first.
///
/// # Errors
/// [`AppError`].
pub async fn list_keys(
    tenants: &TenantPool,
    tenant: TenantId,
    before: Option<Uuid>,
    revoked_too: bool,
    limit: usize,
) -> Result<KeysPage, AppError> {
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut snapshot = tenants.snapshot(tenant).await?;
    let mut keys = credentials::list_keys(&mut snapshot, tenant, before, revoked_too, wanted).await?;
    let more = keys.len() > limit;
    keys.truncate(limit);
    let next = keys.last().filter(|_| more).map(|key| key.api_key_id);
    Ok(KeysPage { keys, next })
}

/// Gives a key of the tenant a new secret; those that it has work for `grace` more, at most [`LONGEST_GRACE`].
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::ApiKeyRevoked`], [`AppError::Refused`] for a key that speaks for other tenants, too: whoever
/// administers one of them would get a secret for all; [`AppError::Invalid`] for a grace where many secrets work already.
pub async fn rotate_key(
    tenants: &TenantPool,
    tenant: TenantId,
    api_key_id: Uuid,
    grace: Duration,
) -> Result<KeyWithSecret, AppError> {
    let mut change = tenants.change(tenant).await?;
    let locked = locked(&mut change, tenant, api_key_id).await?;
    if locked.speaks_for_others {
        return Err(Refusal::SpeaksForOthers.into());
    }
    let rotated = rotated(&mut change, tenant, api_key_id, locked, grace).await?;
    change.commit().await?;
    Ok(rotated)
}

/// Gives any key of the tenant a new secret, for whoever runs the service.
///
/// # Errors
/// As [`rotate_key`], but for what it refuses callers.
pub async fn rotate_any_key(
    all_tenants: &PgPool,
    tenant: TenantId,
    api_key_id: Uuid,
    grace: Duration,
) -> Result<KeyWithSecret, AppError> {
    let mut change = begin(all_tenants, CHANGE).await?;
    let locked = locked(&mut change, tenant, api_key_id).await?;
    let rotated = rotated(&mut change, tenant, api_key_id, locked, grace).await?;
    change.commit().await.map_err(StoreError::from)?;
    Ok(rotated)
}

async fn locked(change: &mut PgConnection, tenant: TenantId, api_key_id: Uuid) -> Result<LockedKey, AppError> {
    let locked = credentials::lock_key(change, tenant, api_key_id).await?.ok_or_else(|| unknown(api_key_id))?;
    match locked.revoked {
        true => Err(AppError::ApiKeyRevoked(api_key_id.to_string())),
        false => Ok(locked),
    }
}

async fn rotated(
    change: &mut PgConnection,
    tenant: TenantId,
    api_key_id: Uuid,
    LockedKey { secrets, .. }: LockedKey,
    grace: Duration,
) -> Result<KeyWithSecret, AppError> {
    let secret = mint(SecretKind::ApiKey)?;
    if secrets >= SECRETS_LIMIT && !grace.is_zero() {
        let rule = format!("must be unset: {secrets} secrets of the key work already, wait until some have expired");
        return Err(AppError::invalid("grace", rule));
    }
    credentials::replace_secret(change, tenant, api_key_id, grace, record(&secret)).await?;
    let key = known(change, tenant, api_key_id).await?;
    Ok(KeyWithSecret { key, secret: Some(secret.text) })
}

/// Revokes a key with all its secrets. Once more changes nothing.
///
/// # Errors
/// [`AppError::NotFound`] and others.
pub async fn revoke_key(tenants: &TenantPool, tenant: TenantId, api_key_id: Uuid) -> Result<StoredKey, AppError> {
    let mut change = tenants.change(tenant).await?;
    if !credentials::revoke_key(&mut change, tenant, api_key_id).await? {
        return Err(unknown(api_key_id));
    }
    let key = known(&mut change, tenant, api_key_id).await?;
    change.commit().await?;
    Ok(key)
}

/// Creates a token that watches these encoded scopes for a while, but not beyond the end of the key that makes it.
///
/// # Errors
/// [`AppError::Full`] for too many tokens, and others.
pub async fn create_view_token(
    tenants: &TenantPool,
    tenant: TenantId,
    maker: Option<Uuid>,
    scopes: &[Vec<u8>],
    ttl: Duration,
) -> Result<ViewToken, AppError> {
    let mut change = tenants.change(tenant).await?;
    if credentials::count_view_tokens(&mut change, tenant).await? >= VIEW_TOKENS_LIMIT {
        return Err(AppError::Full { what: "the list of view tokens", retry_after: FULL_RETRY_AFTER });
    }
    let secret = mint(SecretKind::ViewToken)?;
    let expire_time = credentials::create_view_token(&mut change, tenant, record(&secret), scopes, ttl, maker).await?;
    change.commit().await?;
    Ok(ViewToken { secret: secret.text, expire_time })
}

async fn known(connection: &mut PgConnection, tenant: TenantId, api_key_id: Uuid) -> Result<StoredKey, AppError> {
    credentials::key(connection, tenant, api_key_id).await?.ok_or_else(|| unknown(api_key_id))
}

fn unknown(api_key_id: Uuid) -> AppError {
    AppError::NotFound { what: Named::ApiKey, id: api_key_id.to_string() }
}

fn mint(kind: SecretKind) -> Result<NewSecret, AppError> {
    NewSecret::mint(kind).map_err(|error: NoRandomness| {
        tracing::error!(%error, "no secret can be minted");
        AppError::Internal
    })
}

fn record(secret: &NewSecret) -> SecretRecord<'_> {
    SecretRecord { id: secret.id.as_bytes(), digest: secret.digest.as_bytes() }
}
