//! kill -9 of a server, or of the whole of Postgres, under about 1,000 events a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::Rng as _;
use rand::rngs::StdRng;

use crate::caller::Endpoint;
use crate::checker;
use crate::history::History;
use crate::load::Load;
use crate::reader::Reader;
use crate::replica::Replica;
use crate::report::Report;
use crate::requests::{event, id_of};
use crate::stage::Stage;
use crate::wait::until;

/// Longest time until it serves again.
const RETURN_LIMIT: Duration = Duration::from_secs(10);
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
pub(crate) async fn servers(stage: &Stage) -> anyhow::Result<Report> {
    run(stage, Victim::Server, stage.rounds(4, 200), "server-kill").await
}

/// Kills Postgres.
pub(crate) async fn postgres(stage: &Stage) -> anyhow::Result<Report> {
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
    let mut rng = stage.rng(report.faults);
    let ground = stage.cluster.ground().await?;
    let (mut replicas, service) = stage.replicas(&ground, REPLICAS).await?;
    let history = Arc::new(History::default());
    let load = Load::start(&service, &history, &mut rng).await?;
    let start = Instant::now();
    let reader = Reader::start(ground.options.clone(), true);
    for _ in 0..kills {
        // At a random point of whatever is under way.
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..900))).await;
        let returned = match victim {
            Victim::Server => kill_server(&mut replicas, &mut rng, &history).await?,
            Victim::Postgres => kill_postgres(stage, &replicas, &history).await?,
        };
        report.returned(returned, RETURN_LIMIT);
        report.faults += 1;
        bar.inc(1);
    }
    let loaded = start.elapsed();
    load.stop().await;
    report.add_reading(reader.stop().await?);
    report.violations.extend(checker::check(&ground, &history, true).await?);
    report.add_history(&history);
    for replica in replicas {
        if !replica.stop().await? {
            report.violations.push("a server did not stop in order".to_owned());
        }
    }
    stage.cluster.drop_ground(ground).await?;
    Ok(loaded)
}

async fn kill_server(replicas: &mut [Replica], rng: &mut StdRng, history: &History) -> anyhow::Result<Duration> {
    let index = rng.random_range(0..replicas.len());
    let replica = replicas.get_mut(index).context("there is no such replica")?;
    replica.kill()?;
    let start = Instant::now();
    replica.restart().await?;
    until_recording(&replica.endpoint()?, history).await?;
    Ok(start.elapsed())
}

/// The time counts from when Postgres answers again.
async fn kill_postgres(stage: &Stage, replicas: &[Replica], history: &History) -> anyhow::Result<Duration> {
    stage.cluster.kill().await?;
    stage.cluster.restart().await?;
    let start = Instant::now();
    for replica in replicas {
        until_recording(&replica.endpoint()?, history).await?;
    }
    Ok(start.elapsed())
}

/// Waits until this replica has recorded an event.
async fn until_recording(endpoint: &Endpoint, history: &History) -> anyhow::Result<()> {
    let event = event(None, "probe", 1);
    history.intend(&event);
    until("an event is recorded", || async {
        match endpoint.record(event.clone()).await {
            crate::caller::Answer::Acked(_) => Some(()),
            _ => None,
        }
    })
    .await?;
    if let Some(id) = id_of(&event) {
        history.acked(id);
    }
    Ok(())
}
