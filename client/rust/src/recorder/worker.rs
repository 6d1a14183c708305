//! Sends what is queued until it is accepted.

use std::sync::Arc;
use std::time::Duration;

use tonic::Code;

use super::queue::{Fate, Queue, Waiting};
use super::rejection::{OnRejected, Rejection, report};
use crate::batch::{MAX_BYTES, too_large};
use crate::client::Client;
use crate::failure::Failure;
use crate::record::ItemOutcome;
use crate::refusal::Refusal;

/// The task of a recorder: one batch under way at a time, while the next one forms.
pub(super) struct Worker {
    client: Client,
    queue: Arc<Queue>,
    linger: Duration,
    on_rejected: Option<OnRejected>,
}

impl Worker {
    pub(super) fn new(client: Client, queue: Arc<Queue>, linger: Duration, on_rejected: Option<OnRejected>) -> Self {
        Self { client, queue, linger, on_rejected }
    }

    /// Runs until the queue is closed and empty.
    pub(super) async fn run(self) {
        let mut lone = true;
        while self.queue.wait_for_some().await {
            if lone {
                // Whether the batch filled up or the time ran out, it is sent now.
                let _ = tokio::time::timeout(self.linger, self.queue.wait_for_batch()).await;
            }
            self.deliver(self.queue.take_batch()).await;
            // What came while the batch was under way has waited long enough.
            lone = self.queue.counts().queued == 0;
        }
    }

    /// Sends a batch until every event in it is recorded or refused for good.
    async fn deliver(&self, batch: Vec<Waiting>) {
        let mut parts = vec![batch];
        let mut failures = 0_u32;
        while let Some(part) = parts.pop() {
            match self.send(part).await {
                Sent::Done => failures = 0,
                Sent::Again { rest, progress, retry_after } => {
                    failures = if progress { 1 } else { failures.saturating_add(1) };
                    if failures.is_power_of_two() {
                        tracing::warn!(
                            failures,
                            events = rest.len(),
                            "tollgate does not take usage events, will try again"
                        );
                    }
                    let wait = self.client.retry().backoff(failures, retry_after);
                    parts.push(rest);
                    tokio::time::sleep(wait).await;
                }
                Sent::Split(mut first) => {
                    // One bad event must fail alone, so the halves are tried apart.
                    let second = first.split_off(first.len() / 2);
                    parts.push(second);
                    parts.push(first);
                }
            }
        }
    }

    /// Sends events once.
    async fn send(&self, mut events: Vec<Waiting>) -> Sent {
        if events.len() == 1 && events.iter().all(|waiting| waiting.bytes > MAX_BYTES) {
            for waiting in events.drain(..) {
                let refusal = too_large(&waiting.event);
                log(&waiting, &refusal);
                self.reject(waiting, refusal);
            }
            return Sent::Done;
        }
        let messages = events.iter().map(|waiting| waiting.event.clone()).collect();
        let limit = self.client.retry().attempt_timeout;
        match self.client.attempt_batch(messages, limit).await {
            Ok(Ok(outcomes)) => self.sort(events, outcomes),
            Ok(Err(error)) => {
                tracing::warn!(%error, "sending a batch of usage events again");
                Sent::Again { rest: events, progress: false, retry_after: None }
            }
            Err(Failure::Permanent(status)) if events.len() > 1 && may_be_one_event(status.code()) => {
                Sent::Split(events)
            }
            Err(Failure::Permanent(status)) => {
                let refusal = Refusal::from_status(&status);
                // One line for all: a wrong credential would otherwise fill the log.
                tracing::error!(events = events.len(), %refusal, "tollgate refused events for good, they are not recorded");
                for waiting in events {
                    self.reject(waiting, refusal.clone());
                }
                Sent::Done
            }
            Err(failure) => {
                tracing::debug!(events = events.len(), ?failure, "sending a batch of usage events again");
                Sent::Again { rest: events, progress: false, retry_after: failure.retry_after() }
            }
        }
    }

    /// Settles what is done, and keeps what may succeed on another attempt.
    fn sort(&self, events: Vec<Waiting>, outcomes: Vec<ItemOutcome>) -> Sent {
        let sent = events.len();
        let mut rest = Vec::new();
        for (waiting, outcome) in events.into_iter().zip(outcomes) {
            match outcome {
                ItemOutcome::Recorded(receipt) if receipt.is_duplicate() => {
                    self.queue.settle(waiting.bytes, Fate::Duplicate);
                }
                ItemOutcome::Recorded(_) => self.queue.settle(waiting.bytes, Fate::Recorded),
                ItemOutcome::Retryable(_) => rest.push(waiting),
                ItemOutcome::Refused(refusal) => {
                    log(&waiting, &refusal);
                    self.reject(waiting, refusal);
                }
            }
        }
        if rest.is_empty() {
            return Sent::Done;
        }
        Sent::Again { progress: rest.len() < sent, rest, retry_after: None }
    }

    fn reject(&self, waiting: Waiting, refusal: Refusal) {
        let Waiting { event, bytes } = waiting;
        // Reported before it is counted, so that whoever waits for the count finds the callback done.
        report(&Rejection { event, refusal }, self.on_rejected.as_ref());
        self.queue.settle(bytes, Fate::Rejected);
    }
}

/// Logs that one event was refused.
fn log(waiting: &Waiting, refusal: &Refusal) {
    tracing::error!(event = ?waiting.event.key, %refusal, "tollgate refused an event for good, it is not recorded");
}

/// What sending events once came to.
enum Sent {
    /// None is left.
    Done,
    /// Some may succeed on another attempt.
    Again {
        rest: Vec<Waiting>,
        /// Whether others succeeded meanwhile.
        progress: bool,
        retry_after: Option<Duration>,
    },
    /// The batch was refused as a whole, perhaps for one of its events.
    Split(Vec<Waiting>),
}

/// Whether a refusal of a whole batch may be the fault of one event in it, rather than of the credential or the server.
fn may_be_one_event(code: Code) -> bool {
    matches!(code, Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted | Code::FailedPrecondition)
}
