//! What must be read again, and in which order.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::{Entry, EntryId};
use crate::tenant::TenantId;

/// Most scopes that one reading covers.
pub(super) const BATCH_LIMIT: usize = 256;
/// Most scopes of a reading that are read only in case they changed: what changes meanwhile waits for its end.
const IDLE_LIMIT: usize = 64;
/// First and longest wait after the database did not answer.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Scopes that are read together, one reading at a time, so that no tenant waits for another one's, nor a session for
/// a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LaneKey {
    tenant: TenantId,
    quick: bool,
}

/// Why an entry is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody waits for it, or it is known to have changed.
    Now,
    /// In case it changed: after what is urgent.
    Idle,
}

/// Waiting entries, taken in turns.
#[derive(Debug, Default)]
struct Turns {
    waiting: BTreeMap<EntryId, Arc<Entry>>,
    last: EntryId,
}

impl Turns {
    /// Takes up to `limit` entries, from where the last taking ended.
    fn take(&mut self, limit: usize, taken: &mut Vec<Arc<Entry>>) {
        let behind = self.waiting.range((Excluded(self.last), Unbounded));
        let ids: Vec<EntryId> = behind.chain(self.waiting.range(..=self.last)).map(|(id, _)| *id).take(limit).collect();
        self.last = ids.last().copied().unwrap_or(self.last);
        taken.extend(ids.iter().filter_map(|id| self.waiting.remove(id)));
    }
}

#[derive(Debug, Default)]
struct Lane {
    urgent: Turns,
    idle: Turns,
    reading: bool,
    not_before: Option<Instant>,
    failures: u32,
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.urgent.waiting.is_empty() && self.idle.waiting.is_empty()
    }
}

/// One reading to be made.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lane: LaneKey,
    pub(super) tenant: TenantId,
    pub(super) entries: Vec<Arc<Entry>>,
}

/// All lanes with something to read.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<LaneKey, Lane>,
}

fn key(entry: &Entry) -> LaneKey {
    LaneKey { tenant: entry.tenant, quick: entry.is_quick() }
}

impl Lanes {
    /// Marks an entry as to be read.
    pub(super) fn push(&mut self, entry: &Arc<Entry>, urgency: Urgency) {
        let lane = self.lanes.entry(key(entry)).or_default();
        if urgency == Urgency::Now {
            lane.idle.waiting.remove(&entry.id);
            lane.urgent.waiting.insert(entry.id, entry.clone());
        } else if !lane.urgent.waiting.contains_key(&entry.id) {
            lane.idle.waiting.insert(entry.id, entry.clone());
        }
    }

    /// Forgets an entry that nobody watches any more.
    pub(super) fn remove(&mut self, entry: &Entry) {
        if let Some(lane) = self.lanes.get_mut(&key(entry)) {
            lane.urgent.waiting.remove(&entry.id);
            lane.idle.waiting.remove(&entry.id);
        }
    }

    /// When the next reading may begin; `None` = nothing to read.
    pub(super) fn next_time(&self, now: Instant) -> Option<Instant> {
        let ready = self.lanes.values().filter(|lane| !lane.reading && !lane.is_empty());
        ready.map(|lane| lane.not_before.unwrap_or(now)).min()
    }

    /// The next reading to be made, of the lane that has waited longest. The one after it begins `pause` later, so
    /// that changes in between share it; at once where entries are left over.
    pub(super) fn start(&mut self, now: Instant, pause: Duration) -> Option<Batch> {
        self.lanes.retain(|_, lane| lane.reading || !lane.is_empty() || lane.not_before.is_some_and(|at| now < at));
        let ready = self
            .lanes
            .iter_mut()
            .filter(|(_, lane)| !lane.reading && !lane.is_empty() && lane.not_before.is_none_or(|at| at <= now));
        let (key, lane) = ready.min_by_key(|(_, lane)| lane.not_before)?;
        let mut entries = Vec::new();
        lane.urgent.take(BATCH_LIMIT, &mut entries);
        lane.idle.take(BATCH_LIMIT.saturating_sub(entries.len()).min(IDLE_LIMIT), &mut entries);
        lane.reading = true;
        lane.not_before = Some(if lane.is_empty() { now + pause } else { now });
        Some(Batch { lane: *key, tenant: key.tenant, entries })
    }

    /// A reading was answered.
    pub(super) fn succeeded(&mut self, key: LaneKey) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.reading = false;
            lane.failures = 0;
        }
    }

    /// A reading was not answered, because the database is away: the lane pauses. Returns what waits in it.
    pub(super) fn failed(&mut self, key: LaneKey, now: Instant) -> Vec<Arc<Entry>> {
        let Some(lane) = self.lanes.get_mut(&key) else { return Vec::new() };
        lane.reading = false;
        let (first, longest) = BACKOFF;
        let wait = first.saturating_mul(1 << lane.failures.min(16)).min(longest);
        lane.failures = lane.failures.saturating_add(1);
        lane.not_before = Some(now + spread(wait));
        lane.urgent.waiting.values().cloned().collect()
    }
}

/// Up to a quarter longer, so that replicas do not come back all at once.
pub(super) fn spread(wait: Duration) -> Duration {
    wait + rand::random_range(Duration::ZERO..=wait / 4)
}
