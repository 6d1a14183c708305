//! The bounded queue in front of the writers: a lane for each tenant, served in turns.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tollgate_domain::tokens::UsageQuality;
use uuid::Uuid;

use super::adjust::Adjust;
use super::command::Command;
use crate::app::AppError;
use crate::tenant::TenantId;

/// When a caller should try again after the queue was full: a few commits later.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Most events and requests of the corrections of one batch.
const CORRECTED_LIMIT: usize = 500;

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
}

/// A tenant's turn: until it is dropped, what waits in its lane goes on waiting. A batch keeps it until it has the rows that
/// the next one would wait for, which so takes all that arrived in between, not just what came first. A full batch has none: the
/// next one has enough to take.
#[derive(Debug)]
pub(super) struct Turn {
    tenant: TenantId,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// One permit may wait for a writer that comes: none is lost.
    arrived: Notify,
    items_limit: usize,
    bytes_limit: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Lanes in which something waits, or whose turn is taken.
    lanes: HashMap<TenantId, Lane>,
    /// Tenants whose lanes can be served, longest waiting first.
    ready: VecDeque<TenantId>,
    items: usize,
    bytes: usize,
    closed: bool,
}

#[derive(Debug, Default)]
struct Lane {
    commands: VecDeque<Command>,
    turn_taken: bool,
}

/// A queue of at most `items` commands that together weigh at most `bytes`.
pub(super) fn bounded(items: usize, bytes: usize) -> (Queue, Intake) {
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        arrived: Notify::new(),
        items_limit: items.max(1),
        bytes_limit: bytes.max(1),
    });
    (Queue { shared: shared.clone() }, Intake { shared })
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Enqueues, or says at once that there is no room.
    pub(super) fn push(&self, tenant: TenantId, command: Command) -> Result<(), AppError> {
        let weight = command.weight();
        let mut waiting = self.shared.waiting();
        if waiting.closed {
            return Err(AppError::ShuttingDown);
        }
        if waiting.items >= self.shared.items_limit || waiting.bytes.saturating_add(weight) > self.shared.bytes_limit {
            return Err(AppError::Full { what: "the ledger's queue", retry_after: RETRY_AFTER });
        }
        waiting.items += 1;
        waiting.bytes += weight;
        let lane = waiting.lanes.entry(tenant).or_default();
        lane.commands.push_back(command);
        if lane.commands.len() == 1 && !lane.turn_taken {
            waiting.ready.push_back(tenant);
            drop(waiting);
            self.shared.arrived.notify_one();
        }
        Ok(())
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
    /// The next batch: everything that waits of the tenant whose turn it is, up to `limit` commands. `None` when the queue is
    /// closed and nothing is left.
    pub(super) async fn next_batch(&self, limit: usize) -> Option<Batch> {
        loop {
            let found = self.shared.waiting().take(limit);
            match found {
                Found::Commands { tenant, commands, full, more } => {
                    if more {
                        self.shared.arrived.notify_one();
                    }
                    let turn = Turn { tenant, shared: self.shared.clone() };
                    let turn = Some(turn).filter(|_| !full);
                    return Some(Batch { tenant, commands, turn });
                }
                Found::Nothing => self.shared.arrived.notified().await,
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
        commands: Vec<Command>,
        /// Whether these are as many as a batch takes.
        full: bool,
        /// Whether others can be served.
        more: bool,
    },
    Nothing,
    End,
}

impl Waiting {
    fn take(&mut self, limit: usize) -> Found {
        let Some(tenant) = self.ready.pop_front() else {
            return if self.closed && self.lanes.is_empty() { Found::End } else { Found::Nothing };
        };
        let lane = self.lanes.entry(tenant).or_default();
        lane.turn_taken = true;
        let commands = Forming::of(&mut lane.commands, limit);
        self.items = self.items.saturating_sub(commands.len());
        self.bytes = self.bytes.saturating_sub(commands.iter().map(Command::weight).sum());
        Found::Commands { tenant, full: commands.len() >= limit, commands, more: !self.ready.is_empty() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting();
        let Some(lane) = waiting.lanes.get_mut(&self.tenant) else { return };
        lane.turn_taken = false;
        if lane.commands.is_empty() {
            waiting.lanes.remove(&self.tenant);
            if !waiting.closed {
                return;
            }
        } else {
            waiting.ready.push_back(self.tenant);
        }
        drop(waiting);
        self.shared.arrived.notify_one();
    }
}

/// What a batch's commands do with a reservation: many events may settle one, but a check, an extension, a release or
/// an expiry is alone with it, so that each sees the committed state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Shared,
    Alone,
}

#[derive(Default)]
struct Forming {
    commands: Vec<Command>,
    reservations: HashMap<Uuid, Access>,
    /// Reservations of commands that were passed over: later ones wait behind them.
    blocked: HashSet<Uuid>,
    /// Events and requests of corrections: two of the same never share a batch, so that each sees the committed state.
    corrected: HashSet<Uuid>,
}

impl Forming {
    /// Takes what can share a batch, up to `limit` commands; what cannot stays in its place.
    fn of(lane: &mut VecDeque<Command>, limit: usize) -> Vec<Command> {
        let mut forming = Self::default();
        let mut passed_over = VecDeque::new();
        while forming.commands.len() < limit && passed_over.len() < limit {
            let Some(next) = lane.pop_front() else { break };
            passed_over.extend(forming.offer(next));
        }
        // What was passed over arrived before what was never looked at.
        while let Some(command) = passed_over.pop_back() {
            lane.push_front(command);
        }
        forming.commands
    }

    /// Takes the command, or gives it back where it must wait for the next batch.
    fn offer(&mut self, command: Command) -> Option<Command> {
        if let Some(id) = command.reservation_id() {
            let together = match self.reservations.get(&id) {
                None => true,
                Some(access) => *access == Access::Shared && access_of(&command) == Access::Shared,
            };
            if !together || self.blocked.contains(&id) {
                self.blocked.insert(id);
                return Some(command);
            }
        }
        if let Some(adjust) = command.adjust() {
            let ids: Vec<Uuid> = corrected_ids(adjust).collect();
            let room = self.corrected.is_empty() || self.corrected.len() + ids.len() <= CORRECTED_LIMIT;
            if !room || ids.iter().any(|id| self.corrected.contains(id)) {
                // Later ones of the same events wait behind it.
                self.corrected.extend(ids);
                return Some(command);
            }
            self.corrected.extend(ids);
        }
        if let Some(id) = command.reservation_id() {
            self.reservations.insert(id, access_of(&command));
        }
        self.commands.push(command);
        None
    }
}
/// The events that it corrects, and its request.
fn corrected_ids(adjust: &Adjust) -> impl Iterator<Item = Uuid> {
    adjust.corrections.iter().map(|correction| correction.event_id).chain([adjust.key.request_id])
}

/// An event whose usage nobody knows is charged what others left: it has to see them committed.
fn access_of(command: &Command) -> Access {
    match command {
        Command::Record(record, _) => {
            let unknown = record.event.usage.as_ref().is_some_and(|usage| usage.quality == UsageQuality::Unknown);
            if unknown { Access::Alone } else { Access::Shared }
        }
        _ => Access::Alone,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn release(id: u128) -> (Command, tokio::sync::oneshot::Receiver<Result<super::super::ReleaseAnswer, AppError>>) {
        let (reply, answer) = super::super::command::Reply::new();
        (Command::Release { id: Uuid::from_u128(id), reason: String::new(), reply }, answer)
    }

    fn ids(commands: &[Command]) -> Vec<u128> {
        commands.iter().filter_map(|command| Some(command.reservation_id()?.as_u128())).collect()
    }

    #[tokio::test]
    async fn invariant_10_a_full_queue_says_so_at_once() {
        let (queue, _intake) = bounded(1, 1 << 20);
        queue.push(TenantId::LOCAL, release(1).0).unwrap();
        assert!(matches!(queue.push(TenantId::LOCAL, release(2).0), Err(AppError::Full { .. })));
        let (queue, _intake) = bounded(10, 1);
        assert!(matches!(queue.push(TenantId::LOCAL, release(1).0), Err(AppError::Full { .. })));
        queue.close();
    }

    #[tokio::test]
    async fn two_changes_of_one_reservation_never_share_a_batch() {
        let (queue, intake) = bounded(10, 1 << 20);
        for id in [1, 1, 2] {
            queue.push(TenantId::LOCAL, release(id).0).unwrap();
        }
        queue.close();
        let next = async || intake.next_batch(10).await.map(|batch| ids(&batch.commands));
        assert_eq!(next().await.unwrap(), [1, 2]);
        assert_eq!(next().await.unwrap(), [1]);
        assert!(next().await.is_none());
    }

    #[tokio::test]
    async fn what_arrives_during_a_turn_shares_the_next_batch() {
        let (queue, intake) = bounded(10, 1 << 20);
        queue.push(TenantId::LOCAL, release(1).0).unwrap();
        let first = intake.next_batch(10).await.unwrap();
        for id in [2, 3] {
            queue.push(TenantId::LOCAL, release(id).0).unwrap();
        }
        let mut second = std::pin::pin!(intake.next_batch(10));
        assert!(second.as_mut().now_or_never().is_none(), "its tenant's turn is taken");
        drop(first.turn);
        assert_eq!(ids(&second.await.unwrap().commands), [2, 3]);
    }

    #[tokio::test]
    async fn a_tenant_whose_turn_lasts_holds_up_no_other() {
        let (queue, intake) = bounded(10, 1 << 20);
        let other = TenantId(2);
        for (tenant, id) in [(TenantId::LOCAL, 1), (TenantId::LOCAL, 2), (other, 3)] {
            queue.push(tenant, release(id).0).unwrap();
        }
        let one = intake.next_batch(10).await.unwrap();
        let two = intake.next_batch(10).await.unwrap();
        assert_eq!((one.tenant, two.tenant), (TenantId::LOCAL, other));
        for (tenant, id) in [(TenantId::LOCAL, 4), (other, 5)] {
            queue.push(tenant, release(id).0).unwrap();
        }
        drop(two.turn);
        drop(one.turn);
        assert_eq!(intake.next_batch(10).await.unwrap().tenant, other, "who is free first is served first");
    }

    #[tokio::test]
    async fn behind_a_full_batch_the_next_one_follows_at_once() {
        let (queue, intake) = bounded(10, 1 << 20);
        for id in [1, 2, 3] {
            queue.push(TenantId::LOCAL, release(id).0).unwrap();
        }
        let first = intake.next_batch(2).await.unwrap();
        let second = intake.next_batch(2).await.unwrap();
        assert_eq!([ids(&first.commands), ids(&second.commands)], [vec![1, 2], vec![3]]);
    }

    #[tokio::test]
    async fn all_writers_end_when_a_closed_queue_is_empty() {
        let (queue, intake) = bounded(10, 1 << 20);
        queue.push(TenantId::LOCAL, release(1).0).unwrap();
        let last = intake.next_batch(10).await.unwrap();
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let intake = intake.clone();
                tokio::spawn(async move { intake.next_batch(10).await.is_none() })
            })
            .collect();
        queue.close();
        assert!(matches!(queue.push(TenantId::LOCAL, release(2).0), Err(AppError::ShuttingDown)));
        drop(last.turn);
        for writer in writers {
            assert!(writer.await.unwrap());
        }
    }
}
