//! The bounded queue in front of the writers: a lane for each tenant, served in turns.
//!
//! A tenant fills at most its share, and keeps at most its part of the writers busy, while others are there: who
//! floods waits behind itself. And where a tenant with less than a batch to do is there, those with more let it go first.

mod forming;
mod lane;
mod share;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use self::lane::{Lane, Taken};
use self::share::Pace;
use super::command::Command;
use crate::app::AppError;
use crate::tenant::TenantId;

/// How long a tenant without work still counts as one of those who share: between two calls of a chat it is not gone.
const LINGER: Duration = Duration::from_secs(1);

/// Bounds of the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most commands that wait.
    pub(super) items: usize,
    /// Most that they weigh together.
    pub(super) bytes: usize,
    /// Writers that take from it.
    pub(super) writers: usize,
    /// Most commands of one batch.
    pub(super) batch_items: usize,
}

/// The callers' side.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    shared: Arc<Shared>,
}

/// The writers' side.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    shared: Arc<Shared>,
}

/// Some commands of one tenant, for one transaction.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) tenant: TenantId,
    pub(super) commands: Vec<Command>,
    pub(super) turn: Option<Turn>,
    /// To be dropped when all is answered.
    pub(super) under_way: UnderWay,
}

/// A tenant's turn: until it is dropped, what waits in its lane goes on waiting. A batch keeps it until it has the rows that
/// the next one would wait for, which so takes all that arrived in between, not just what came first. A full batch has none: the
/// next one has enough to take.
#[derive(Debug)]
pub(super) struct Turn {
    tenant: TenantId,
    shared: Arc<Shared>,
}

/// A batch that a writer works on: as long as it lives, it counts against its tenant's part of the writers.
#[derive(Debug)]
pub(super) struct UnderWay {
    tenant: TenantId,
    shared: Arc<Shared>,
    /// `None` = there was nothing to do.
    since: Option<Instant>,
}

/// Places in a tenant's lane, taken before there are commands for them: what is given back is free again.
#[derive(Debug)]
pub(crate) struct Places {
    queue: Queue,
    tenant: TenantId,
    count: usize,
    /// Why there are no more.
    beyond: AppError,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// One permit may wait for a writer that comes: none is lost.
    arrived: Notify,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Lanes in which something waits or is under way, or was until a moment ago.
    lanes: HashMap<TenantId, Lane>,
    /// Tenants whose lanes can be served, longest waiting first.
    ready: VecDeque<TenantId>,
    items: usize,
    /// Places that are taken for commands to come.
    claimed: usize,
    bytes: usize,
    pace: Pace,
    swept: Option<Instant>,
    closed: bool,
}

/// A queue within these bounds.
pub(super) fn bounded(bounds: Bounds) -> (Queue, Intake) {
    let Bounds { items, bytes, writers, batch_items } = bounds;
    let bounds =
        Bounds { items: items.max(1), bytes: bytes.max(1), writers: writers.max(1), batch_items: batch_items.max(1) };
    let shared = Arc::new(Shared { waiting: Mutex::default(), arrived: Notify::new(), bounds });
    (Queue { shared: shared.clone() }, Intake { shared })
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Enqueues, or says at once that there is no room, or that it would wait beyond its `deadline`.
    pub(super) fn push(&self, tenant: TenantId, command: Command, deadline: Option<Instant>) -> Result<(), AppError> {
        self.enqueue(tenant, command, deadline, None)
    }

    /// Enqueues, in a place that was taken before where there is one: until then nobody else has it.
    fn enqueue(
        &self,
        tenant: TenantId,
        command: Command,
        deadline: Option<Instant>,
        place: Option<&mut usize>,
    ) -> Result<(), AppError> {
        let weight = command.weight();
        let now = Instant::now();
        let mut waiting = self.shared.waiting();
        if let Some(places) = place {
            waiting.give_back(tenant, 1.min(*places));
            *places = places.saturating_sub(1);
        }
        waiting.open(&self.shared.bounds, tenant, weight, deadline, now)?;
        waiting.items += 1;
        waiting.bytes += weight;
        waiting.lanes.entry(tenant).or_default().push(command, weight, deadline);
        if waiting.is_new_work(tenant) {
            waiting.be_ready(tenant, now);
            drop(waiting);
            self.shared.arrived.notify_one();
        }
        Ok(())
    }

    /// Says where a command of the tenant would find no room, however small it is.
    pub(super) fn room(&self, tenant: TenantId, deadline: Option<Instant>) -> Result<(), AppError> {
        self.shared.waiting().open(&self.shared.bounds, tenant, 1, deadline, Instant::now())
    }

    /// Takes up to so many places; where there is not one, says so.
    pub(super) fn claim(&self, tenant: TenantId, wanted: usize, deadline: Option<Instant>) -> Result<Places, AppError> {
        let mut waiting = self.shared.waiting();
        waiting.open(&self.shared.bounds, tenant, 1, deadline, Instant::now())?;
        let count = waiting.free_places(&self.shared.bounds, tenant).clamp(1, wanted.max(1));
        let beyond = waiting.above_share(&self.shared.bounds, tenant);
        waiting.claimed += count;
        let lane = waiting.lanes.entry(tenant).or_default();
        lane.claimed += count;
        lane.idle_since = None;
        Ok(Places { queue: self.clone(), tenant, count, beyond })
    }

    /// How many commands wait, and how much they weigh.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let waiting = self.shared.waiting();
        (waiting.items, waiting.bytes)
    }

    /// Takes nothing more. What waits is still served.
    pub(super) fn close(&self) {
        self.shared.waiting().closed = true;
        self.shared.arrived.notify_one();
    }
}

impl Intake {
    /// The next batch: what waits of the tenant whose turn it is, up to what a batch holds. `None` when the queue is closed and
    /// nothing is left.
    pub(super) async fn next_batch(&self) -> Option<Batch> {
        loop {
            let now = Instant::now();
            let found = self.shared.waiting().take(&self.shared.bounds, now);
            match found {
                Found::Commands { tenant, taken, full, more } => {
                    if more {
                        self.shared.arrived.notify_one();
                    }
                    let shared = || self.shared.clone();
                    let turn = Turn { tenant, shared: shared() };
                    let turn = Some(turn).filter(|_| !full);
                    let under_way =
                        UnderWay { tenant, shared: shared(), since: (!taken.commands.is_empty()).then_some(now) };
                    for command in taken.expired {
                        command.answer(Err(AppError::DeadlineExceeded));
                    }
                    return Some(Batch { tenant, commands: taken.commands, turn, under_way });
                }
                Found::Nothing => self.shared.arrived.notified().await,
                Found::Later(wait) => {
                    let _in_time = tokio::time::timeout(wait, self.shared.arrived.notified()).await;
                }
                Found::End => {
                    // The other writers, one after the other.
                    self.shared.arrived.notify_one();
                    return None;
                }
            }
        }
    }
}

enum Found {
    Commands {
        tenant: TenantId,
        taken: Taken,
        /// Whether these are as many as a batch takes.
        full: bool,
        /// Whether others can be served.
        more: bool,
    },
    Nothing,
    /// Only lanes that let others go first, for so long.
    Later(Duration),
    End,
}

impl Waiting {
    /// Those who share the queue, with `tenant`.
    fn tenants_with(&self, tenant: TenantId) -> usize {
        self.lanes.len() + usize::from(!self.lanes.contains_key(&tenant))
    }

    /// What the tenant has of the queue: its places, and the bytes of what waits in them.
    fn held_by(&self, tenant: TenantId) -> (usize, usize) {
        self.lanes.get(&tenant).map_or((0, 0), |lane| (lane.len() + lane.claimed, lane.bytes))
    }

    /// How many batches have to end before what comes now is served, a lone one included.
    fn rounds(&self, bounds: &Bounds, tenant: TenantId) -> usize {
        let waiting = self.lanes.get(&tenant).map_or(0, Lane::len);
        let batches = waiting / share::batch_limit(bounds.batch_items, self.tenants_with(tenant));
        (batches + 1) * self.ready.len().div_ceil(bounds.writers).max(1)
    }

    /// What a tenant is told that has its share.
    fn above_share(&self, bounds: &Bounds, tenant: TenantId) -> AppError {
        let retry_after = self.pace.retry_after(self.rounds(bounds, tenant));
        AppError::Full { what: "this tenant's share of the ledger's queue", retry_after }
    }

    /// How many more commands of the tenant have a place.
    fn free_places(&self, bounds: &Bounds, tenant: TenantId) -> usize {
        let share = share::share(bounds.items, self.tenants_with(tenant));
        let (items, _) = self.held_by(tenant);
        share.saturating_sub(items).min(bounds.items.saturating_sub(self.items + self.claimed))
    }

    /// Whether it takes one more command of this weight, for which its caller waits until the `deadline`.
    fn open(
        &mut self,
        bounds: &Bounds,
        tenant: TenantId,
        weight: usize,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<(), AppError> {
        if self.closed {
            return Err(AppError::ShuttingDown);
        }
        self.sweep(now);
        self.admit(bounds, tenant, weight, deadline.map(|deadline| deadline - now))
    }

    /// So many places of the tenant are free again.
    fn give_back(&mut self, tenant: TenantId, places: usize) {
        self.claimed = self.claimed.saturating_sub(places);
        if let Some(lane) = self.lanes.get_mut(&tenant) {
            lane.claimed = lane.claimed.saturating_sub(places);
        }
    }

    /// Whether there is room for one more command of this weight, and time: `left` is what its caller waits.
    fn admit(&self, bounds: &Bounds, tenant: TenantId, weight: usize, left: Option<Duration>) -> Result<(), AppError> {
        let tenants = self.tenants_with(tenant);
        let (items, bytes) = self.held_by(tenant);
        let is_empty = self.lanes.get(&tenant).is_none_or(Lane::is_empty);
        let is_full = self.items + self.claimed >= bounds.items || self.bytes.saturating_add(weight) > bounds.bytes;
        // The first one of a lane is let in while there is room at all.
        let is_above_share = items > 0 && items >= share::share(bounds.items, tenants)
            || !is_empty && bytes.saturating_add(weight) > share::share(bounds.bytes, tenants);
        let rounds = self.rounds(bounds, tenant);
        if is_full {
            return Err(AppError::Full { what: "the ledger's queue", retry_after: self.pace.retry_after(rounds) });
        }
        if is_above_share {
            return Err(self.above_share(bounds, tenant));
        }
        // Only where something waits: an empty lane's first command is what the pace is measured by.
        if !is_empty && left.is_some_and(|left| left < self.pace.expected(rounds)) {
            return Err(AppError::TooSlow { retry_after: self.pace.retry_after(rounds) });
        }
        Ok(())
    }

    /// Forgets lanes in which nothing happened for a while.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + LINGER / 4) {
            return;
        }
        self.swept = Some(now);
        self.lanes.retain(|_, lane| lane.idle_since.is_none_or(|since| now < since + LINGER));
    }

    /// Whether the lane was empty before its latest command, and nobody comes back to it by himself.
    fn is_new_work(&self, tenant: TenantId) -> bool {
        self.lanes.get(&tenant).is_some_and(|lane| lane.len() == 1 && !lane.turn_taken)
    }

    /// Puts the lane at the end of those that can be served.
    fn be_ready(&mut self, tenant: TenantId, now: Instant) {
        self.ready.push_back(tenant);
        if let Some(lane) = self.lanes.get_mut(&tenant) {
            lane.ready_since = Some(now);
        }
    }

    fn is_finished(&self) -> bool {
        self.closed && self.lanes.values().all(|lane| lane.is_empty() && !lane.turn_taken)
    }

    fn take(&mut self, bounds: &Bounds, now: Instant) -> Found {
        self.sweep(now);
        let tenants = self.lanes.len();
        let limit = share::batch_limit(bounds.batch_items, tenants);
        let most = share::writers_of_one(bounds.writers, tenants);
        let can_be_served = |tenant: &TenantId| self.lanes.get(tenant).filter(|lane| lane.under_way < most);
        let is_light_there = self.lanes.values().any(|lane| lane.under_way > 0 && lane.len() < limit)
            || self.ready.iter().filter_map(can_be_served).any(|lane| lane.len() < limit);
        let wait = |tenant: &TenantId| {
            let lane = can_be_served(tenant)?;
            let lets_others_go_first = is_light_there && lane.len() >= limit;
            Some(if lets_others_go_first { lane.courtesy_left(now) } else { Duration::ZERO })
        };
        let Some(place) = self.ready.iter().position(|tenant| wait(tenant) == Some(Duration::ZERO)) else {
            let nothing = if self.is_finished() { Found::End } else { Found::Nothing };
            return self.ready.iter().filter_map(wait).min().map_or(nothing, Found::Later);
        };
        let Some(tenant) = self.ready.remove(place) else { return Found::Nothing };
        let lane = self.lanes.entry(tenant).or_default();
        lane.turn_taken = true;
        lane.under_way += 1;
        let taken = lane.take(limit, now);
        self.items = self.items.saturating_sub(taken.items);
        self.bytes = self.bytes.saturating_sub(taken.bytes);
        Found::Commands { tenant, full: taken.commands.len() >= limit, taken, more: !self.ready.is_empty() }
    }

    /// Notes where a lane came to rest.
    fn rest(&mut self, tenant: TenantId) {
        if let Some(lane) = self.lanes.get_mut(&tenant)
            && lane.is_idle()
        {
            lane.idle_since = Some(Instant::now());
        }
    }
}

impl Places {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// What whoever has none is told.
    pub(crate) fn beyond(&self) -> AppError {
        self.beyond.clone()
    }

    /// Enqueues a command in one of them.
    pub(super) fn push(&mut self, command: Command, deadline: Option<Instant>) -> Result<(), AppError> {
        self.queue.enqueue(self.tenant, command, deadline, Some(&mut self.count))
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut waiting = self.queue.shared.waiting();
        waiting.give_back(self.tenant, self.count);
        // Whoever had nothing to enqueue is none of those who share.
        if waiting.lanes.get(&self.tenant).is_some_and(|lane| lane.is_idle() && lane.is_new()) {
            waiting.lanes.remove(&self.tenant);
        }
        waiting.rest(self.tenant);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting();
        let Some(lane) = waiting.lanes.get_mut(&self.tenant) else { return };
        lane.turn_taken = false;
        if lane.is_empty() {
            waiting.rest(self.tenant);
            if !waiting.closed {
                return;
            }
        } else {
            waiting.be_ready(self.tenant, Instant::now());
        }
        drop(waiting);
        self.shared.arrived.notify_one();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting();
        if let Some(since) = self.since {
            waiting.pace.took(since.elapsed());
        }
        let Some(lane) = waiting.lanes.get_mut(&self.tenant) else { return };
        lane.under_way = lane.under_way.saturating_sub(1);
        waiting.rest(self.tenant);
        let more = !waiting.ready.is_empty() || waiting.closed;
        drop(waiting);
        if more {
            // It may have been this batch that kept its lane from being served.
            self.shared.arrived.notify_one();
        }
    }
}
