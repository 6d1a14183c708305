//! Checks that reserve, from 64 callers, all in ONE budget; then through two replicas.

use super::Bench;
use super::record_batch::SESSIONS;
use crate::baselines::{connections, row_lock};
use crate::callers::{Checker, Turns, crew};
use crate::figures::{Goal, Row};
use crate::ledger::{self, Budgets};
use crate::load::{Sample, drive};
use crate::population::Population;
use crate::requests;
use crate::rounds::Series;
use crate::statistics::milliseconds;
use crate::usage::Watched;

/// Of the rate at which nothing but the wire is paid for.
const OVER_ECHO: Goal = Goal::RatioAtLeast(0.5);
/// Of the rate of a row lock per check.
const OVER_ROW_LOCK: Goal = Goal::RatioAtLeast(10.0);
/// Milliseconds.
const P99: Goal = Goal::AtMost(10.0);
/// Callers, and the connections to each replica that they share.
pub(super) const CALLERS: usize = 64;
pub(super) const CONNECTIONS: usize = 4;
/// Different checks.
pub(super) const CHECKS: usize = 2_000;

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    for replicas in [1, 2] {
        over(bench, replicas).await?;
    }
    Ok(())
}

async fn over(bench: &mut Bench<'_>, replicas: usize) -> anyhow::Result<()> {
    let stage = bench.stage;
    let span = bench.options.span();
    let population = Population::new(SESSIONS, SESSIONS)?;
    let mut rng = bench.rng();
    let checks = requests::reserving_checks(&population, CHECKS, &mut rng);
    let product = stage.product(replicas).await?;
    Budgets::One.create(&product.url(0)?).await?;
    let echo = stage.echo(&ledger::replies(&product.url(0)?, &population, &mut rng).await?).await?;
    let checkers = async |url: &str, callers: usize| {
        crew(url, callers, CONNECTIONS, |wire, start| Checker { wire, checks: Turns::new(checks.clone(), start) }).await
    };
    let ground = stage.cluster.ground().await?;
    row_lock::prepare(&ground).await?;
    bench.tell("choosing connections of the baseline");
    let holders = |count| row_lock::holders(&ground, count);
    let holding = connections::best(&row_lock::CONNECTIONS, bench.options.trial(), &stage.cluster, holders).await?;

    let redis = stage.redis().await?;
    let database = Watched { servers: &[], cluster: Some(&stage.cluster) };
    let (mut echoes, mut holds) = (Series::default(), Series::default());
    let (mut locks, mut scripts) = (Series::default(), Series::default());
    for round in 1..=bench.options.rounds {
        bench.tell(format!("round {round}, echo"));
        echoes.push(drive(checkers(&echo.url(), CALLERS).await?, span, echo.watched()).await?);
        stage.settle(&ground).await?;
        bench.tell(format!("round {round}, tollgate with {replicas} replicas"));
        let mut callers = Vec::new();
        for number in 0..replicas {
            callers.extend(checkers(&product.url(number)?, CALLERS / replicas).await?);
        }
        holds.push(drive(callers, span, product.watched(stage)).await?);
        row_lock::prepare(&ground).await?;
        stage.settle(&ground).await?;
        bench.tell(format!("round {round}, row lock"));
        locks.push(drive(holders(holding).await?, span, database).await?);
        if let Some(redis) = &redis {
            bench.tell(format!("round {round}, redis"));
            let watched = Watched { servers: redis.processes(), cluster: None };
            scripts.push(drive(redis.holders(CALLERS).await?, span, watched).await?);
        }
    }
    let scenario = if replicas == 1 { "check-hot".to_owned() } else { format!("check-hot, {replicas} replicas") };
    let p99 = milliseconds(holds.quantile(0.99));
    let row = Row::rate(scenario.clone(), &holds, "checks/s");
    let note = format!("{CALLERS} callers; echo p99 {:.2} ms", milliseconds(echoes.quantile(0.99)));
    bench.add(
        row.clone().beside("echo", echoes.rate(), holds.over(&echoes, Sample::rate)).against(OVER_ECHO).note(note),
    )?;
    if redis.is_some() {
        let ratio = holds.over(&scripts, Sample::rate);
        bench.add(row.clone().beside("redis, synced", scripts.rate(), ratio))?;
    } else {
        bench.add(row.clone().note("redis: not installed"))?;
    }
    bench.add(
        row.beside(format!("row lock, {holding} connections"), locks.rate(), holds.over(&locks, Sample::rate))
            .against(OVER_ROW_LOCK),
    )?;
    bench.add(Row::new(format!("{scenario} p99"), p99, "ms").latencies(&holds).against(P99))?;
    stage.cluster.drop_ground(ground).await?;
    stage.end(product).await
}
