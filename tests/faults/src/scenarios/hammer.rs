//! Four replicas with 64 callers each take from one counter until nothing is left, while replicas are killed.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::ConnectOptions as _;
use tokio::task::JoinSet;
use tollgate_client::{Window, v1};

use super::calls::{Purse, at_work, reserve, settle};
use super::trial::Trial;
use crate::ledger::{self, Counter};
use crate::report::Report;
use crate::requests::budget;
use crate::stage::Stage;

const REPLICAS: usize = 4;
const CALLERS: usize = 64;
const BUDGET: &str = "hammered";
/// Tokens of each counter: some calls for each caller.
const LIMIT: u64 = 6_000;
/// The largest estimate.
const LARGEST: u64 = 50;
/// Seeds on one database, after which everything is checked.
const PART: usize = 20;
const KILLS: usize = 2;

/// Hammers one counter per seed.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let seeds = stage.rounds(3, 200);
    let mut report = Report::default();
    let bar = stage.progress("hammer", seeds);
    let mut least_used = i64::MAX;
    for first in (0..seeds).step_by(PART) {
        let mut trial = Trial::open(stage, first as u64, REPLICAS, true).await?;
        trial.service.create_budget(&mut trial.rng, budget(BUDGET, LIMIT, Window::lifetime()).into()).await?;
        for number in first..seeds.min(first + PART) {
            let used = hammer(&mut trial, number, &mut report).await?;
            least_used = least_used.min(used);
            bar.inc(1);
        }
        trial.close(&mut report).await?;
    }
    let kills = report.faults;
    report.note(format!("{kills} kills while callers were at work, {seeds} seeds"));
    report.note(format!("limit {LIMIT}, largest estimate {LARGEST}, least used {least_used}"));
    Ok(report)
}

/// One counter, from full to empty. Says how much of it was used.
async fn hammer(trial: &mut Trial<'_>, number: usize, report: &mut Report) -> anyhow::Result<i64> {
    let user = format!("hammer-{number}");
    let mut callers = JoinSet::new();
    for caller in 0..REPLICAS * CALLERS {
        let purse = Purse::new(trial, &user, caller);
        let rng = StdRng::seed_from_u64(trial.rng.random());
        callers.spawn(take_until_denied(purse, rng));
    }
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(trial.rng.random_range(10..250))).await;
        let index = trial.rng.random_range(0..trial.replicas.len());
        let replica = trial.replicas.get_mut(index).context("there is no such replica")?;
        replica.kill()?;
        if at_work(&mut callers)? {
            report.faults += 1;
        }
        let start = Instant::now();
        replica.restart().await?;
        report.returned(start.elapsed(), super::RETURN_LIMIT);
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    // What others freed after a caller was denied: nothing of it may be out of reach.
    take(&Purse::new(trial, &user, 0), &mut trial.rng, LARGEST..=LARGEST, LARGEST).await?;
    let used = counter(trial, &user).await?;
    let limit = i64::try_from(LIMIT)?;
    if used.committed() > limit || used.overrun != 0 {
        report.violations.push(format!("seed {number}: overspent: {used:?}, limit {limit}"));
    }
    if used.spent <= limit - i64::try_from(LARGEST)? || used.held != 0 || used.presumed != 0 {
        report.violations.push(format!("seed {number}: some of the limit is out of reach: {used:?}, limit {limit}"));
    }
    Ok(used.spent)
}

async fn take_until_denied(purse: Purse, mut rng: StdRng) -> anyhow::Result<()> {
    take(&purse, &mut rng, 1..=LARGEST, 0).await
}

/// Checks and settles until a check is denied; at least `least` of what was held is used.
async fn take(
    purse: &Purse,
    rng: &mut StdRng,
    amounts: std::ops::RangeInclusive<u64>,
    least: u64,
) -> anyhow::Result<()> {
    loop {
        let tokens = rng.random_range(amounts.clone());
        let (reservation_id, decision) = reserve(purse, rng, tokens, Duration::from_secs(120)).await?;
        if decision != v1::Decision::Allowed {
            return Ok(());
        }
        let used = rng.random_range(least.min(tokens)..=tokens);
        settle(purse, rng, &reservation_id, used).await?;
    }
}

async fn counter(trial: &Trial<'_>, user: &str) -> anyhow::Result<Counter> {
    let mut connection = trial.ground.options.connect().await?;
    let counters = ledger::counters(&mut connection, BUDGET, user).await?;
    counters.first().copied().context("the counter is missing")
}
