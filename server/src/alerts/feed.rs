//! Tells those who follow alerts when there are new ones: one reading of positions serves all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::live::Hub;
use crate::store::{StoreError, alerts};
use crate::tenant::TenantId;

/// New alerts are found at least this often, where no notice tells of them.
const POLL: Duration = Duration::from_secs(1);
/// Least time between two readings, so that alerts in between share one.
const PAUSE: Duration = Duration::from_millis(20);

/// Bounds of who follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedSettings {
    /// Most followers of one replica.
    pub followers: usize,
    /// Most of one tenant.
    pub followers_per_tenant: usize,
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self { followers: 1_000, followers_per_tenant: 250 }
    }
}

/// There are too many followers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedFull {
    /// Of all tenants.
    #[error("as many streams of alerts are open on this replica as may be: open it on another")]
    OfReplica,
    /// Of the tenant.
    #[error(
        "as many streams of alerts are open on this replica as one tenant may have: close some, or open it on another"
    )]
    OfTenant,
}

/// The positions of the newest alerts, for the tenants that anybody follows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    all_tenants: PgPool,
    hub: Hub,
    settings: FeedSettings,
    followed: Mutex<HashMap<TenantId, usize>>,
    newest: watch::Sender<HashMap<TenantId, i64>>,
}

impl Feed {
    /// Reads nothing before [`Self::run`] is polled.
    pub fn new(all_tenants: PgPool, hub: Hub, settings: FeedSettings) -> Self {
        let (followed, newest) = (Mutex::default(), watch::Sender::default());
        Self { shared: Arc::new(Shared { all_tenants, hub, settings, followed, newest }) }
    }

    /// Reads the newest positions whenever alerts were raised, until `stop`. To be spawned once.
    pub async fn run(self, stop: CancellationToken) {
        let mut raised = self.shared.hub.alerts_raised();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
                changed = raised.changed() => if changed.is_err() { return },
            }
            self.read().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn read(&self) {
        let tenants: Vec<TenantId> = self.followed().keys().copied().collect();
        if tenants.is_empty() {
            return;
        }
        match self.positions(&tenants).await {
            Ok(positions) => drop(self.shared.newest.send_replace(positions)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "new alerts could not be looked for");
            }
        }
    }

    async fn positions(&self, tenants: &[TenantId]) -> Result<HashMap<TenantId, i64>, StoreError> {
        let mut connection = self.shared.all_tenants.acquire().await?;
        alerts::positions(&mut connection, tenants).await
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.shared.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a tenant's alerts.
    ///
    /// # Errors
    /// [`FeedFull`].
    pub fn follow(&self, tenant: TenantId) -> Result<Follower, FeedFull> {
        let mut followed = self.followed();
        let FeedSettings { followers, followers_per_tenant } = self.shared.settings;
        if followed.get(&tenant).is_some_and(|count| *count >= followers_per_tenant) {
            return Err(FeedFull::OfTenant);
        }
        if followed.values().sum::<usize>() >= followers {
            return Err(FeedFull::OfReplica);
        }
        *followed.entry(tenant).or_default() += 1;
        drop(followed);
        Ok(Follower { feed: self.clone(), tenant, newest: self.shared.newest.subscribe() })
    }
}

/// Somebody who follows a tenant's alerts, until dropped.
#[derive(Debug)]
pub struct Follower {
    feed: Feed,
    tenant: TenantId,
    newest: watch::Receiver<HashMap<TenantId, i64>>,
}

impl Follower {
    /// Waits for alerts beyond a position; says up to which there are some.
    pub async fn beyond(&mut self, position: i64) -> i64 {
        let tenant = self.tenant;
        let newest = |positions: &HashMap<TenantId, i64>| positions.get(&tenant).copied().unwrap_or(0);
        match self.newest.wait_for(|positions| newest(positions) > position).await {
            Ok(positions) => newest(&positions),
            // The feed holds the sender and is held here.
            Err(_) => position,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut followed = self.feed.followed();
        if let Some(count) = followed.get_mut(&self.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                followed.remove(&self.tenant);
            }
        }
    }
}
