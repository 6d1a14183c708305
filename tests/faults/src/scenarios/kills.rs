//! kill -9 of a server, or of the whole of Postgres, under about 1,000 events a second.
//!
//! A Postgres that was killed makes sure of each of its files before it serves again, which takes seconds. So that the load is
//! there at a kill, and not what is left of the one before, it goes on for seconds between two kills of Postgres.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::Rng as _;

use super::trial::{Trial, until_recording};
use crate::history::History;
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

impl Victim {
    /// For how many milliseconds the load goes on between two kills.
    fn pause_ms(self) -> Range<u64> {
        match self {
            Self::Server => 500..1_500,
            Self::Postgres => 3_000..5_000,
        }
    }
}

/// How much was sent and acknowledged in some time.
#[derive(Debug, Clone, Copy, Default)]
struct Throughput {
    lasted: Duration,
    offered: u64,
    acked: u64,
}

impl Throughput {
    /// From one look to the other at the same history.
    fn of(history: &History, start: Instant, before: (u64, u64)) -> Self {
        let (acked, unknown) = history.counts();
        let offered = acked.saturating_add(unknown).saturating_sub(before.0.saturating_add(before.1));
        Self { lasted: start.elapsed(), offered, acked: acked.saturating_sub(before.0) }
    }

    fn add(&mut self, other: Self) {
        self.lasted += other.lasted;
        self.offered += other.offered;
        self.acked += other.acked;
    }

    fn shown(&self) -> String {
        let a_second = |events: u64| {
            u128::from(events).saturating_mul(1_000).checked_div(self.lasted.as_millis()).unwrap_or_default()
        };
        let Self { lasted, offered, acked } = *self;
        format!(
            "{} events/s offered and {} acknowledged ({offered} and {acked} in {}.{} s)",
            a_second(offered),
            a_second(acked),
            lasted.as_secs(),
            lasted.subsec_millis() / 100
        )
    }
}

/// The load between the kills, and all of it.
#[derive(Debug, Default)]
struct Loads {
    between: Throughput,
    all: Throughput,
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
    let mut loads = Loads::default();
    let mut left = kills;
    while left > 0 {
        let part = left.min(PART);
        run_part(stage, victim, part, &mut report, &mut loads, &bar).await?;
        left -= part;
    }
    report.note(format!("between kills {}", loads.between.shown()));
    report.note(format!("kills and recoveries included {}", loads.all.shown()));
    Ok(report)
}

/// Kills so often on one database, then heals and checks it.
async fn run_part(
    stage: &Stage,
    victim: Victim,
    kills: usize,
    report: &mut Report,
    loads: &mut Loads,
    bar: &indicatif::ProgressBar,
) -> anyhow::Result<()> {
    let mut trial = Trial::open(stage, report.faults, REPLICAS, true).await?;
    let load = Load::start(&trial.service, &trial.history, &mut trial.rng).await?;
    let (begin, nothing) = (Instant::now(), trial.history.counts());
    for _ in 0..kills {
        let (start, before) = (Instant::now(), trial.history.counts());
        // At a random point of whatever is under way.
        tokio::time::sleep(Duration::from_millis(trial.rng.random_range(victim.pause_ms()))).await;
        loads.between.add(Throughput::of(&trial.history, start, before));
        let returned = match victim {
            Victim::Server => kill_server(&mut trial).await?,
            Victim::Postgres => kill_postgres(&trial).await?,
        };
        report.returned(returned, super::RETURN_LIMIT);
        report.faults += 1;
        bar.inc(1);
    }
    loads.all.add(Throughput::of(&trial.history, begin, nothing));
    load.stop().await;
    trial.close(report).await
}

async fn kill_server(trial: &mut Trial<'_>) -> anyhow::Result<Duration> {
    let index = trial.rng.random_range(0..trial.replicas.len());
    let replica = trial.replicas.get_mut(index).context("there is no such replica")?;
    replica.kill()?;
    let start = Instant::now();
    replica.restart().await?;
    until_recording(replica, &trial.history).await?;
    Ok(start.elapsed())
}

/// The time counts from when Postgres answers again.
async fn kill_postgres(trial: &Trial<'_>) -> anyhow::Result<Duration> {
    trial.stage.cluster.kill().await?;
    trial.stage.cluster.restart().await?;
    let start = Instant::now();
    for replica in &trial.replicas {
        until_recording(replica, &trial.history).await?;
    }
    Ok(start.elapsed())
}
