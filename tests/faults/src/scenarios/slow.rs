//! Postgres answers late, and for a while not at all: the servers themselves answer every call by its deadline, and their
//! memory stays bounded.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::trial::{Trial, until_recording};
use crate::bare_caller::BareCaller;
use crate::history::History;
use crate::load::Load;
use crate::proxy::Proxy;
use crate::report::Report;
use crate::requests::{event, id_of};
use crate::stage::Stage;

const DELAYS_MS: [u64; 3] = [10, 100, 1_000];
const REPLICAS: usize = 2;
const CALLERS: usize = 32;
/// What the calls allow: less than a server tries for by itself.
const DEADLINE: Duration = Duration::from_secs(3);
/// How much later than its deadline a call may be answered by a loaded machine.
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
    let mut callers = Vec::new();
    for number in 0..CALLERS {
        callers.push(BareCaller::new(&trial.service_url(number)?, DEADLINE)?);
    }
    let mut answers = Answers::default();
    for delay in DELAYS_MS {
        proxy.delay(Duration::from_millis(delay));
        call(&callers, &trial.history, &mut answers).await;
        report.faults += 1;
    }
    proxy.delay(Duration::ZERO);
    proxy.stall(true);
    let stalled = Instant::now();
    while stalled.elapsed() < stall {
        call(&callers, &trial.history, &mut answers).await;
    }
    report.faults += 1;
    proxy.stall(false);
    let start = Instant::now();
    for replica in &trial.replicas {
        until_recording(replica, &trial.history).await?;
    }
    report.returned(start.elapsed(), super::RETURN_LIMIT);
    let Answers { recorded, refused, missing, slowest } = answers;
    report.note(format!(
        "deadlines of {DEADLINE:?}: {recorded} calls recorded, {refused} told that they are not, the slowest after {slowest:?}"
    ));
    if missing > 0 {
        report.violations.push(format!("{missing} calls had no answer {GRACE:?} after their deadline"));
    }
    for replica in &trial.replicas {
        let peak = replica.highest_resident_bytes()?;
        if peak > MEMORY_LIMIT {
            report.violations.push(format!("a server had {} MiB in memory", peak >> 20));
        }
        report.note(format!("a server had {} MiB in memory at most", peak >> 20));
    }
    load.stop().await;
    trial.close(&mut report).await?;
    Ok(report)
}

/// What servers said.
#[derive(Debug, Default)]
struct Answers {
    recorded: u64,
    refused: u64,
    missing: u64,
    slowest: Duration,
}

/// One call of each caller, answered or not.
async fn call(callers: &[BareCaller], history: &History, answers: &mut Answers) {
    let calls = callers.iter().map(|caller| async move {
        let event = event(None, "slow", 1);
        history.intend(&event);
        let start = Instant::now();
        let answer = tokio::time::timeout(DEADLINE + GRACE, caller.record(event.clone())).await;
        if let Ok(Ok(_)) = answer
            && let Some(id) = id_of(&event)
        {
            history.acked(id);
        }
        (answer, start.elapsed())
    });
    for (answer, elapsed) in join_all(calls).await {
        match answer {
            Ok(Ok(_)) => answers.recorded += 1,
            Ok(Err(status)) if BareCaller::is_answer(&status) => answers.refused += 1,
            Ok(Err(_)) | Err(_) => answers.missing += 1,
        }
        answers.slowest = answers.slowest.max(elapsed);
    }
}
