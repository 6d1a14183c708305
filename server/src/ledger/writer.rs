//! A writer: takes batches, runs their transactions, and answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rand::Rng as _;
use tracing::Instrument as _;

use super::Shared;
use super::batch::{self, BatchError};
use super::command::Command;
use super::queue::{Batch, Intake, Turn};
use super::withdrawals::Withdrawal;
use crate::app::AppError;
use crate::metrics::BatchRetry;
use crate::store::StoreError;
use crate::tenant::TenantId;
use crate::trace;

/// Longest wait between two tries of a batch.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Runs until the queue is closed and empty.
pub(super) async fn run(shared: Arc<Shared>, intake: Intake) {
    while let Some(batch) = intake.next_batch().await {
        flush(&shared, batch).await;
    }
}

/// Commits the commands; those that are only tried out have a transaction of their own, after the others. A batch that fails on
/// its data is halved until the bad command fails alone.
async fn flush(shared: &Shared, batch: Batch) {
    let Batch { tenant, commands, mut turn, under_way } = batch;
    let commands = commands.into_iter().filter(|command| !command.is_abandoned()).map(|mut command| {
        command.taken();
        command
    });
    let (rehearsals, commands): (Vec<Command>, Vec<Command>) = commands.partition(Command::is_rehearsal);
    let mut work: Vec<Vec<Command>> = rehearsals.into_iter().map(|rehearsal| vec![rehearsal]).collect();
    work.push(commands);
    while let Some(mut commands) = work.pop() {
        if commands.is_empty() {
            continue;
        }
        let span = trace::batch(commands.len(), commands.iter().map(Command::trace));
        match commit(shared, tenant, &mut commands, &mut turn).instrument(span).await {
            Ok(done) => {
                shared.hub.touch(&done.touches);
                let told_before = done.now.checked_add(SignedDuration::from_micros(1)).unwrap_or(done.now);
                for (command, answer) in commands.into_iter().zip(done.answers) {
                    if let Some(id) = command.answer(answer) {
                        shared.note_withdrawal(Withdrawal { tenant, id, told_before });
                    }
                }
            }
            Err(error) if commands.len() > 1 && error.is_data() => {
                let second = commands.split_off(commands.len() / 2);
                work.push(second);
                work.push(commands);
            }
            Err(error) => {
                for command in commands {
                    command.answer(Err(error.to_app()));
                }
            }
        }
    }
    drop(under_way);
}

/// Tries the transaction until its outcome is known or `retry_for` is over. An unknown outcome repeats the whole batch:
/// its keys make that harmless. Checks that were answered without the database meanwhile are left out.
async fn commit(
    shared: &Shared,
    tenant: TenantId,
    commands: &mut Vec<Command>,
    turn: &mut Option<Turn>,
) -> Result<batch::Done, BatchError> {
    let began = Instant::now();
    let deadline = began + shared.settings.retry_for;
    let mut pause = Duration::from_millis(5);
    loop {
        let left = shared.patience().min(deadline.saturating_duration_since(Instant::now()));
        if tokio::time::timeout(left, shared.presence.came_back()).await.is_err() {
            return Err(StoreError::unanswered().into());
        }
        let outages = shared.presence.outages();
        if shared.outages_seen.load(Ordering::Acquire) != outages {
            // First, so that no other writer takes what is remembered for fresh.
            shared.forget();
            shared.outages_seen.store(outages, Ordering::Release);
        }
        commands.retain(|command| !command.is_given_up());
        let error = match batch::run(shared, tenant, commands, turn).await {
            Ok(done) => {
                shared.presence.committed();
                shared.metrics.ledger.committed(commands.len(), began.elapsed());
                return Ok(done);
            }
            Err(error) => error,
        };
        if matches!(error, BatchError::Store(StoreError::Unavailable(_))) {
            shared.forget();
            shared.presence.suspect();
        }
        let Some(reason) = error.retry().filter(|_| Instant::now() < deadline) else { return Err(error) };
        shared.metrics.ledger.retried(reason);
        tracing::warn!(error = &error as &dyn std::error::Error, commands = commands.len(), "a batch is tried again");
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl BatchError {
    /// Why the same batch may succeed later, where it may.
    fn retry(&self) -> Option<BatchRetry> {
        match self {
            Self::Raced | Self::Repeated => Some(BatchRetry::Raced),
            Self::Store(StoreError::Contended(_)) => Some(BatchRetry::Contended),
            Self::Store(StoreError::Unavailable(_)) => Some(BatchRetry::Unavailable),
            Self::Store(StoreError::TimedOut(_)) => Some(BatchRetry::TimedOut),
            Self::Store(_) | Self::Amount(_) | Self::Command(_) | Self::Unsettled(_) => None,
        }
    }

    /// Whether a part of the batch may succeed where the whole does not.
    fn is_data(&self) -> bool {
        matches!(self, Self::Store(StoreError::Data(_) | StoreError::Text(_)) | Self::Amount(_) | Self::Command(_))
    }

    fn to_app(&self) -> AppError {
        match self {
            Self::Raced | Self::Repeated | Self::Unsettled(_) => AppError::Unavailable,
            Self::Amount(_) => AppError::invalid("event", "its cost would lift a sum above what can be held"),
            Self::Command(what) => {
                tracing::error!(what, "a command cannot be applied");
                AppError::Internal
            }
            Self::Store(StoreError::Text(_)) => AppError::invalid("event", "must not contain NUL characters"),
            Self::Store(error @ StoreError::Data(_)) => {
                tracing::error!(error = error as &dyn std::error::Error, "the database refused a command's data");
                AppError::Internal
            }
            // What this version cannot read, another replica may: the caller tries again.
            Self::Store(
                StoreError::Contended(_)
                | StoreError::Unavailable(_)
                | StoreError::TimedOut(_)
                | StoreError::Unreadable { .. },
            ) => AppError::Unavailable,
            Self::Store(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "a batch failed");
                AppError::Internal
            }
        }
    }
}
