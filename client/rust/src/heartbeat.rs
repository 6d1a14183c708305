//! Keeps a reservation alive while its call runs.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tollgate_proto::v1;

use crate::check::Decision;
use crate::client::Client;
use crate::count::local_duration;
use crate::error::Error;
use crate::reservation::{Extension, extension};

/// The least time between two renewals, so that a reservation about to end is not renewed in a tight loop.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// What the guard and its heartbeat know about the reservation together.
#[derive(Debug)]
pub(crate) struct Pulse {
    sequence: AtomicI64,
    stop: AtomicBool,
    expires: Mutex<Instant>,
}

impl Pulse {
    pub(crate) fn new(remaining: Duration) -> Self {
        Self { sequence: AtomicI64::new(1), stop: AtomicBool::new(false), expires: Mutex::new(after(remaining)) }
    }

    /// The number of the next request, which rises so that requests may overtake each other.
    pub(crate) fn next_sequence(&self) -> i64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the call should stop.
    pub(crate) fn must_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Takes in what an extension was answered. The time left is the server's, because clocks differ.
    pub(crate) fn note(&self, extension: &Extension) {
        if !extension.decision.may_run() {
            self.stop.store(true, Ordering::Relaxed);
        }
        if let Some(reservation) = &extension.reservation {
            match &reservation.remaining_ttl {
                Some(remaining) => {
                    *self.expires.lock().unwrap_or_else(PoisonError::into_inner) = after(local_duration(remaining));
                }
                None if reservation.state() != v1::reservation::State::Pending => {
                    self.stop.store(true, Ordering::Relaxed);
                }
                None => {}
            }
        }
    }

    fn remaining(&self) -> Duration {
        self.expires.lock().unwrap_or_else(PoisonError::into_inner).saturating_duration_since(Instant::now())
    }
}

/// A moment from now, bounded to what the clock can express.
fn after(span: Duration) -> Instant {
    Instant::now() + span.min(Duration::from_secs(7 * 24 * 3600))
}

/// The task that renews a reservation. Ends when it is dropped, and by itself when the reservation has ended.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    task: JoinHandle<()>,
}

impl Heartbeat {
    pub(crate) fn start(client: Client, reservation_id: String, ttl: Duration, pulse: Arc<Pulse>) -> Self {
        Self { task: tokio::spawn(async move { beat(client, reservation_id, ttl, pulse).await }) }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beat(client: Client, reservation_id: String, ttl: Duration, pulse: Arc<Pulse>) {
    while !pulse.must_stop() {
        // Half of what is left: each failure leaves time for another try, sooner than the one before.
        tokio::time::sleep((pulse.remaining() / 2).max(LEAST_PAUSE)).await;
        let request = extension(&reservation_id, pulse.next_sequence(), Some(ttl), None);
        match client.extend(request).await {
            Ok(extension) if extension.decision == Decision::Denied => {
                pulse.note(&extension);
                tracing::warn!(reservation_id, "tollgate denied to extend a reservation");
            }
            Ok(extension) => pulse.note(&extension),
            Err(Error::Refused(refusal)) => {
                pulse.stop.store(true, Ordering::Relaxed);
                tracing::warn!(reservation_id, %refusal, "a reservation can no longer be extended");
            }
            Err(error) => tracing::warn!(reservation_id, %error, "could not extend a reservation, will try again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stopped_pulse_ends_the_beat() {
        let client = Client::builder("http://127.0.0.1:9").connect_lazy().unwrap();
        let pulse = Arc::new(Pulse::new(Duration::from_secs(3600)));
        pulse.note(&Extension { decision: Decision::Denied, reservation: None, budgets: Vec::new() });
        let beating = beat(client, "id".to_owned(), Duration::from_secs(60), pulse);
        tokio::time::timeout(Duration::from_secs(60), beating).await.unwrap();
    }

    #[tokio::test]
    async fn a_reservation_that_has_ended_stops_the_call() {
        let pulse = Pulse::new(Duration::from_secs(60));
        let mut reservation =
            v1::Reservation { state: v1::reservation::State::Pending.into(), ..v1::Reservation::default() };
        let extension = |reservation: &v1::Reservation| Extension {
            decision: Decision::Allowed,
            reservation: Some(reservation.clone()),
            budgets: Vec::new(),
        };
        pulse.note(&extension(&reservation));
        assert!(!pulse.must_stop());
        reservation.state = v1::reservation::State::Expired.into();
        pulse.note(&extension(&reservation));
        assert!(pulse.must_stop());
    }
}
