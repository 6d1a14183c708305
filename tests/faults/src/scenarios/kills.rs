//! kill -9 of a server, or of the whole of Postgres, under about 1,000 events a second.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::Rng as _;

use super::trial::{Trial, until_recording};
use crate::load::Load;
use crate::report::Report;
use crate::stage::Stage;

/// Kills on one database, after which everything is checked.
const PART: usize = 25;
const REPLICAS: usize = 2;

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Server,
    Postgres,
}

/// Kills servers.
pub(super) async fn servers(stage: &Stage) -> anyhow::Result<Report> {
    run(stage, Victim::Server, stage.rounds(4, 200), "server-kill").await
}

/// Kills Postgres.
pub(super) async fn postgres(stage: &Stage) -> anyhow::Result<Report> {
    run(stage, Victim::Postgres, stage.rounds(2, 50), "postgres-kill").await
}

async fn run(stage: &Stage, victim: Victim, kills: usize, name: &'static str) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let bar = stage.progress(name, kills);
    let mut loaded = Duration::ZERO;
    let mut left = kills;
    while left > 0 {
        let part = left.min(PART);
        loaded += run_part(stage, victim, part, &mut report, &bar).await?;
        left -= part;
    }
    let events = report.acked.saturating_add(report.unknown);
    let rate = u128::from(events).saturating_mul(1_000).checked_div(loaded.as_millis()).unwrap_or(0);
    report.note(format!("{rate} events/s over {} s of load, faults included", loaded.as_secs()));
    Ok(report)
}

/// Kills so often on one database, then heals and checks it. Says how long the load lasted.
async fn run_part(
    stage: &Stage,
    victim: Victim,
    kills: usize,
    report: &mut Report,
    bar: &indicatif::ProgressBar,
) -> anyhow::Result<Duration> {
    let mut trial = Trial::open(stage, report.faults, REPLICAS, true).await?;
    let load = Load::start(&trial.service, &trial.history, &mut trial.rng).await?;
    let start = Instant::now();
    for _ in 0..kills {
        // At a random point of whatever is under way.
        tokio::time::sleep(Duration::from_millis(trial.rng.random_range(100..900))).await;
        let returned = match victim {
            Victim::Server => kill_server(&mut trial).await?,
            Victim::Postgres => kill_postgres(&trial).await?,
        };
        report.returned(returned, super::RETURN_LIMIT);
        report.faults += 1;
        bar.inc(1);
    }
    let loaded = start.elapsed();
    load.stop().await;
    trial.close(report).await?;
    Ok(loaded)
}

async fn kill_server(trial: &mut Trial<'_>) -> anyhow::Result<Duration> {
    let index = trial.rng.random_range(0..trial.replicas.len());
    let replica = trial.replicas.get_mut(index).context("there is no such replica")?;
    replica.kill()?;
    let start = Instant::now();
    replica.restart().await?;
    until_recording(&replica.endpoint()?, &trial.history).await?;
    Ok(start.elapsed())
}

/// The time counts from when Postgres answers again.
async fn kill_postgres(trial: &Trial<'_>) -> anyhow::Result<Duration> {
    trial.stage.cluster.kill().await?;
    trial.stage.cluster.restart().await?;
    let start = Instant::now();
    for replica in &trial.replicas {
        until_recording(&replica.endpoint()?, &trial.history).await?;
    }
    Ok(start.elapsed())
}
