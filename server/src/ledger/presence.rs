//! Whether the database is there, as this replica sees it.
//!
//! A heartbeat of its own asks twice a second, and at once where a batch met a failure: a killed connection, a deadlock or a long
//! lock are no outage. An outage is declared where nothing but failures was answered for `ledger.degraded_after`, or nothing at all
//! for twice as long, and no batch committed meanwhile. From then on checks are answered without the database, at once, until a
//! beat is answered again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::known::KnownBudgets;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::dictionary::Dictionary;
use crate::store::heartbeat::{Heartbeat, Pulse};

/// Time between two beats while all is well.
const PERIOD: Duration = Duration::from_millis(500);
/// Time between two beats while the database is looked for.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
struct State {
    away_since: Option<Instant>,
    back_at: Option<Instant>,
    /// Beats that were answered.
    answered: u64,
    /// Outages so far.
    outages: u64,
}

/// Whether the database is there. Cheap to clone; clones share what is known.
#[derive(Debug, Clone)]
pub struct Presence {
    state: Arc<watch::Sender<State>>,
    suspicion: Arc<Notify>,
    committed: Arc<Mutex<Option<Instant>>>,
    clock: Arc<Mutex<Option<(Timestamp, Instant)>>>,
}

impl Presence {
    /// There, until shown otherwise.
    pub(super) fn new() -> Self {
        let state = State { away_since: None, back_at: None, answered: 0, outages: 0 };
        Self {
            state: Arc::new(watch::Sender::new(state)),
            suspicion: Arc::default(),
            committed: Arc::default(),
            clock: Arc::default(),
        }
    }

    /// For how long the database has been away; absent while it is there.
    pub fn away_for(&self) -> Option<Duration> {
        self.state.borrow().away_since.map(|since| since.elapsed())
    }

    /// Whether the database is away.
    pub fn is_away(&self) -> bool {
        self.state.borrow().away_since.is_some()
    }

    /// When the database came back last; absent where it was never away.
    pub fn back_at(&self) -> Option<Instant> {
        self.state.borrow().back_at
    }

    /// How often the database was away.
    pub(super) fn outages(&self) -> u64 {
        self.state.borrow().outages
    }

    /// A batch has committed: the database is there, whatever the heartbeat meets.
    pub(super) fn committed(&self) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Since when nothing shows that the database is there: since `failing`, when beats began to fail, or the last commit after it.
    fn quiet_since(&self, failing: Instant) -> Instant {
        let committed = *self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        committed.map_or(failing, |at| at.max(failing))
    }

    /// Waits until the database is away.
    pub async fn went_away(&self) {
        // The sender is kept here, so that this cannot fail.
        let _ = self.state.subscribe().wait_for(|state| state.away_since.is_some()).await;
    }

    /// Waits until the database is there.
    pub async fn came_back(&self) {
        let _ = self.state.subscribe().wait_for(|state| state.away_since.is_none()).await;
    }

    /// Something failed as if the database were away: looks at once whether it is, and says so.
    pub async fn confirm_away(&self) -> bool {
        let mut state = self.state.subscribe();
        let answered = state.borrow().answered;
        self.suspect();
        match state.wait_for(|state| state.away_since.is_some() || state.answered > answered).await {
            Ok(state) => state.away_since.is_some(),
            Err(_) => false,
        }
    }

    /// Something failed as if the database were away: it is looked at soon.
    pub(super) fn suspect(&self) {
        self.suspicion.notify_one();
    }

    /// The database's clock, as far as it can be told without asking: its last word and the time that passed since.
    pub fn clock(&self) -> Timestamp {
        let clock = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let told = clock.and_then(|(told, at)| told.checked_add(SignedDuration::try_from(at.elapsed()).ok()?).ok());
        told.unwrap_or_else(Timestamp::now)
    }

    fn declare(&self, since: Instant, error: &StoreError, metrics: &Metrics) {
        if self.is_away() {
            return;
        }
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the database is away: checks are answered by the budgets' `unavailable` choices, usage is not recorded until it is back"
        );
        metrics.outage.database_away(true);
        self.state.send_modify(|state| {
            state.away_since = Some(since);
            state.outages += 1;
        });
    }

    fn found(&self, pulse: &Pulse, asked_at: Instant, metrics: &Metrics) {
        // Told after it was asked: the clock is at most this far ahead, and never behind.
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((pulse.now, asked_at));
        if let Some(away_for) = self.away_for() {
            tracing::warn!(
                away_for_ms = u64::try_from(away_for.as_millis()).unwrap_or(u64::MAX),
                "the database is back"
            );
            metrics.outage.database_away(false);
        }
        self.state.send_modify(|state| {
            state.answered += 1;
            if state.away_since.take().is_some() {
                state.back_at = Some(Instant::now());
            }
        });
    }
}

/// Watches until `stop`, and keeps what is known of the budgets fresh, so that it is there when the database is not.
pub(super) async fn watch(
    presence: Presence,
    mut heartbeat: Heartbeat,
    (budgets, dictionary): (Arc<KnownBudgets>, Dictionary),
    metrics: Metrics,
    degraded_after: Duration,
    stop: CancellationToken,
) {
    let silence = degraded_after * 2;
    loop {
        let since = Instant::now();
        while let Err(error) = beat(&presence, &mut heartbeat, (&budgets, &dictionary), &metrics, silence).await {
            let quiet = presence.quiet_since(since);
            if quiet.elapsed() >= degraded_after {
                presence.declare(quiet, &error, &metrics);
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.cancelled() => return,
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = presence.suspicion.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn beat(
    presence: &Presence,
    heartbeat: &mut Heartbeat,
    (budgets, dictionary): (&KnownBudgets, &Dictionary),
    metrics: &Metrics,
    silence: Duration,
) -> Result<(), StoreError> {
    let asked_at = Instant::now();
    let pulse = heartbeat.beat(silence).await?;
    presence.found(&pulse, asked_at, metrics);
    for (tenant, version) in &pulse.erasures_versions {
        dictionary.noticed(*tenant, *version);
    }
    for (tenant, version) in pulse.budgets_versions {
        if budgets.at(tenant, version).is_none() {
            match heartbeat.budgets(tenant, version, silence).await {
                Ok(set) => budgets.remember(tenant, Arc::new(set)),
                // The database answered: that what it holds cannot be read is no outage.
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the budgets cannot be read ahead");
                    break;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_puts_an_outage_off_and_does_not_rule_it_out() {
        let presence = Presence::new();
        let failing = Instant::now();
        assert_eq!(presence.quiet_since(failing), failing);
        presence.committed();
        let quiet = presence.quiet_since(failing);
        assert!(quiet >= failing && quiet <= Instant::now());
        assert_eq!(presence.quiet_since(failing), quiet, "it stands still until the next commit");
        let later = quiet + Duration::from_secs(1);
        assert_eq!(presence.quiet_since(later), later, "a commit from before says nothing");
    }
}
