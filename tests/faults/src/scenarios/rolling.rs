//! Two replicas are restarted in turn, each by SIGTERM, while programs with the Rust client call them by one address. With the
//! client's own retries no call fails, none is lost or counted twice, and subscriptions go on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tollgate_client::{CheckRequest, Client, Error, Scope, Window, v1};

use super::trial::{Trial, until_recording};
use crate::balancer::Balancer;
use crate::history::History;
use crate::report::Report;
use crate::requests::{budget, check, event, id_of};
use crate::stage::Stage;
use tollgate_stage::wait::LONGEST;

const REPLICAS: usize = 2;
/// Programs, each with a connection and a session of its own.
const PROGRAMS: usize = 8;
/// Calls that each program makes at once.
const CALLS_AT_ONCE: usize = 4;
/// Longest time between two calls of one of these.
const LONGEST_PAUSE_MS: u64 = 40;
/// For how many milliseconds all replicas serve between two restarts.
const BETWEEN_MS: std::ops::Range<u64> = 300..1_000;
/// Lead of a hold.
const LEAD: Duration = Duration::from_secs(60);

/// Restarts.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let restarts = stage.rounds(4, 20);
    let mut report = Report::default();
    let bar = stage.progress("rolling", restarts);
    let mut trial = Trial::open(stage, 0, REPLICAS, true).await?;
    trial.service.create_budget(&mut trial.rng, budget("users", 1_000_000_000, Window::day("UTC")).into()).await?;
    let balancer = Balancer::start(trial.replicas.iter().map(tollgate_stage::Replica::address).collect()).await?;
    let programs = Programs::start(&balancer, &trial.history, &mut trial.rng)?;
    for number in 0..restarts {
        tokio::time::sleep(Duration::from_millis(trial.rng.random_range(BETWEEN_MS))).await;
        let index = number.checked_rem(REPLICAS).context("there is no replica")?;
        let replica = trial.replicas.get_mut(index).context("there is no such replica")?;
        if !replica.terminate().await? {
            report.violations.push(format!("restart {number}: the server did not stop in order"));
        }
        report.returned(replica.restart().await?, super::RETURN_LIMIT);
        until_recording(replica, &trial.history).await?;
        report.faults += 1;
        bar.inc(1);
    }
    let tally = programs.stop().await?;
    report.note(format!(
        "{} calls of the Rust client, of which {} failed; {} subscriptions opened {} times, each with its final totals",
        tally.calls, tally.failed, PROGRAMS, tally.snapshots
    ));
    if tally.calls == 0 {
        report.violations.push("no call was made".to_owned());
    }
    report.violations.extend(tally.behind);
    trial.close(&mut report).await?;
    Ok(report)
}

/// What the programs did.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    failed: u64,
    snapshots: u64,
    /// Subscriptions that never showed what was acknowledged.
    behind: Vec<String>,
}

/// Shared by all programs.
#[derive(Debug, Default)]
struct Seen {
    calls: AtomicU64,
    failed: AtomicU64,
    snapshots: AtomicU64,
    /// Events that were acknowledged, by session.
    acked: Mutex<HashMap<String, u64>>,
    /// Calls that a session's subscription shows.
    shown: Mutex<HashMap<String, u64>>,
}

impl Seen {
    fn ack(&self, session: &str) {
        *self.acked.lock().unwrap_or_else(PoisonError::into_inner).entry(session.to_owned()).or_default() += 1;
    }

    fn show(&self, session: &str, calls: u64) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(session.to_owned(), calls);
    }

    fn behind(&self) -> Vec<String> {
        let acked = self.acked.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = acked.iter().map(|(session, acked)| (session, acked, shown.get(session).copied().unwrap_or(0)));
        behind
            .filter(|(_, acked, shown)| *acked != shown)
            .map(|(session, acked, shown)| {
                format!("the subscription of {session} shows {shown} calls, acknowledged were {acked}")
            })
            .collect()
    }
}

/// Programs under way.
struct Programs {
    stop: CancellationToken,
    callers: JoinSet<()>,
    subscribers: Vec<AbortOnDropHandle<()>>,
    seen: Arc<Seen>,
}

impl Programs {
    fn start(balancer: &Balancer, history: &Arc<History>, rng: &mut StdRng) -> anyhow::Result<Self> {
        let (stop, seen) = (CancellationToken::new(), Arc::new(Seen::default()));
        let mut callers = JoinSet::new();
        let mut subscribers = Vec::new();
        for number in 0..PROGRAMS {
            let client = Client::builder(balancer.url()).connect_lazy()?;
            let session = format!("program-{number}");
            let watching = subscribe(client.clone(), session.clone(), seen.clone(), history.clone());
            subscribers.push(AbortOnDropHandle::new(tokio::spawn(watching)));
            for _ in 0..CALLS_AT_ONCE {
                let caller = Caller {
                    client: client.clone(),
                    session: session.clone(),
                    seen: seen.clone(),
                    history: history.clone(),
                    rng: StdRng::seed_from_u64(rng.random()),
                };
                callers.spawn(caller.run(stop.clone()));
            }
        }
        Ok(Self { stop, callers, subscribers, seen })
    }

    /// Ends the callers after their calls, and waits until every subscription shows what was acknowledged.
    async fn stop(mut self) -> anyhow::Result<Tally> {
        self.stop.cancel();
        while let Some(ended) = self.callers.join_next().await {
            ended?;
        }
        let deadline = Instant::now() + LONGEST;
        let mut behind = self.seen.behind();
        while !behind.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
            behind = self.seen.behind();
        }
        drop(self.subscribers);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Tally {
            calls: load(&self.seen.calls),
            failed: load(&self.seen.failed),
            snapshots: load(&self.seen.snapshots),
            behind,
        })
    }
}

/// Follows a session for as long as the scenario lasts.
async fn subscribe(client: Client, session: String, seen: Arc<Seen>, history: Arc<History>) {
    let mut updates = client.watch([Scope::session(session.clone()).key("own")]);
    while let Some(update) = updates.next().await {
        let update = match update {
            Ok(update) => update,
            Err(error) => return history.broken(format!("a subscription ended: {error}")),
        };
        seen.snapshots.fetch_add(u64::from(update.snapshot), Ordering::Relaxed);
        if let Some(totals) = update.scope("own").and_then(|scope| scope.totals.as_ref()) {
            seen.show(&session, totals.calls.unsigned_abs());
        }
    }
    history.broken("a subscription ended without a word".to_owned());
}

struct Caller {
    client: Client,
    session: String,
    seen: Arc<Seen>,
    history: Arc<History>,
    rng: StdRng,
}

impl Caller {
    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.rng.random_range(0..3) {
                0 => self.hold_and_settle().await,
                1 => self.record_several().await,
                _ => self.record().await,
            }
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(1..=LONGEST_PAUSE_MS))).await;
        }
    }

    async fn record(&mut self) {
        let event = self.event(None);
        self.begin(std::slice::from_ref(&event));
        let answer = self.client.record(event.clone()).await;
        self.note("RecordUsage", &event, answer.map(drop));
    }

    async fn record_several(&mut self) {
        let events: Vec<v1::UsageEvent> = (0..5).map(|_| self.event(None)).collect();
        self.begin(&events);
        let answers = self.client.record_batch(events.clone(), v1::ResponseView::Ack).await;
        for (event, answer) in events.iter().zip(answers) {
            self.note("BatchRecordUsage", event, answer.map(drop));
        }
    }

    async fn hold_and_settle(&mut self) {
        let user = format!("user-{}", self.rng.random_range(0..8));
        let mut request = check(&user, 2_000, LEAD);
        // What settles a hold is recorded with the dimensions of its check.
        request.dimensions.get_or_insert_default().session_id.clone_from(&self.session);
        let request = CheckRequest::from(request);
        self.seen.calls.fetch_add(1, Ordering::Relaxed);
        self.history.count();
        let reserved = match self.client.reserve(request).await {
            // Without an answer the client let the call run by its own choice, and degraded is one of a lost database.
            Ok(reserved) if reserved.answer().is_none() || reserved.is_degraded() => {
                return self.failed("CheckBudget", "no hold");
            }
            Ok(reserved) => reserved,
            Err(error) => return self.failed("CheckBudget", &error.to_string()),
        };
        self.history.held(reserved.reservation_id());
        let event = self.event(Some(&user));
        self.begin(std::slice::from_ref(&event));
        let answer = reserved.settle(event.clone()).await;
        self.note("a settling RecordUsage", &event, answer.map(drop));
    }

    fn event(&mut self, user: Option<&str>) -> v1::UsageEvent {
        event(user, &self.session, self.rng.random_range(1..2_000))
    }

    fn begin(&self, events: &[v1::UsageEvent]) {
        events.iter().for_each(|event| self.history.intend(event));
        self.seen.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn note(&self, call: &str, event: &v1::UsageEvent, answer: Result<(), Error>) {
        match answer {
            Ok(()) => {
                if let Some(id) = id_of(event) {
                    self.history.acked(id);
                }
                self.seen.ack(&self.session);
            }
            Err(error) => self.failed(call, &error.to_string()),
        }
    }

    fn failed(&self, call: &str, why: &str) {
        self.seen.failed.fetch_add(1, Ordering::Relaxed);
        self.history.broken(format!("{call} failed after the client's retries: {why}"));
    }
}
