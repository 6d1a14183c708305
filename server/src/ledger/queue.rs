//! The bounded queue in front of the writers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
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

/// A command that waits, with the room that it takes.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) tenant: TenantId,
    pub(super) command: Command,
    _room: OwnedSemaphorePermit,
}

/// The callers' side.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    sender: Arc<Mutex<Option<mpsc::Sender<Queued>>>>,
    bytes: Arc<Semaphore>,
}

/// The writers' side.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    waiting: Arc<tokio::sync::Mutex<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    receiver: mpsc::Receiver<Queued>,
    /// What an earlier batch had to leave, in order of arrival.
    left: VecDeque<Queued>,
}

/// A queue of at most `items` commands that together weigh at most `bytes`.
pub(super) fn bounded(items: usize, bytes: usize) -> (Queue, Intake) {
    let (sender, receiver) = mpsc::channel(items.max(1));
    let queue = Queue { sender: Arc::new(Mutex::new(Some(sender))), bytes: Arc::new(Semaphore::new(bytes.max(1))) };
    let waiting = Waiting { receiver, left: VecDeque::new() };
    (queue, Intake { waiting: Arc::new(tokio::sync::Mutex::new(waiting)) })
}

impl Queue {
    /// Enqueues, or says at once that there is no room.
    pub(super) fn push(&self, tenant: TenantId, command: Command) -> Result<(), AppError> {
        let full = || AppError::Full { what: "the ledger's queue", retry_after: RETRY_AFTER };
        let weight = u32::try_from(command.weight()).unwrap_or(u32::MAX);
        let room = self.bytes.clone().try_acquire_many_owned(weight).map_err(|_| full())?;
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.as_ref().ok_or(AppError::ShuttingDown)?;
        sender.try_send(Queued { tenant, command, _room: room }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => full(),
            mpsc::error::TrySendError::Closed(_) => AppError::ShuttingDown,
        })
    }

    /// Takes nothing more. What waits is still served.
    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Intake {
    /// The next batch: everything that waits, up to `limit` commands of one tenant. `None` when the queue is closed and
    /// empty.
    pub(super) async fn next_batch(&self, limit: usize) -> Option<(TenantId, Vec<Command>)> {
        let mut waiting = self.waiting.lock().await;
        let first = match waiting.left.pop_front() {
            Some(first) => first,
            None => waiting.receiver.recv().await?,
        };
        let mut batch = Forming::new(first);
        let mut passed_over = VecDeque::new();
        while batch.commands.len() < limit {
            let next = match waiting.left.pop_front() {
                Some(next) => next,
                None => match waiting.receiver.try_recv() {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            if let Some(refused) = batch.offer(next) {
                passed_over.push_back(refused);
                if passed_over.len() >= limit {
                    break;
                }
            }
        }
        // What was passed over arrived before what was never looked at.
        while let Some(queued) = passed_over.pop_back() {
            waiting.left.push_front(queued);
        }
        Some((batch.tenant, batch.commands))
    }
}

/// What a batch's commands do with a reservation: many events may settle one, but a check, an extension, a release or
/// an expiry is alone with it, so that each sees the committed state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Shared,
    Alone,
}

struct Forming {
    tenant: TenantId,
    commands: Vec<Command>,
    reservations: HashMap<Uuid, Access>,
    /// Reservations of commands that were passed over: later ones wait behind them.
    blocked: HashSet<Uuid>,
    /// Events and requests of corrections: two of the same never share a batch, so that each sees the committed state.
    corrected: HashSet<Uuid>,
}

impl Forming {
    fn new(first: Queued) -> Self {
        let mut forming = Self {
            tenant: first.tenant,
            commands: Vec::new(),
            reservations: HashMap::new(),
            blocked: HashSet::new(),
            corrected: HashSet::new(),
        };
        forming.take(first.command);
        forming
    }

    /// Takes the command, or gives it back where it must wait for the next batch.
    fn offer(&mut self, queued: Queued) -> Option<Queued> {
        if queued.tenant != self.tenant {
            return Some(queued);
        }
        if let Some(id) = queued.command.reservation_id() {
            let together = match self.reservations.get(&id) {
                None => true,
                Some(access) => *access == Access::Shared && access_of(&queued.command) == Access::Shared,
            };
            if !together || self.blocked.contains(&id) {
                self.blocked.insert(id);
                return Some(queued);
            }
        }
        if let Some(adjust) = queued.command.adjust() {
            let ids: Vec<Uuid> = corrected_ids(adjust).collect();
            let room = self.corrected.len() + ids.len() <= CORRECTED_LIMIT;
            if !room || ids.iter().any(|id| self.corrected.contains(id)) {
                // Later ones of the same events wait behind it.
                self.corrected.extend(ids);
                return Some(queued);
            }
        }
        self.take(queued.command);
        None
    }

    fn take(&mut self, command: Command) {
        if let Some(id) = command.reservation_id() {
            self.reservations.insert(id, access_of(&command));
        }
        if let Some(adjust) = command.adjust() {
            self.corrected.extend(corrected_ids(adjust));
        }
        self.commands.push(command);
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
    use super::*;

    fn release(id: u128) -> (Command, tokio::sync::oneshot::Receiver<Result<super::super::ReleaseAnswer, AppError>>) {
        let (reply, answer) = tokio::sync::oneshot::channel();
        (Command::Release { id: Uuid::from_u128(id), reason: String::new(), reply }, answer)
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
        let ids = |commands: Vec<Command>| -> Vec<u128> {
            commands.iter().filter_map(|command| Some(command.reservation_id()?.as_u128())).collect()
        };
        assert_eq!(ids(intake.next_batch(10).await.unwrap().1), [1, 2]);
        assert_eq!(ids(intake.next_batch(10).await.unwrap().1), [1]);
        assert!(intake.next_batch(10).await.is_none());
    }
}
