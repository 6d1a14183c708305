//! Connections between server and Postgres, cut before, during and after COMMIT.

use std::time::{Duration, Instant};

use rand::Rng as _;

use super::trial::{Trial, until_recording};
use crate::load::Load;
use crate::proxy::{Cut, Proxy};
use crate::report::Report;
use crate::stage::Stage;
use tollgate_stage::wait::bounded;

const POINTS: [(Cut, &str); 3] = [(Cut::Before, "before"), (Cut::During, "during"), (Cut::After, "after")];
/// Cuts on one database, after which everything is checked.
const PART: usize = 250;
const REPLICAS: usize = 2;

/// Cuts so often at each point.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let cuts = stage.rounds(20, 1_000);
    let mut report = Report::default();
    let bar = stage.progress("cuts", cuts * POINTS.len());
    for (point, name) in POINTS {
        let start = Instant::now();
        let mut left = cuts;
        while left > 0 {
            let part = left.min(PART);
            cut(stage, point, part, &mut report, &bar).await?;
            left -= part;
        }
        report.note(format!("{cuts} cuts {name} COMMIT in {} s", start.elapsed().as_secs()));
    }
    Ok(report)
}

async fn cut(
    stage: &Stage,
    point: Cut,
    cuts: usize,
    report: &mut Report,
    bar: &indicatif::ProgressBar,
) -> anyhow::Result<()> {
    let ground = stage.cluster.ground().await?;
    let proxy = Proxy::start(&ground.socket).await?;
    let url = ground.url_through(proxy.port());
    let mut trial = Trial::over(stage, report.faults, ground, &url, REPLICAS, true).await?;
    let load = Load::start(&trial.service, &trial.history, &mut trial.rng).await?;
    for _ in 0..cuts {
        // Some commits pass in between, so that the callers get on.
        tokio::time::sleep(Duration::from_millis(trial.rng.random_range(0..50))).await;
        bounded("a commit to cut", proxy.cut_next(point)).await??;
        report.faults += 1;
        bar.inc(1);
    }
    let start = Instant::now();
    for replica in &trial.replicas {
        until_recording(replica, &trial.history).await?;
    }
    report.returned(start.elapsed(), super::RETURN_LIMIT);
    load.stop().await;
    trial.close(report).await
}
