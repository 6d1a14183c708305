//! Postgres answers late, and for a while not at all: callers are answered before their deadline, and memory stays bounded.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::trial::{Trial, until_recording};
use crate::caller::Answer;
use crate::load::Load;
use crate::proxy::Proxy;
use crate::report::Report;
use crate::requests::{event, id_of};
use crate::stage::Stage;

const DELAYS_MS: [u64; 3] = [50, 250, 1_000];
const REPLICAS: usize = 2;
const CALLERS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);
/// How much later than its patience a caller may be answered.
const GRACE: Duration = Duration::from_secs(1);
const MEMORY_LIMIT: u64 = 256 << 20;

/// Three delays and one stall.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let stall = Duration::from_secs(if stage.short { 3 } else { 30 });
    let ground = stage.cluster.ground().await?;
    let proxy = Proxy::start(&ground.socket).await?;
    let url = ground.url_through(proxy.port());
    let mut trial = Trial::over(stage, 0, ground, &url, REPLICAS, true).await?;
    let load = Load::start(&trial.service, &trial.history, &mut trial.rng).await?;
    for delay in DELAYS_MS {
        proxy.delay(Duration::from_millis(delay));
        call(&trial, &mut report).await;
        report.faults += 1;
    }
    proxy.delay(Duration::ZERO);
    proxy.stall(true);
    let stalled = Instant::now();
    while stalled.elapsed() < stall {
        call(&trial, &mut report).await;
    }
    report.faults += 1;
    proxy.stall(false);
    let start = Instant::now();
    for replica in &trial.replicas {
        until_recording(&replica.endpoint()?, &trial.history).await?;
        let resident = replica.resident_bytes().unwrap_or(0);
        if resident > MEMORY_LIMIT {
            report.violations.push(format!("a server keeps {} MiB in memory", resident >> 20));
        }
        report.note(format!("a server kept {} MiB in memory", resident >> 20));
    }
    report.returned(start.elapsed(), super::RETURN_LIMIT);
    load.stop().await;
    trial.close(&mut report).await?;
    Ok(report)
}

/// Every caller has an answer, or the word that there is none, when its time is over.
async fn call(trial: &Trial<'_>, report: &mut Report) {
    let calls = (0..CALLERS).map(|number| async move {
        let endpoint = trial.service.nth(number).clone().with_patience(PATIENCE);
        let event = event(None, "slow", 1);
        trial.history.intend(&event);
        let start = Instant::now();
        if let Answer::Acked(_) = endpoint.record(event.clone()).await
            && let Some(id) = id_of(&event)
        {
            trial.history.acked(id);
        }
        start.elapsed()
    });
    let slowest = join_all(calls).await.into_iter().max().unwrap_or_default();
    if slowest > PATIENCE + GRACE {
        report.violations.push(format!("a caller with a patience of {PATIENCE:?} waited {slowest:?}"));
    }
}
