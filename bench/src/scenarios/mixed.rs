//! What orchestrators do: a check and then a record, from 64 callers, for 1,000 users with a budget each, while 200 sessions are
//! watched.

use futures::StreamExt as _;
use prost::Message as _;
use tokio::task::JoinSet;
use tollgate_proto::v1;

use super::Bench;
use super::check_hot::{CALLERS, CONNECTIONS};
use super::record_batch::SESSIONS;
use crate::callers::{Orchestrator, Turns, crew};
use crate::figures::{Goal, Row};
use crate::ledger::{self, Budgets};
use crate::load::{Sample, drive};
use crate::population::Population;
use crate::requests;
use crate::rounds::Series;
use crate::statistics::milliseconds;
use crate::template::Template;
use crate::wire::Connections;

/// Of the rate of the same calls at which nothing but the wire is paid for.
const OVER_ECHO: Goal = Goal::RatioAtLeast(0.25);
/// Milliseconds, of the check.
const P99: Goal = Goal::AtMost(15.0);
/// Sessions that are watched.
const WATCHED: usize = 200;
/// Pairs of each session, encoded ahead.
const PAIRS_EACH: usize = 4;

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let stage = bench.stage;
    let span = bench.options.span();
    let population = Population::new(SESSIONS, SESSIONS)?;
    let mut rng = bench.rng();
    let crowd = Crowd::new(&population, &mut rng);
    let product = stage.product(1).await?;
    let url = product.url(0)?;
    Budgets::PerUser.create(&url).await?;
    let echo = stage.echo(&ledger::replies(&url, &population, &mut rng).await?).await?;
    let mut watchers = watch(&url).await?;
    let (mut echoes, mut pairs) = (Series::default(), Series::default());
    for round in 1..=bench.options.rounds {
        bench.tell(format!("round {round}, echo"));
        echoes.push(drive(crowd.callers(&echo.url()).await?, span, echo.watched()).await?);
        stage.settle(&product.ground).await?;
        bench.tell(format!("round {round}, tollgate"));
        pairs.push(drive(crowd.callers(&url).await?, span, product.watched(stage)).await?);
    }
    ledger::require_events(&product.ground, pairs.completed() / 2 + ledger::LEFT_BY_REPLIES).await?;
    anyhow::ensure!(watchers.try_join_next().is_none(), "a stream ended early");
    let note = format!("{CALLERS} callers, {WATCHED} sessions watched; latencies of the check");
    bench.add(
        Row::rate("mixed", &pairs, "RPCs/s")
            .beside("echo", echoes.rate(), pairs.over(&echoes, Sample::rate))
            .against(OVER_ECHO)
            .note(note),
    )?;
    bench.add(
        Row::new("mixed p99 of the check", milliseconds(pairs.quantile(0.99)), "ms").latencies(&pairs).against(P99),
    )?;
    drop(watchers);
    stage.end(product).await
}

/// The orchestrators.
pub(super) struct Crowd {
    checks: std::sync::Arc<[Template]>,
    events: std::sync::Arc<[Template]>,
}

impl Crowd {
    /// Of these sessions, shuffled.
    pub(super) fn new(population: &Population, rng: &mut rand::rngs::StdRng) -> Self {
        let mut sessions: Vec<usize> = (0..PAIRS_EACH).flat_map(|_| 0..population.sessions).collect();
        rand::seq::SliceRandom::shuffle(sessions.as_mut_slice(), rng);
        let (checks, events) = requests::pairs(population, sessions, rng);
        Self { checks, events }
    }

    /// 64 of them.
    pub(super) async fn callers(&self, url: &str) -> anyhow::Result<Vec<Orchestrator>> {
        crew(url, CALLERS, CONNECTIONS, |wire, start| Orchestrator {
            wire,
            checks: Turns::new(self.checks.clone(), start),
            events: Turns::new(self.events.clone(), start),
        })
        .await
    }
}

/// Watches the first sessions, each by a stream of its own.
pub(super) async fn watch(url: &str) -> anyhow::Result<JoinSet<u64>> {
    let connections = Connections::open(url, CONNECTIONS).await?;
    let mut watchers = JoinSet::new();
    for session in 0..WATCHED {
        let mut wire = connections.nth(session)?;
        let mut messages = wire.stream(watching(session).encode_to_vec().into()).await?;
        watchers.spawn(async move {
            let mut count = 0;
            while let Some(Ok(_)) = messages.next().await {
                count += 1;
            }
            count
        });
    }
    Ok(watchers)
}

/// Asks for the running totals of a session.
pub(super) fn watching(session: usize) -> v1::StreamUsageRequest {
    let scope = v1::watch_scope::Scope::SessionId(Population::session_id(session));
    let scopes = vec![v1::WatchScope { key: "session".to_owned(), scope: Some(scope), ..Default::default() }];
    v1::StreamUsageRequest { scopes, min_interval: None, heartbeat: None }
}
