//! Postgres is stopped for a minute under the load of programs that use the client's recorder.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tollgate_client::{Client, Recorder};

use super::trial::Trial;
use crate::history::History;
use crate::report::Report;
use crate::requests::event;
use crate::stage::Stage;
use tollgate_stage::wait::LONGEST;

const REPLICAS: usize = 2;
const PROGRAMS: usize = 4;
/// Events of one program every tick.
const EVENTS: u64 = 5;
const TICK: Duration = Duration::from_millis(50);
/// Most events that wait or are under way where recording keeps pace: those of one tick.
const QUEUED_AT_PACE: u64 = PROGRAMS as u64 * EVENTS;
/// Room for everything that is told meanwhile.
const QUEUED_EVENTS: usize = 200_000;
const QUEUED_BYTES: usize = 256 << 20;

/// One outage.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let outage = Duration::from_secs(if stage.short { 4 } else { 60 });
    let trial = Trial::open(stage, 0, REPLICAS, true).await?;
    let stop = CancellationToken::new();
    let mut recorders = Vec::new();
    let mut programs = Vec::new();
    for number in 0..PROGRAMS {
        let client = Client::builder(trial.service_url(number)?).connect_lazy()?;
        let recorder =
            Recorder::builder(client).max_queued_events(QUEUED_EVENTS).max_queued_bytes(QUEUED_BYTES).start();
        programs.push(tell(recorder.clone(), trial.history.clone(), stop.clone()));
        recorders.push(recorder);
    }
    let before = goodput(&recorders).await;
    trial.stage.cluster.stop().await?;
    tokio::time::sleep(outage).await;
    trial.stage.cluster.restart().await?;
    let start = Instant::now();
    let backlog = queued(&recorders);
    // Offered is what the programs tell in a second; they tell it at the same pace all the time.
    let offered = PROGRAMS as u64 * EVENTS * 20;
    let mut after = 0;
    while after * 10 < offered * 9 && start.elapsed() < super::RETURN_LIMIT {
        after = goodput(&recorders).await;
    }
    report.returned(start.elapsed(), super::RETURN_LIMIT);
    report.note(format!(
        "out for {} s; {offered} events/s offered, {before} recorded before, {after} in the first second above 90 %",
        outage.as_secs()
    ));
    // What was recorded so far may be what was told during the outage: the present is served once nothing of that waits.
    let left = until_caught_up(&recorders, start).await;
    report.note(format!("{backlog} events waited at the return, {left} after {:?}", start.elapsed()));
    if left > QUEUED_AT_PACE {
        let elapsed = start.elapsed();
        report.violations.push(format!("{left} events still wait {elapsed:?} after the return, as told to recorders"));
    }
    stop.cancel();
    let told: u64 = try_join_all(programs).await?.into_iter().sum();
    report.violations.extend(delivered(&recorders, told, &trial.history).await?);
    report.faults = 1;
    trial.close(&mut report).await?;
    Ok(report)
}

/// Events recorded within one second.
async fn goodput(recorders: &[Recorder]) -> u64 {
    let before = recorded(recorders);
    tokio::time::sleep(Duration::from_secs(1)).await;
    recorded(recorders).saturating_sub(before)
}

/// Waits until no more events wait than at a steady pace; says how many do.
async fn until_caught_up(recorders: &[Recorder], start: Instant) -> u64 {
    loop {
        let waiting = queued(recorders);
        if waiting <= QUEUED_AT_PACE || start.elapsed() > super::RETURN_LIMIT {
            return waiting;
        }
        tokio::time::sleep(TICK / 10).await;
    }
}

fn queued(recorders: &[Recorder]) -> u64 {
    recorders.iter().map(|recorder| recorder.counts().queued).sum()
}

fn recorded(recorders: &[Recorder]) -> u64 {
    recorders.iter().map(|recorder| recorder.counts()).map(|counts| counts.recorded + counts.duplicate).sum()
}

/// Waits until everything is delivered. From then on every event that was told counts as acknowledged.
async fn delivered(recorders: &[Recorder], told: u64, history: &Arc<History>) -> anyhow::Result<Vec<String>> {
    let mut violations = Vec::new();
    for recorder in recorders {
        let counts = recorder.shutdown(LONGEST).await?;
        if counts.dropped > 0 || counts.rejected > 0 || counts.queued > 0 {
            violations.push(format!("a recorder lost events: {counts:?}"));
        }
    }
    if recorded(recorders) != told {
        violations.push(format!("{told} events were told and {} recorded", recorded(recorders)));
    }
    history.events().keys().for_each(|id| history.acked(*id));
    Ok(violations)
}

/// Tells events at a steady pace; says how many.
fn tell(recorder: Recorder, history: Arc<History>, stop: CancellationToken) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut told = 0;
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = stop.cancelled() => return told,
            }
            for number in 0..EVENTS {
                let event = event(None, "recorded", number + 1);
                history.intend(&event);
                recorder.record(event);
                told += 1;
            }
        }
    })
}
