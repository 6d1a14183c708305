//! What callers meant to record, and what they know of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tollgate_client::v1;
use uuid::Uuid;

use crate::requests::{id_of, tokens_of};

/// An event that a caller sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its input tokens.
    pub(crate) tokens: i64,
    /// Whether it was acknowledged; else it is recorded or not.
    pub(crate) acked: bool,
}

/// Shared by all callers of a scenario.
#[derive(Debug, Default)]
pub(crate) struct History {
    state: Mutex<State>,
    operations: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    events: HashMap<Uuid, Told>,
    holds: Vec<Uuid>,
    broken: Vec<String>,
}

impl History {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event is about to be sent for the first time.
    pub(crate) fn intend(&self, event: &v1::UsageEvent) {
        if let Some(id) = id_of(event) {
            self.lock().events.insert(id, Told { tokens: tokens_of(event), acked: false });
        }
        self.count();
    }

    /// The event was acknowledged.
    pub(crate) fn acked(&self, event_id: Uuid) {
        if let Some(told) = self.lock().events.get_mut(&event_id) {
            told.acked = true;
        }
    }

    /// A hold was acknowledged.
    pub(crate) fn held(&self, reservation_id: &str) {
        if let Ok(id) = Uuid::parse_str(reservation_id) {
            self.lock().holds.push(id);
        }
    }

    /// One more operation.
    pub(crate) fn count(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// A caller saw what must not be.
    pub(crate) fn broken(&self, what: String) {
        self.lock().broken.push(what);
    }

    /// How many operations there were.
    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Events that were acknowledged, and events whose fate nobody knows.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.lock();
        let acked = state.events.values().filter(|told| told.acked).count();
        (acked as u64, (state.events.len() - acked) as u64)
    }

    /// Everything that was sent.
    pub(crate) fn events(&self) -> HashMap<Uuid, Told> {
        self.lock().events.clone()
    }

    /// Every hold that was acknowledged.
    pub(crate) fn holds(&self) -> Vec<Uuid> {
        self.lock().holds.clone()
    }

    /// What callers saw that must not be.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().broken.clone()
    }
}
