//! The meeting point of those who write and those who watch.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tollgate_domain::violation::Violation;

use super::entry::SubscriberId;
use super::mailbox::{Mailbox, POSITIONS_LIMIT, lock};
use super::outbox::Outbox;
use super::reading::{LiveError, ScopeSource};
use super::refresh;
use super::scope::{ScopeHash, Touch, WatchedScope};
use super::settings::HubSettings;
use super::subscription::Subscription;
use super::table::Table;
use crate::tenant::TenantId;

/// The live totals of one replica. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) settings: HubSettings,
    pub(super) source: Box<dyn ScopeSource>,
    pub(super) draining: CancellationToken,
    pub(super) table: Mutex<Table>,
    /// The refresher has something to do.
    pub(super) wake: Notify,
    /// How many distinct scopes are watched, so that a touch of an unwatched server takes no lock.
    pub(super) watched: AtomicUsize,
    pub(super) outbox: Outbox,
    /// Rises when alerts may have been raised.
    alerts: watch::Sender<u64>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hub").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub that reads from `source` until `draining` is cancelled. It reads nothing before [`Self::run`] is polled.
    pub fn new(settings: HubSettings, source: impl ScopeSource, draining: CancellationToken) -> Self {
        let shared = Shared {
            settings,
            source: Box::new(source),
            draining,
            table: Mutex::default(),
            wake: Notify::new(),
            watched: AtomicUsize::new(0),
            outbox: Outbox::default(),
            alerts: watch::Sender::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The refresher: reads what changed and publishes it. To be spawned once; ends when the hub drains.
    pub async fn run(self) {
        refresh::run(&self.shared).await;
    }

    /// Ends all subscriptions when cancelled.
    pub fn draining(&self) -> &CancellationToken {
        &self.shared.draining
    }

    /// How many distinct scopes are watched.
    pub fn watched_scopes(&self) -> usize {
        self.shared.watched.load(Ordering::Relaxed)
    }

    /// How many subscribers there are, long polls included.
    pub fn subscribers(&self) -> usize {
        lock(&self.shared.table).subscribers
    }

    /// Says what a commit touched. To be called after it, never within it.
    pub fn touch(&self, touches: &[Touch]) {
        if touches.iter().any(Touch::is_of_alerts) {
            self.ring_for_alerts();
        }
        let unwatched = self.shared.watched.load(Ordering::SeqCst) == 0;
        if touches.is_empty() || (unwatched && !self.shared.settings.notify) {
            return;
        }
        let scopes: HashSet<(TenantId, ScopeHash)> =
            touches.iter().flat_map(|touch| touch.hashes().map(|hash| (touch.tenant, hash))).collect();
        if !unwatched {
            self.touch_hashes(scopes.iter().copied());
        }
        if self.shared.settings.notify {
            self.shared.outbox.add(scopes);
        }
    }

    /// Marks the scopes behind these hashes.
    pub(super) fn touch_hashes(&self, scopes: impl IntoIterator<Item = (TenantId, ScopeHash)>) {
        let mut table = lock(&self.shared.table);
        let (mut any, mut alerts) = (false, false);
        for (tenant, hash) in scopes {
            any |= table.touch(tenant, hash);
            alerts |= hash == ScopeHash::alerts();
        }
        drop(table);
        if alerts {
            self.ring_for_alerts();
        }
        if any {
            self.shared.wake.notify_one();
        }
    }

    /// Marks every watched scope, because changes may have been missed.
    pub fn touch_everything(&self) {
        lock(&self.shared.table).touch_everything();
        self.shared.wake.notify_one();
        self.ring_for_alerts();
    }

    /// Marks every watched scope of a tenant, whose names may have changed.
    pub fn touch_tenant(&self, tenant: TenantId) {
        lock(&self.shared.table).touch_tenant(tenant);
        self.shared.wake.notify_one();
    }

    /// Changes whenever alerts may have been raised, here or, where notices arrive, on another replica.
    pub fn alerts_raised(&self) -> watch::Receiver<u64> {
        self.shared.alerts.subscribe()
    }

    fn ring_for_alerts(&self) {
        self.shared.alerts.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Watches `scopes` of a tenant; the positions of the subscription are theirs.
    ///
    /// # Errors
    /// [`LiveError::Invalid`] for no or too many scopes, [`LiveError::Full`] for too many subscribers,
    /// [`LiveError::ShuttingDown`].
    pub fn watch(&self, tenant: TenantId, scopes: Vec<WatchedScope>) -> Result<Subscription, LiveError> {
        let limit = self.shared.settings.scopes_limit_per_stream.min(POSITIONS_LIMIT);
        if scopes.is_empty() || scopes.len() > limit {
            let rule = format!("must have 1 to {limit} entries");
            return Err(LiveError::Invalid(vec![Violation::new("scopes", rule)]));
        }
        if self.shared.draining.is_cancelled() {
            return Err(LiveError::ShuttingDown);
        }
        let mailbox = Arc::new(Mailbox::default());
        let mut table = lock(&self.shared.table);
        let HubSettings { subscribers_limit, subscribers_limit_per_tenant, .. } = self.shared.settings;
        if !table.admit(tenant, subscribers_limit, subscribers_limit_per_tenant) {
            return Err(LiveError::Full);
        }
        let id = SubscriberId(table.next_number());
        let entries = (0_u8..)
            .zip(scopes)
            .map(|(position, scope)| table.join(tenant, scope, id, position, mailbox.clone()))
            .collect();
        self.shared.watched.store(table.watched(), Ordering::SeqCst);
        drop(table);
        self.shared.wake.notify_one();
        Ok(Subscription::new(self.shared.clone(), id, mailbox, entries))
    }
}
