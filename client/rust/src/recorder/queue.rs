//! The bounded queue between the callers and the worker.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tollgate_proto::v1;

use crate::batch::{self, MAX_BYTES, MAX_EVENTS};
use crate::error::Error;

/// The least time between two warnings about dropped events.
const WARNING_PAUSE: Duration = Duration::from_secs(10);

/// What became of the events that were given to a recorder. Every event is in exactly one of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Recorded now.
    pub recorded: u64,
    /// Found to be recorded before, as after a lost answer.
    pub duplicate: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Dropped: the queue was full or closed, or the time of the shutdown ran out.
    pub dropped: u64,
    /// Waiting or under way.
    pub queued: u64,
}

/// How much may be queued, what is under way included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// An event that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) event: v1::UsageEvent,
    pub(super) bytes: usize,
}

/// How an event left the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Recorded,
    Duplicate,
    Rejected,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Bytes waiting and under way.
    held_bytes: usize,
    counts: Counts,
    closed: bool,
    /// What was left has been dropped; what becomes of it after all is no longer counted.
    abandoned: bool,
    /// A flush or the closing wants the queue sent without lingering.
    hurry: bool,
    warned: Option<Instant>,
    dropped_since_warning: u64,
}

/// The bounded queue.
#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    state: Mutex<State>,
    /// Wakes the worker: something came, a batch is full, or there is a hurry.
    wake: Notify,
    /// How many events have left for good.
    done: watch::Sender<u64>,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default(), wake: Notify::new(), done: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event in, or drops and counts it.
    pub(super) fn push(&self, event: v1::UsageEvent) -> bool {
        let bytes = batch::encoded_bytes(&event);
        let mut state = self.lock();
        let full = state.counts.queued >= self.bounds.events as u64 || state.held_bytes + bytes > self.bounds.bytes;
        if state.closed || full {
            let reason = if state.closed { "the recorder is closed" } else { "the queue is full" };
            drop_events(&mut state, 1, reason);
            return false;
        }
        state.waiting.push_back(Waiting { event, bytes });
        state.waiting_bytes += bytes;
        state.held_bytes += bytes;
        state.counts.queued += 1;
        let first_or_full = state.waiting.len() == 1 || is_full(&state);
        drop(state);
        if first_or_full {
            self.wake.notify_one();
        }
        true
    }

    /// What became of the events so far.
    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Takes no more events and sends the rest without lingering.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.hurry = true;
        drop(state);
        self.wake.notify_one();
    }

    /// Waits until an event is there. `false` once the queue is closed and empty.
    pub(super) async fn wait_for_some(&self) -> bool {
        loop {
            {
                let state = self.lock();
                if !state.waiting.is_empty() {
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Waits until a batch is full or there is a hurry.
    pub(super) async fn wait_for_batch(&self) {
        loop {
            {
                let state = self.lock();
                if state.hurry || is_full(&state) {
                    return;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Takes the next batch out. It still counts as queued until [`Queue::settle`] tells what became of it.
    pub(super) fn take_batch(&self) -> Vec<Waiting> {
        let mut state = self.lock();
        let mut batch = Vec::with_capacity(state.waiting.len().min(MAX_EVENTS));
        let mut bytes = 0;
        while let Some(next) = state.waiting.front() {
            let fits = batch.is_empty() || (batch.len() < MAX_EVENTS && bytes + next.bytes <= MAX_BYTES);
            if !fits {
                break;
            }
            if let Some(next) = state.waiting.pop_front() {
                bytes += next.bytes;
                batch.push(next);
            }
        }
        state.waiting_bytes = state.waiting_bytes.saturating_sub(bytes);
        state.hurry = state.closed || (state.hurry && !state.waiting.is_empty());
        batch
    }

    /// Notes what became of one event that was taken out.
    pub(super) fn settle(&self, bytes: usize, fate: Fate) {
        let mut state = self.lock();
        if state.abandoned {
            return;
        }
        let State { counts, held_bytes, .. } = &mut *state;
        match fate {
            Fate::Recorded => counts.recorded += 1,
            Fate::Duplicate => counts.duplicate += 1,
            Fate::Rejected => counts.rejected += 1,
        }
        counts.queued = counts.queued.saturating_sub(1);
        *held_bytes = held_bytes.saturating_sub(bytes);
        drop(state);
        self.done.send_modify(|done| *done += 1);
    }

    /// Waits until everything that is queued now has left.
    pub(super) async fn wait_for_all(&self, deadline: Duration) -> Result<(), Error> {
        let mut done = self.done.subscribe();
        let target = {
            let mut state = self.lock();
            let counts = state.counts;
            state.hurry = counts.queued > 0 || state.closed;
            counts.recorded + counts.duplicate + counts.rejected + counts.queued
        };
        self.wake.notify_one();
        match tokio::time::timeout(deadline, done.wait_for(|done| *done >= target)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Error::Closed("recorder")),
            Err(_) => Err(Error::DeadlineExceeded { attempts: 0 }),
        }
    }

    /// Drops what is left, waiting or under way, and answers how much it was.
    pub(super) fn abandon(&self) -> u64 {
        let mut state = self.lock();
        let left = std::mem::take(&mut state.counts.queued);
        state.waiting.clear();
        state.waiting_bytes = 0;
        state.held_bytes = 0;
        state.abandoned = true;
        if left > 0 {
            drop_events(&mut state, left, "the time of the shutdown ran out");
        }
        left
    }
}

fn is_full(state: &State) -> bool {
    state.waiting.len() >= MAX_EVENTS || state.waiting_bytes >= MAX_BYTES
}

/// Counts dropped events and warns, at most once in a while and then with the number since the last warning.
fn drop_events(state: &mut State, number: u64, reason: &'static str) {
    state.counts.dropped += number;
    state.dropped_since_warning += number;
    if state.warned.is_some_and(|warned| warned.elapsed() < WARNING_PAUSE) {
        return;
    }
    let dropped = std::mem::take(&mut state.dropped_since_warning);
    state.warned = Some(Instant::now());
    tracing::warn!(dropped, total = state.counts.dropped, reason, "usage events were dropped and will not be recorded");
}
