//! The first 64 calls on a new budget of a user arrive at once, on all replicas: there is no counter yet.

use std::time::Duration;

use futures::future::try_join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::ConnectOptions as _;
use tollgate_client::{Window, v1};

use super::calls::{Purse, reserve, settle};
use super::trial::Trial;
use crate::ledger;
use crate::report::Report;
use crate::requests::budget_of;
use crate::stage::Stage;

const REPLICAS: usize = 4;
const CALLERS: usize = 64;
const TOKENS: u64 = 10;
/// How many of the callers fit.
const FITTING: u64 = 10;
/// Rounds on one database.
const PART: usize = 100;

/// One new budget a round.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let rounds = stage.rounds(10, 500);
    let mut report = Report::default();
    let bar = stage.progress("first-calls", rounds);
    for first in (0..rounds).step_by(PART) {
        let mut trial = Trial::open(stage, first as u64, REPLICAS, true).await?;
        for number in first..rounds.min(first + PART) {
            round(&mut trial, number, &mut report).await?;
            report.faults += 1;
            bar.inc(1);
        }
        trial.close(&mut report).await?;
    }
    Ok(report)
}

async fn round(trial: &mut Trial<'_>, number: usize, report: &mut Report) -> anyhow::Result<()> {
    let user = format!("first-{number}");
    let budget_id = format!("budget-{number}");
    let budget = budget_of(&user, &budget_id, FITTING * TOKENS, Window::lifetime());
    trial.service.create_budget(&mut trial.rng, budget.into()).await?;
    let calls = (0..CALLERS).map(|caller| {
        let purse = Purse::new(trial, &user, caller);
        let mut rng = StdRng::seed_from_u64(trial.rng.random());
        async move { reserve(&purse, &mut rng, TOKENS, Duration::from_secs(120)).await }
    });
    let calls: Vec<_> = calls.collect();
    let answers = try_join_all(calls).await?;
    let allowed: Vec<String> =
        answers.into_iter().filter(|(_, decision)| *decision == v1::Decision::Allowed).map(|(id, _)| id).collect();
    let mut connection = trial.ground.options.connect().await?;
    let counters = ledger::counters(&mut connection, &budget_id, &user).await?;
    let held: Vec<i64> = counters.iter().map(|counter| counter.held).collect();
    if allowed.len() as u64 != FITTING || held != [i64::try_from(FITTING * TOKENS)?] {
        report.violations.push(format!(
            "round {number}: {} of {CALLERS} callers were admitted and {held:?} is held; {FITTING} fit",
            allowed.len()
        ));
    }
    let settles = allowed.into_iter().map(|reservation_id| {
        let purse = Purse::new(trial, &user, 0);
        let mut rng = StdRng::seed_from_u64(trial.rng.random());
        async move { settle(&purse, &mut rng, &reservation_id, TOKENS).await }
    });
    let settles: Vec<_> = settles.collect();
    try_join_all(settles).await.map(drop)
}
