//! Everything that one lock guards: which scopes are watched, by how many, and what is to be read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::{Entry, EntryId, Serial, SubscriberId};
use super::lanes::{Batch, Lanes, Urgency};
use super::mailbox::Mailbox;
use super::scope::{ScopeHash, WatchedScope};
use crate::tenant::TenantId;

type Key = (TenantId, ScopeHash);

/// The watched scopes and their queue.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By what commits touch, then by window, breakdown and so on.
    entries: HashMap<Key, HashMap<Arc<WatchedScope>, Arc<Entry>>>,
    /// By the time at which their window ends.
    rollovers: BTreeMap<(Instant, EntryId), Arc<Entry>>,
    pub(super) lanes: Lanes,
    pub(super) subscribers: usize,
    subscribers_by_tenant: HashMap<TenantId, usize>,
    watched: usize,
    last_number: u64,
}

impl Table {
    /// How many distinct scopes are watched.
    pub(super) fn watched(&self) -> usize {
        self.watched
    }

    /// Lets a subscriber in, where there is room for it on this replica and among those of its tenant.
    pub(super) fn admit(&mut self, tenant: TenantId, limit: usize, limit_per_tenant: usize) -> bool {
        let of_tenant = self.subscribers_by_tenant.get(&tenant).copied().unwrap_or(0);
        if self.subscribers >= limit || of_tenant >= limit_per_tenant {
            return false;
        }
        self.subscribers += 1;
        self.subscribers_by_tenant.insert(tenant, of_tenant + 1);
        true
    }

    /// A subscriber that was let in is gone.
    pub(super) fn dismiss(&mut self, tenant: TenantId) {
        self.subscribers = self.subscribers.saturating_sub(1);
        let Some(of_tenant) = self.subscribers_by_tenant.get_mut(&tenant) else { return };
        *of_tenant -= 1;
        if *of_tenant == 0 {
            self.subscribers_by_tenant.remove(&tenant);
        }
    }

    /// A number higher than all before.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The present moment, in the order of joining and reading.
    pub(super) fn next_serial(&mut self) -> Serial {
        Serial(self.next_number())
    }

    /// Adds a subscriber to a scope and marks the scope as to be read.
    pub(super) fn join(
        &mut self,
        tenant: TenantId,
        scope: WatchedScope,
        subscriber: SubscriberId,
        position: u8,
        mailbox: Arc<Mailbox>,
    ) -> Arc<Entry> {
        let id = EntryId(self.next_number());
        let siblings = self.entries.entry((tenant, ScopeHash::of(&scope.query.scope))).or_default();
        let entry = if let Some(entry) = siblings.get(&scope) {
            entry.clone()
        } else {
            let scope = Arc::new(scope);
            let entry = Arc::new(Entry::new(id, tenant, scope.clone()));
            siblings.insert(scope, entry.clone());
            self.watched += 1;
            entry
        };
        let now = self.next_serial();
        entry.join(subscriber, position, mailbox, now);
        self.lanes.push(&entry, Urgency::Now);
        entry
    }

    /// Takes a subscriber away from a scope; its last one takes the entry along.
    pub(super) fn leave(&mut self, entry: &Entry, subscriber: SubscriberId, position: u8) {
        if !entry.leave(subscriber, position) {
            return;
        }
        let key = (entry.tenant, entry.hash());
        let Some(siblings) = self.entries.get_mut(&key) else { return };
        if siblings.remove(&entry.scope).is_some() {
            self.watched -= 1;
        }
        if siblings.is_empty() {
            self.entries.remove(&key);
        }
        self.lanes.remove(entry);
        if let Some(at) = entry.set_rollover(None) {
            self.rollovers.remove(&(at, entry.id));
        }
    }

    /// Marks every scope behind a hash; whether there was one.
    pub(super) fn touch(&mut self, tenant: TenantId, hash: ScopeHash) -> bool {
        let Some(siblings) = self.entries.get(&(tenant, hash)) else { return false };
        for entry in siblings.values() {
            self.lanes.push(entry, Urgency::Now);
        }
        true
    }

    /// Marks every scope, behind those that are known to have changed.
    pub(super) fn touch_everything(&mut self) {
        for entry in self.entries.values().flat_map(HashMap::values) {
            self.lanes.push(entry, Urgency::Idle);
        }
    }

    /// Marks every scope of a tenant, behind those that are known to have changed.
    pub(super) fn touch_tenant(&mut self, tenant: TenantId) {
        let of_tenant = self.entries.iter().filter(|((owner, _), _)| *owner == tenant);
        for entry in of_tenant.flat_map(|(_, siblings)| siblings.values()) {
            self.lanes.push(entry, Urgency::Idle);
        }
    }

    /// Has an entry read again at `at`, when its window ends.
    pub(super) fn schedule(&mut self, entry: &Arc<Entry>, at: Option<Instant>) {
        // It may have lost its last subscriber while it was read.
        let siblings = self.entries.get(&(entry.tenant, entry.hash()));
        if siblings.and_then(|siblings| siblings.get(&entry.scope)).is_none_or(|found| found.id != entry.id) {
            return;
        }
        if let Some(earlier) = entry.set_rollover(at) {
            self.rollovers.remove(&(earlier, entry.id));
        }
        if let Some(at) = at {
            self.rollovers.insert((at, entry.id), entry.clone());
        }
    }

    /// The next reading to be made, with the moment at which it begins.
    pub(super) fn start(&mut self, now: Instant, pause: Duration) -> Option<(Serial, Batch)> {
        while let Some(due) = self.rollovers.first_entry().filter(|due| due.key().0 <= now) {
            let entry = due.remove();
            entry.set_rollover(None);
            self.lanes.push(&entry, Urgency::Now);
        }
        let batch = self.lanes.start(now, pause)?;
        Some((self.next_serial(), batch))
    }

    /// When the next window ends.
    pub(super) fn next_rollover(&self) -> Option<Instant> {
        self.rollovers.keys().next().map(|(at, _)| *at)
    }
}
