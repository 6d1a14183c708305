//! One watched scope with its newest reading.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::mailbox::{Mailbox, lock};
use super::reading::{LiveError, Reading};
use super::scope::{ScopeHash, WatchedScope};
use crate::app::totals::Scope;
use crate::tenant::TenantId;

/// An entry's number, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct EntryId(pub(super) u64);

/// A subscriber's number, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SubscriberId(pub(super) u64);

/// Orders the joining of subscribers and the beginning of readings: a reading that began later sees what the
/// subscriber must see first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Serial(pub(super) u64);

/// One watched scope, shared by everybody who watches it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    pub(super) tenant: TenantId,
    pub(super) scope: Arc<WatchedScope>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Arc<Reading>>,
    /// How often `newest` was replaced.
    publications: u64,
    /// When `newest` was last found to be true.
    as_of: Option<Timestamp>,
    /// When the last successful reading began.
    read: Serial,
    /// When the last subscriber joined.
    joined: Serial,
    subscribers: HashMap<(SubscriberId, u8), Subscriber>,
    /// When its window ends.
    rollover: Option<Instant>,
}

#[derive(Debug)]
struct Subscriber {
    mailbox: Arc<Mailbox>,
    joined: Serial,
}

/// The newest reading of an entry.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) reading: Arc<Reading>,
    /// Rises whenever another one takes its place.
    pub(super) publication: u64,
}

impl Entry {
    pub(super) fn new(id: EntryId, tenant: TenantId, scope: Arc<WatchedScope>) -> Self {
        Self { id, tenant, scope, state: Mutex::default() }
    }

    /// The key that commits touch it by.
    pub(super) fn hash(&self) -> ScopeHash {
        ScopeHash::of(&self.scope.query.scope)
    }

    /// Whether it is a session's lifetime: read from the session's own few rows, never from rollups.
    pub(super) fn is_quick(&self) -> bool {
        let query = &self.scope.query;
        query.window.is_none() && matches!(query.scope, Scope::Session(_) | Scope::RootSession(_))
    }

    /// Adds a subscriber, who is told of the first reading that begins from now on.
    pub(super) fn join(&self, subscriber: SubscriberId, position: u8, mailbox: Arc<Mailbox>, now: Serial) {
        let mut state = lock(&self.state);
        state.joined = now;
        state.subscribers.insert((subscriber, position), Subscriber { mailbox, joined: now });
    }

    /// Takes a subscriber away; whether none is left.
    pub(super) fn leave(&self, subscriber: SubscriberId, position: u8) -> bool {
        let mut state = lock(&self.state);
        state.subscribers.remove(&(subscriber, position));
        state.subscribers.is_empty()
    }

    /// Keeps a reading that began at `began` where it is newer, tells who has not seen it, and says after which time
    /// the scope must be read again.
    pub(super) fn publish(&self, began: Serial, reading: Reading) -> Option<Duration> {
        let stale_after = reading.stale_after();
        let mut state = lock(&self.state);
        let changed = state.newest.as_ref().is_none_or(|newest| reading.supersedes(newest));
        let previous = std::mem::replace(&mut state.read, began);
        state.as_of = state.as_of.max(Some(reading.as_of));
        if changed {
            state.newest = Some(Arc::new(reading));
            state.publications += 1;
        }
        let newcomers = state.joined > previous;
        if changed || newcomers {
            // Who joined after the reading began waits for the next one: this one may lack what he must see.
            let told =
                |subscriber: &&Subscriber| subscriber.joined <= began && (changed || subscriber.joined > previous);
            for ((_, position), subscriber) in state.subscribers.iter().filter(|(_, subscriber)| told(subscriber)) {
                subscriber.mailbox.mark(*position);
            }
        }
        stale_after
    }

    /// Tells those who have not had their first reading that there is none. The others keep the last one.
    pub(super) fn refuse(&self, began: Serial, error: &LiveError) {
        let state = lock(&self.state);
        let newcomer = |subscriber: &&Subscriber| subscriber.joined <= began && subscriber.joined > state.read;
        for subscriber in state.subscribers.values().filter(newcomer) {
            subscriber.mailbox.fail(error.clone());
        }
    }

    /// The newest reading; there is one once a subscriber was told.
    pub(super) fn newest(&self) -> Option<Newest> {
        let state = lock(&self.state);
        let reading = state.newest.clone()?;
        Some(Newest { reading, publication: state.publications })
    }

    /// When the newest reading was last found to be true.
    pub(super) fn as_of(&self) -> Option<Timestamp> {
        lock(&self.state).as_of
    }

    /// Replaces the time of its rollover, and returns the last one.
    pub(super) fn set_rollover(&self, at: Option<Instant>) -> Option<Instant> {
        std::mem::replace(&mut lock(&self.state).rollover, at)
    }
}
