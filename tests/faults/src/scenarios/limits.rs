//! The limit of a budget moves, up and below what is committed, while calls are in flight.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollgate_client::{Window, v1};

use super::calls::{Purse, release, reserve, settle};
use super::trial::Trial;
use crate::ledger::{self, Counter};
use crate::report::Report;
use crate::requests::budget;
use crate::stage::Stage;

const REPLICAS: usize = 2;
const CALLERS: usize = 32;
const BUDGET: &str = "moving";
const USER: &str = "limited";
const FIRST_LIMIT: u64 = 2_000;
/// Looks at the counter between two changes.
const LOOKS: usize = 5;

/// So many changes.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let changes = stage.rounds(20, 500);
    let mut report = Report::default();
    let bar = stage.progress("limits", changes);
    // A limit that falls below what is committed books the rest as an overrun of that change.
    let mut trial = Trial::open(stage, 0, REPLICAS, false).await?;
    trial.service.create_budget(&mut trial.rng, budget(BUDGET, FIRST_LIMIT, Window::lifetime()).into()).await?;
    let stop = CancellationToken::new();
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let purse = Purse::new(&trial, USER, number);
        let rng = StdRng::seed_from_u64(trial.rng.random());
        callers.spawn(call(purse, rng, stop.clone()));
    }
    let mut connection = trial.ground.options.connect().await?;
    for _ in 0..changes {
        let committed = counter(&mut connection).await?.committed();
        let limit = committed.saturating_add(trial.rng.random_range(-300..700)).max(1);
        trial.service.set_limit(&mut trial.rng, BUDGET, u64::try_from(limit)?).await?;
        report.violations.extend(watch(&mut connection, limit).await?);
        report.faults += 1;
        bar.inc(1);
    }
    stop.cancel();
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    trial.close(&mut report).await?;
    Ok(report)
}

/// From the answer to the change on, what is committed stays within the limit, or falls.
async fn watch(connection: &mut PgConnection, limit: i64) -> anyhow::Result<Option<String>> {
    let mut before = counter(connection).await?.committed();
    for _ in 0..LOOKS {
        let now = counter(connection).await?.committed();
        if now > limit.max(before) {
            return Ok(Some(format!("{now} are committed after {before}, though the limit is {limit}")));
        }
        before = now;
    }
    Ok(None)
}

async fn counter(connection: &mut PgConnection) -> anyhow::Result<Counter> {
    let counters = ledger::counters(connection, BUDGET, USER).await?;
    // There is none before the first call.
    Ok(counters.first().copied().unwrap_or_default())
}

/// Most holds are released, so that what is committed falls, too.
async fn call(purse: Purse, mut rng: StdRng, stop: CancellationToken) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let tokens = rng.random_range(1..=50);
        let (id, decision) = reserve(&purse, &mut rng, tokens, Duration::from_secs(120)).await?;
        if decision != v1::Decision::Allowed {
            tokio::time::sleep(Duration::from_millis(rng.random_range(1..20))).await;
            continue;
        }
        if rng.random_ratio(1, 8) {
            let used = rng.random_range(0..=tokens);
            settle(&purse, &mut rng, &id, used).await?;
            continue;
        }
        release(&purse, &mut rng, &id).await?;
    }
    Ok(())
}
