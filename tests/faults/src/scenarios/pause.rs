//! A replica stands still, as a virtual machine that is moved, while its peers use the budget up; then it goes on where it
//! was.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::ConnectOptions as _;
use tokio::task::JoinSet;
use tollgate_client::{Window, v1};

use super::calls::{Purse, at_work, reserve, settle};
use super::trial::{Trial, until_recording};
use crate::caller::Service;
use crate::ledger;
use crate::report::Report;
use crate::requests::budget;
use crate::stage::Stage;

const REPLICAS: usize = 2;
const CALLERS: usize = 24;
const BUDGET: &str = "drained";
const LIMIT: u64 = 3_000;
const LARGEST: u64 = 50;
const PART: usize = 25;
/// Longest time for which one replica that stands still may hold up the others.
const HELD_UP_LIMIT: Duration = Duration::from_secs(10);

/// One pause a round.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let pauses = stage.rounds(4, 100);
    let mut report = Report::default();
    let bar = stage.progress("pause", pauses);
    let mut longest = Duration::ZERO;
    for first in (0..pauses).step_by(PART) {
        let mut trial = Trial::open(stage, first as u64, REPLICAS, true).await?;
        trial.service.create_budget(&mut trial.rng, budget(BUDGET, LIMIT, Window::lifetime()).into()).await?;
        for number in first..pauses.min(first + PART) {
            longest = longest.max(pause(&mut trial, number, &mut report).await?);
            bar.inc(1);
        }
        trial.close(&mut report).await?;
    }
    report.note(format!(
        "{pauses} pauses; beside a replica that stood still, its peer used the rest up in {longest:?} or less"
    ));
    Ok(report)
}

/// One pause; says how long the peer took to use the budget up. One that comes when callers of either have been denied
/// already is no fault.
async fn pause(trial: &mut Trial<'_>, number: usize, report: &mut Report) -> anyhow::Result<Duration> {
    let user = format!("paused-{number}");
    let mut stuck = callers(trial, &user, 0)?;
    let mut peers = callers(trial, &user, 1)?;
    tokio::time::sleep(Duration::from_millis(trial.rng.random_range(5..150))).await;
    trial.replicas.first().context("there is no replica")?.pause()?;
    report.faults += u64::from(at_work(&mut stuck)? && at_work(&mut peers)?);
    let start = Instant::now();
    let drained = tokio::time::timeout(HELD_UP_LIMIT, async {
        while let Some(ended) = peers.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    })
    .await;
    let held_up = start.elapsed();
    let replica = trial.replicas.first().context("there is no replica")?;
    replica.resume()?;
    let resumed = Instant::now();
    until_recording(replica, &trial.history).await?;
    report.returned(resumed.elapsed(), super::RETURN_LIMIT);
    match drained {
        Ok(drained) => drained?,
        Err(_) => report.violations.push(format!(
            "pause {number}: beside a replica that stands still, its peer has not used the budget up in {HELD_UP_LIMIT:?}"
        )),
    }
    for mut others in [peers, stuck] {
        while let Some(ended) = others.join_next().await {
            ended??;
        }
    }
    let mut connection = trial.ground.options.connect().await?;
    let counters = ledger::counters(&mut connection, BUDGET, &user).await?;
    let used = counters.first().context("the counter is missing")?;
    let limit = i64::try_from(LIMIT)?;
    if used.committed() > limit || used.overrun != 0 || used.spent <= limit - i64::try_from(LARGEST)? {
        report.violations.push(format!("pause {number}: {used:?} of {limit}"));
    }
    Ok(held_up)
}

/// Callers of one replica alone, who check and settle until they are denied.
fn callers(trial: &mut Trial<'_>, user: &str, replica: usize) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let endpoint = trial.service.nth(replica).clone();
        let purse = Purse { service: Service::new(vec![endpoint])?, ..Purse::new(trial, user, 0) };
        let mut rng = StdRng::seed_from_u64(trial.rng.random());
        callers.spawn(async move {
            loop {
                let tokens = rng.random_range(1..=LARGEST);
                let (id, decision) = reserve(&purse, &mut rng, tokens, Duration::from_secs(120)).await?;
                if decision != v1::Decision::Allowed {
                    return Ok(());
                }
                settle(&purse, &mut rng, &id, tokens).await?;
            }
        });
    }
    Ok(callers)
}
