//! Memory of the server while it records batches, and while Postgres stands still under it.

use std::time::Duration;

use tokio::task::JoinSet;
use tollgate_stage::wait::until;

use super::Bench;
use super::record_batch::{BATCHES, CALLERS, CONNECTIONS, SESSIONS};
use crate::callers::{BatchRecorder, Turns, crew};
use crate::figures::{Goal, Row};
use crate::ledger::Budgets;
use crate::load::{Caller as _, drive};
use crate::population::Population;
use crate::requests;
use crate::rounds::Series;
use crate::statistics::mebibytes;
use crate::usage::Memory;

/// MiB.
const MOST: Goal = Goal::AtMost(256.0);
/// How long Postgres stands still, unless told otherwise.
const STALL: u64 = 30;
/// Callers that go on meanwhile, and their connections.
const INSISTING: usize = 64;
const INSISTING_CONNECTIONS: usize = 8;
/// How soon one that was refused comes back.
const AGAIN: Duration = Duration::from_millis(20);

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let stage = bench.stage;
    let population = Population::new(SESSIONS, SESSIONS)?;
    let batches = requests::batches(&population, BATCHES, &mut bench.rng());
    let product = stage.product(1).await?;
    let url = product.url(0)?;
    Budgets::Three.create(&url).await?;
    let recorders = async |callers: usize, connections: usize| {
        let make = |wire, start| BatchRecorder { wire, batches: Turns::new(batches.clone(), start) };
        crew(&url, callers, connections, make).await
    };
    bench.tell("recording batches");
    let mut series = Series::default();
    let callers = recorders(CALLERS, CONNECTIONS).await?;
    series.push(drive(callers, bench.options.span(), product.watched(stage)).await?);
    let busy = series.memory().server;
    bench.add(
        Row { value: mebibytes(busy).round(), unit: "MiB", ..Row::rate("memory, record-batch", &series, "") }
            .against(MOST),
    )?;

    let stall = Duration::from_secs(bench.options.seconds.unwrap_or(STALL));
    bench.tell(format!("postgres stands still for {stall:?}"));
    let mut insisting = JoinSet::new();
    for caller in recorders(INSISTING, INSISTING_CONNECTIONS).await? {
        insisting.spawn(insist(caller));
    }
    stage.cluster.pause()?;
    tokio::time::sleep(stall).await;
    stage.cluster.resume()?;
    insisting.shutdown().await;
    let highest = Memory::of(product.watched(stage)).server;
    bench.tell("postgres goes on");
    until("batches are recorded again", || async {
        let mut caller = recorders(1, 1).await.ok()?.pop()?;
        caller.call().await.ok().map(drop)
    })
    .await?;
    drive(recorders(CALLERS, CONNECTIONS).await?, bench.options.span(), product.watched(stage)).await?;
    let note = format!("{INSISTING} callers with batches of {}; afterwards it records as before", requests::BATCH);
    bench.add(Row::new("memory, postgres stalled", mebibytes(highest), "MiB").against(MOST).note(note))?;
    stage.end(product).await
}

/// Sends again and again, whatever is answered.
async fn insist(mut caller: BatchRecorder) {
    loop {
        if caller.call().await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    }
}
