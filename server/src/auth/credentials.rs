//! Credentials as this replica knows them: looked up by the id inside a secret, remembered for a moment.
//!
//! What was read is fresh for [`FRESH`]. Until [`USABLE`] it is still used, while it is read again in the background; older, the
//! call waits for the reading. So nothing that was revoked more than [`USABLE`] ago is honoured, and a busy key never waits.
//! While the database is away, what was known stays good until it expires.
//!
//! A replica that starts reads the keys that were used lately, so that they are no strangers to it: whoever guesses fills the
//! strangers' lane and keeps no working key out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use moka::sync::Cache;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tollgate_domain::dimensions::{Dimension, Dimensions};
use uuid::Uuid;

use super::{Caller, LastUses, Permissions, Presented, PresentedSecret, Refusal, SecretDigest, SecretId, SecretKind};
use crate::ledger::Presence;
use crate::store::StoreError;
use crate::store::credentials::{StoredCredential, StoredHolder, find_key, find_view_token, recent_keys};
use crate::tenant::{Tenant, TenantId};

/// How long a reading is used as it is.
const FRESH: Duration = Duration::from_secs(2);
/// How long it is used at all, while the database answers.
const USABLE: Duration = Duration::from_secs(4);
/// How long an unknown credential is refused without looking again.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// Most credentials that are remembered.
const KNOWN: usize = 10_000;
/// Most unknown ones that are remembered.
const UNKNOWN: u64 = 10_000;
/// Most look-ups of credentials that are not known which wait: more are guesses, or a start that has to be spread.
const STRANGERS: usize = 256;
/// Most look-ups of each kind that the database sees at once.
const AT_ONCE: usize = 2;
/// Connections that look-ups have to themselves, two of each kind: what else runs here waits for locks, and no call waits for it.
pub const LOOK_UP_CONNECTIONS: u32 = 4;
/// A key that was used within this time is known from the start.
const RECENT: Duration = Duration::from_secs(86_400);
/// Most secrets that are known from the start.
const KNOWN_FROM_START: i64 = 5_000;

/// Credentials as this replica knows them. Cheap to clone; clones share what is known.
#[derive(Debug, Clone)]
pub struct Credentials {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    presence: Presence,
    known: Cache<SecretId, Arc<Entry>>,
    unknown: Cache<SecretId, ()>,
    under_way: Mutex<HashMap<SecretId, Reading>>,
    /// For what was known before: guesses do not get in its way.
    again: Lane,
    strangers: Lane,
    uses: LastUses,
}

/// A look-up that several calls wait for.
type Reading = Shared<BoxFuture<'static, Found>>;
type Found = Result<Option<Arc<Entry>>, Refusal>;

/// How many look-ups wait, and how many run.
#[derive(Debug)]
struct Lane {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Lane {
    fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// One credential, as it was read.
#[derive(Debug)]
struct Entry {
    digest: Vec<u8>,
    tenant: Tenant,
    granted: Vec<Tenant>,
    caller: Caller,
    revoked: bool,
    /// When the reading began.
    read_at: Instant,
    /// The end, by this machine's steady clock.
    expires_at: Option<Instant>,
}

impl Credentials {
    /// Over these connections, which nothing else may hold.
    pub fn new(pool: PgPool, presence: Presence, uses: LastUses) -> Self {
        let inner = Inner {
            pool,
            presence,
            known: Cache::new(KNOWN as u64),
            unknown: Cache::builder().max_capacity(UNKNOWN).time_to_live(UNKNOWN_FOR).build(),
            under_way: Mutex::default(),
            again: Lane::new(KNOWN),
            strangers: Lane::new(STRANGERS),
            uses,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Reads the keys that were used lately. Without them the start goes on: each is looked up when it is used.
    pub async fn read_recent(&self) {
        let read_at = Instant::now();
        match recent_keys(&self.inner.pool, RECENT, KNOWN_FROM_START).await {
            Ok(recent) => {
                let ids = recent.into_iter().map(|(id, stored)| (SecretId::of_api_key(&id), stored));
                for (id, stored) in ids.filter_map(|(id, stored)| Some((id?, stored))) {
                    self.inner.known.insert(id, Arc::new(Entry::new(stored, read_at)));
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the keys that were used lately could not be read"
                );
            }
        }
    }

    /// Who shows this; `None` where nothing is shown.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn caller(&self, presented: Presented<'_>) -> Result<Option<Caller>, Refusal> {
        let Some(PresentedSecret { id, digest }) = presented.secret else {
            let own = Tenant::local();
            return presented.tenant.is_none_or(|name| name == &*own.name).then_some(None).ok_or(Refusal::OtherTenant);
        };
        let entry = self.find(id).await?.ok_or(Refusal::Unknown)?;
        entry.check(&digest)?;
        let tenant = entry.speaks_for(presented.tenant)?;
        if let Some(key) = entry.caller.api_key_id {
            self.inner.uses.note(entry.tenant.id, key);
        }
        let standing = Some(Standing { credentials: self.clone(), id, digest });
        Ok(Some(Caller { tenant, standing, ..entry.caller.clone() }))
    }

    /// What is known of the credential; `None` = nothing.
    async fn find(&self, id: SecretId) -> Found {
        let Inner { presence, known, unknown, again, strangers, .. } = &*self.inner;
        let known = known.get(&id);
        let lane = match &known {
            Some(entry) => {
                let age = entry.read_at.elapsed();
                if age <= FRESH || presence.is_away() {
                    return Ok(known);
                }
                if age <= USABLE {
                    // It goes on by itself; whoever comes later waits for it, or for the next one.
                    drop(self.read(id, again));
                    return Ok(known);
                }
                again
            }
            None if unknown.contains_key(&id) => return Ok(None),
            None if presence.is_away() => return Err(Refusal::Unavailable),
            None => strangers,
        };
        let reading = self.read(id, lane)?;
        let found = tokio::select! {
            biased;
            found = reading => found,
            () = presence.went_away() => Err(Refusal::Unavailable),
        };
        match (found, known) {
            (Err(Refusal::Unavailable), Some(entry)) if presence.confirm_away().await => Ok(Some(entry)),
            (found, _) => found,
        }
    }

    /// Joins the look-up that is under way, or starts one.
    fn read(&self, id: SecretId, lane: &Lane) -> Result<Reading, Refusal> {
        let mut under_way = self.inner.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = under_way.get(&id) {
            return Ok(reading.clone());
        }
        let place = lane.places.clone().try_acquire_owned().map_err(|_| Refusal::Busy)?;
        let turns = lane.turns.clone();
        let credentials = self.clone();
        // A task of its own: a caller that gives up takes nobody's answer away.
        let task = tokio::spawn(async move {
            let turn = turns.acquire_owned().await;
            let found = credentials.look_up(id).await;
            drop((turn, place));
            credentials.inner.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            found
        });
        let reading = async move { task.await.unwrap_or(Err(Refusal::Internal)) }.boxed().shared();
        under_way.insert(id, reading.clone());
        Ok(reading)
    }

    async fn look_up(&self, id: SecretId) -> Found {
        let Inner { pool, known, unknown, .. } = &*self.inner;
        let read_at = Instant::now();
        let stored = match id.kind {
            SecretKind::ApiKey => find_key(pool, id.as_bytes()).await,
            SecretKind::ViewToken => find_view_token(pool, id.as_bytes()).await,
        };
        match stored {
            Ok(Some(stored)) => {
                let entry = Arc::new(Entry::new(stored, read_at));
                known.insert(id, entry.clone());
                Ok(Some(entry))
            }
            Ok(None) => {
                known.invalidate(&id);
                unknown.insert(id, ());
                Ok(None)
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::Contended(_) | StoreError::TimedOut(_))) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a credential could not be looked up");
                Err(Refusal::Unavailable)
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "unexpected store error");
                Err(Refusal::Internal)
            }
        }
    }
}

impl Entry {
    fn new(stored: StoredCredential, read_at: Instant) -> Self {
        let StoredCredential { digest, tenant, holder, revoked, remaining } = stored;
        let expires_at = remaining.and_then(|remaining| read_at.checked_add(remaining));
        let (caller, granted) = match holder {
            StoredHolder::ApiKey { id, permissions, pinned, granted } => {
                (key_caller(tenant.id, id, Permissions::from_codes(&permissions), pinned), granted)
            }
            StoredHolder::ViewToken { scopes } => {
                let view_scopes = Some(Arc::from(scopes));
                (Caller { tenant: tenant.id, view_scopes, ..Caller::nobody() }, Vec::new())
            }
        };
        Self { digest, tenant, granted, caller, revoked, read_at, expires_at }
    }

    /// Whether whoever shows this digest holds the credential, and it is good.
    fn check(&self, digest: &SecretDigest) -> Result<(), Refusal> {
        if !digest.is(&self.digest) {
            // Nobody is told that the id is right.
            return Err(Refusal::Unknown);
        }
        if self.revoked {
            return Err(Refusal::Revoked);
        }
        match self.expires_at.is_some_and(|end| end <= Instant::now()) {
            true => Err(Refusal::Expired),
            false => Ok(()),
        }
    }

    /// The tenant that is named, where the credential may speak for it; its own where none is.
    fn speaks_for(&self, name: Option<&str>) -> Result<TenantId, Refusal> {
        let Some(name) = name else { return Ok(self.tenant.id) };
        let mut tenants = std::iter::once(&self.tenant).chain(&self.granted);
        tenants.find(|tenant| &*tenant.name == name).map(|tenant| tenant.id).ok_or(Refusal::OtherTenant)
    }
}

fn key_caller(tenant: TenantId, id: Uuid, permissions: Permissions, pinned: Dimensions) -> Caller {
    let stamp = Arc::new(pinned.clone().with(Dimension::ApiKeyId, id.to_string()));
    Caller { tenant, api_key_id: Some(id), permissions, pinned: Arc::new(pinned), stamp, ..Caller::nobody() }
}

/// What a caller stands on, to ask again later.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    credentials: Credentials,
    id: SecretId,
    digest: SecretDigest,
}

impl Standing {
    /// Waits until the credential is good no longer.
    pub(super) async fn ended(&self) -> Refusal {
        loop {
            let next = Instant::now() + FRESH;
            let wake = match self.credentials.find(self.id).await {
                Ok(None) => return Refusal::Unknown,
                Ok(Some(entry)) => {
                    if let Err(refusal) = entry.check(&self.digest) {
                        return refusal;
                    }
                    entry.expires_at.map_or(next, |end| end.min(next))
                }
                // Nothing says that it has ended.
                Err(_) => next,
            };
            sleep_until(wake).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::NewSecret;

    #[test]
    fn look_ups_find_a_connection() {
        // Guesses and what is known, each with its turns.
        assert_eq!(usize::try_from(LOOK_UP_CONNECTIONS).unwrap(), 2 * AT_ONCE);
    }

    /// The promise to operators is five seconds.
    #[test]
    fn what_is_revoked_is_used_for_less_than_five_seconds() {
        assert!(FRESH < USABLE && USABLE < Duration::from_secs(5));
    }

    fn entry(remaining: Option<Duration>, revoked: bool) -> (Entry, SecretDigest) {
        let secret = NewSecret::mint(SecretKind::ApiKey).unwrap();
        let holder = StoredHolder::ApiKey {
            id: Uuid::from_u128(7),
            permissions: vec![1],
            pinned: Dimensions::default().with(Dimension::UserId, "u1"),
            granted: vec![Tenant { id: TenantId(2), name: Arc::from("acme") }],
        };
        let digest = secret.digest.as_bytes().to_vec();
        let stored = StoredCredential { digest, tenant: Tenant::local(), holder, revoked, remaining };
        (Entry::new(stored, Instant::now()), secret.digest)
    }

    #[test]
    fn a_credential_is_good_until_it_expires_or_is_revoked() {
        let (good, digest) = entry(Some(Duration::from_secs(60)), false);
        assert_eq!(good.check(&digest), Ok(()));
        let other = NewSecret::mint(SecretKind::ApiKey).unwrap().digest;
        assert_eq!(good.check(&other), Err(Refusal::Unknown));
        for (remaining, revoked, refusal) in
            [(Some(Duration::ZERO), false, Refusal::Expired), (None, true, Refusal::Revoked)]
        {
            let (bad, digest) = entry(remaining, revoked);
            assert_eq!(bad.check(&digest), Err(refusal));
            assert_eq!(bad.check(&other), Err(Refusal::Unknown), "who lacks the secret learns nothing");
        }
    }

    #[test]
    fn it_speaks_for_its_own_tenant_and_those_that_were_granted() {
        let (entry, _) = entry(None, false);
        assert_eq!(entry.speaks_for(None), Ok(TenantId::LOCAL));
        assert_eq!(entry.speaks_for(Some("local")), Ok(TenantId::LOCAL));
        assert_eq!(entry.speaks_for(Some("acme")), Ok(TenantId(2)));
        assert_eq!(entry.speaks_for(Some("other")), Err(Refusal::OtherTenant));
        assert_eq!(entry.caller.stamp.get(Dimension::UserId), Some("u1"));
        assert!(entry.caller.stamp.get(Dimension::ApiKeyId).is_some());
        assert_eq!(entry.caller.pinned.get(Dimension::ApiKeyId), None);
    }
}
