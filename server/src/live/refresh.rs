//! The refresher: reads what is marked, in batches, and publishes what changed.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, pending};
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::entry::{Entry, Serial};
use super::hub::Shared;
use super::lanes::{Batch, LaneKey, Urgency};
use super::mailbox::lock;
use super::reading::{LiveError, Reading, ScopeSource};
use super::scope::WatchedScope;
use crate::tenant::TenantId;

/// Most readings under way at once, each with a connection of its own.
const READS_LIMIT: usize = 4;
/// Longest wait for one reading.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs until the hub drains.
pub(super) async fn run(shared: &Shared) {
    let period = shared.settings.poll_interval.max(Duration::from_millis(1));
    let mut poll = interval_at(Instant::now() + period, period);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reads = FuturesUnordered::new();
    loop {
        while reads.len() < READS_LIMIT
            && let Some((began, batch)) = start(shared)
        {
            reads.push(read(shared.source.as_ref(), began, batch));
        }
        let next = next_time(shared, reads.len() < READS_LIMIT);
        let next = next.map_or_else(|| Either::Right(pending()), |at| Either::Left(sleep_until(at)));
        tokio::select! {
            biased;
            () = shared.draining.cancelled() => return,
            Some(outcome) = reads.next(), if !reads.is_empty() => finish(shared, outcome),
            () = shared.wake.notified() => {}
            _ = poll.tick() => lock(&shared.table).touch_everything(),
            () = next => {}
        }
    }
}

fn start(shared: &Shared) -> Option<(Serial, Batch)> {
    lock(&shared.table).start(Instant::now(), shared.settings.refresh_interval)
}

/// When there is something to do that nobody wakes the refresher for.
fn next_time(shared: &Shared, may_read: bool) -> Option<Instant> {
    let table = lock(&shared.table);
    let next_read = table.lanes.next_time(Instant::now()).filter(|_| may_read);
    next_read.into_iter().chain(table.next_rollover().filter(|_| may_read)).min()
}

/// What became of one batch.
struct Outcome {
    lane: LaneKey,
    began: Serial,
    began_at: Instant,
    results: Vec<(Arc<Entry>, Result<Reading, LiveError>)>,
}

async fn read(source: &dyn ScopeSource, began: Serial, batch: Batch) -> Outcome {
    let began_at = Instant::now();
    let results = read_apart(source, batch.tenant, batch.entries).await;
    Outcome { lane: batch.lane, began, began_at, results }
}

/// Reads a batch; where one scope fails it, the halves, so that the bad one fails alone.
async fn read_apart(
    source: &dyn ScopeSource,
    tenant: TenantId,
    entries: Vec<Arc<Entry>>,
) -> Vec<(Arc<Entry>, Result<Reading, LiveError>)> {
    let mut results = Vec::with_capacity(entries.len());
    let mut parts = vec![entries];
    while let Some(mut part) = parts.pop() {
        let scopes: Vec<Arc<WatchedScope>> = part.iter().map(|entry| entry.scope.clone()).collect();
        let answer = timeout(READ_TIMEOUT, source.read(tenant, &scopes)).await;
        match answer.unwrap_or(Err(LiveError::Unavailable)) {
            Ok(readings) if readings.len() == part.len() => {
                results.extend(part.into_iter().zip(readings.into_iter().map(Ok)));
            }
            Ok(readings) => {
                tracing::error!(asked = part.len(), answered = readings.len(), "a reading is not complete");
                results.extend(part.into_iter().map(|entry| (entry, Err(LiveError::Internal))));
            }
            Err(LiveError::Unavailable) => {
                let rest = parts.drain(..).flatten();
                results.extend(part.into_iter().chain(rest).map(|entry| (entry, Err(LiveError::Unavailable))));
            }
            Err(error) if part.len() == 1 => {
                results.extend(part.into_iter().map(|entry| (entry, Err(error.clone()))));
            }
            Err(_) => {
                parts.push(part.split_off(part.len() / 2));
                parts.push(part);
            }
        }
    }
    results
}

fn finish(shared: &Shared, outcome: Outcome) {
    let Outcome { lane, began, began_at, results } = outcome;
    let mut windows = Vec::new();
    let mut away = Vec::new();
    for (entry, result) in results {
        match result {
            Ok(reading) => {
                let due = entry.publish(began, reading).and_then(|after| began_at.checked_add(after));
                windows.push((entry, due));
            }
            Err(LiveError::Unavailable) => away.push(entry),
            Err(error) => {
                tracing::warn!(%error, "a watched scope cannot be read");
                entry.refuse(began, &error);
            }
        }
    }
    let mut table = lock(&shared.table);
    for (entry, due) in windows {
        table.schedule(&entry, due);
    }
    if away.is_empty() {
        table.lanes.succeeded(lane);
        return;
    }
    tracing::warn!(scopes = away.len(), "watched scopes cannot be read now: they keep their last reading");
    let now = table.next_serial();
    let waiting = table.lanes.failed(lane, Instant::now());
    for entry in &away {
        table.lanes.push(entry, Urgency::Now);
    }
    drop(table);
    // Nobody waits in vain for a first reading: another replica may have a database.
    for entry in away.iter().chain(&waiting) {
        entry.refuse(now, &LiveError::Unavailable);
    }
}
