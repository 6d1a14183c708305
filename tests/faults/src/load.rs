//! The usual load: callers that record in batches, and callers that check, then settle, release, or vanish. They begin their
//! calls at a steady pace, whether those before were answered or not.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tollgate_client::{Window, v1};

use crate::caller::{Answer, Service};
use crate::history::History;
use crate::requests::{budget, check, event, id_of, settling};

/// Events of one batch.
const BATCH: usize = 12;
/// Callers that record batches, each so often that together they send about 1,000 events a second.
const RECORDERS: usize = 8;
const RECORDING_PERIOD: Duration = Duration::from_millis(100);
/// Callers that check first.
const CHECKERS: usize = 16;
const CHECKING_PERIOD: Duration = Duration::from_millis(250);
/// Most calls of one caller that are under way at once: what a program would have queued before it gives up.
const UNDER_WAY: usize = 16;
/// Lead of a hold: who vanishes leaves it to expire.
const LEAD: Duration = Duration::from_secs(3);
/// Why a check is denied whose id belongs to a hold that has ended.
const CLOSED: &str = "CLOSED";
/// Most tries of one call; then its caller does not know.
const TRIES: usize = 4;

/// Callers under way.
pub(crate) struct Load {
    stop: CancellationToken,
    callers: JoinSet<()>,
}

impl Load {
    /// Creates the budgets and starts the callers.
    pub(crate) async fn start(service: &Service, history: &Arc<History>, rng: &mut StdRng) -> anyhow::Result<Self> {
        // Far away: what is exact at the limit is the hammer's question.
        service.create_budget(rng, budget("users", 1_000_000_000, Window::day("UTC")).into()).await?;
        service.create_budget(rng, budget("users-by-minute", 1_000_000_000, Window::minute("UTC")).into()).await?;
        let stop = CancellationToken::new();
        let mut callers = JoinSet::new();
        for number in 0..RECORDERS + CHECKERS {
            let caller = Caller {
                number,
                service: service.clone(),
                history: history.clone(),
                rng: StdRng::seed_from_u64(rng.random()),
            };
            let period = if number < RECORDERS { RECORDING_PERIOD } else { CHECKING_PERIOD };
            callers.spawn(caller.run(period, stop.clone()));
        }
        Ok(Self { stop, callers })
    }

    /// Ends the callers after their calls.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.callers.join_all().await;
    }
}

struct Caller {
    number: usize,
    service: Service,
    history: Arc<History>,
    rng: StdRng,
}

impl Caller {
    async fn run(mut self, period: Duration, stop: CancellationToken) {
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = stop.cancelled() => break,
            }
            while let Some(ended) = calls.try_join_next() {
                self.note(ended);
            }
            if calls.len() < UNDER_WAY {
                calls.spawn(self.another().call());
            }
        }
        while let Some(ended) = calls.join_next().await {
            self.note(ended);
        }
    }

    /// The same caller, for one call of its own.
    fn another(&mut self) -> Self {
        Self {
            number: self.number,
            service: self.service.clone(),
            history: self.history.clone(),
            rng: StdRng::seed_from_u64(self.rng.random()),
        }
    }

    async fn call(mut self) {
        if self.number < RECORDERS { self.record_batch().await } else { self.check_and_settle().await }
    }

    fn note(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended {
            self.history.broken(format!("a call of the load broke off: {error}"));
        }
    }

    /// Records a batch, and sends what is not answered again, perhaps to another replica.
    async fn record_batch(&mut self) {
        let mut open: Vec<v1::UsageEvent> = (0..BATCH)
            .map(|_| event(None, &format!("session-{}", self.rng.random_range(0..64)), self.rng.random_range(1..2_000)))
            .collect();
        open.iter().for_each(|event| self.history.intend(event));
        for _ in 0..TRIES {
            let endpoint = self.service.any(&mut self.rng);
            match endpoint.record_batch(open.clone()).await {
                Answer::Acked(answer) => open = self.sort(open, answer),
                Answer::Refused(status) => return self.history.broken(format!("a batch was refused: {status}")),
                Answer::Unknown | Answer::Busy => {}
            }
            if open.is_empty() {
                return;
            }
            self.pause().await;
        }
    }

    /// Notes what was recorded; gives back what is to be sent again.
    fn sort(&self, sent: Vec<v1::UsageEvent>, answer: v1::BatchRecordUsageResponse) -> Vec<v1::UsageEvent> {
        use v1::batch_record_usage_response::item::Item;
        if answer.items.len() != sent.len() {
            let (items, events) = (answer.items.len(), sent.len());
            self.history.broken(format!("a batch of {events} events has an answer of {items} items"));
        }
        let mut again = Vec::new();
        for (event, item) in sent.into_iter().zip(answer.items) {
            match item.item {
                Some(Item::Ok(_)) => {
                    if let Some(id) = id_of(&event) {
                        self.history.acked(id);
                    }
                }
                Some(Item::Error(error)) if error.retryable => again.push(event),
                Some(Item::Error(error)) => self.history.broken(format!("an event was refused: {}", error.message)),
                None => self.history.broken("an item of a batch has no answer".to_owned()),
            }
        }
        again
    }

    async fn check_and_settle(&mut self) {
        let user = format!("user-{}", self.rng.random_range(0..8));
        let tokens = self.rng.random_range(1..=50);
        let request = check(&user, tokens, LEAD);
        let reservation_id = request.reservation_id.clone();
        self.history.count();
        if self.hold(request).await.is_none() {
            return;
        }
        self.history.held(&reservation_id);
        match self.rng.random_range(0..10) {
            // It vanishes: the hold expires.
            0 => {}
            1 => self.release(&reservation_id).await,
            _ => {
                let used = self.rng.random_range(0..=tokens);
                let event = settling(event(Some(&user), &format!("session-{user}"), used), &reservation_id);
                self.record(event).await;
            }
        }
    }

    /// Asks for a hold; `None` = nobody knows whether it was made.
    async fn hold(&mut self, request: v1::CheckBudgetRequest) -> Option<()> {
        for _ in 0..self.rng.random_range(1..=TRIES) {
            match self.service.any(&mut self.rng).check(request.clone()).await {
                // The hold of an earlier try, whose answer was lost, has expired before this one.
                Answer::Acked(answer) if answer.reason == CLOSED => return None,
                Answer::Acked(answer) if answer.decision() == v1::Decision::Allowed => return Some(()),
                Answer::Acked(answer) => {
                    let explanation = answer.explanation;
                    self.history.broken(format!("a check far below the limit was denied: {explanation}"));
                    return None;
                }
                Answer::Refused(status) => {
                    self.history.broken(format!("a check was refused: {status}"));
                    return None;
                }
                Answer::Unknown | Answer::Busy => self.pause().await,
            }
        }
        None
    }

    async fn release(&mut self, reservation_id: &str) {
        for _ in 0..self.rng.random_range(1..=TRIES) {
            match self.service.any(&mut self.rng).release(reservation_id).await {
                Answer::Acked(_) => return,
                Answer::Refused(status) => return self.history.broken(format!("a release was refused: {status}")),
                Answer::Unknown | Answer::Busy => self.pause().await,
            }
        }
    }

    async fn record(&mut self, event: v1::UsageEvent) {
        self.history.intend(&event);
        for _ in 0..self.rng.random_range(1..=TRIES) {
            match self.service.any(&mut self.rng).record(event.clone()).await {
                Answer::Acked(_) => {
                    if let Some(id) = id_of(&event) {
                        self.history.acked(id);
                    }
                    return;
                }
                Answer::Refused(status) => return self.history.broken(format!("an event was refused: {status}")),
                Answer::Unknown | Answer::Busy => self.pause().await,
            }
        }
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(5..200))).await;
    }
}
