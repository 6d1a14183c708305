//! Batches of 500 events: sessions, rollups and three budgets an event kept live, acknowledged when committed.

use anyhow::Context as _;

use super::Bench;
use crate::baselines::{connections, copy, per_call};
use crate::callers::{BatchRecorder, Turns, crew};
use crate::figures::{Goal, Row};
use crate::ledger::{self, Budgets};
use crate::load::{Sample, drive};
use crate::population::Population;
use crate::requests;
use crate::rounds::Series;
use crate::usage::Watched;

/// Of the rate of COPY.
const OVER_COPY: Goal = Goal::RatioAtLeast(0.2);
/// Of the rate of SQL by hand.
const OVER_PER_CALL: Goal = Goal::RatioAtLeast(6.0);
/// Callers, and the connections that they share.
pub(super) const CALLERS: usize = 8;
pub(super) const CONNECTIONS: usize = 4;
/// Sessions, each of a user of its own.
pub(super) const SESSIONS: usize = 1_000;
/// Different batches.
pub(super) const BATCHES: usize = 64;

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let stage = bench.stage;
    let (span, trial) = (bench.options.span(), bench.options.trial());
    let population = Population::new(SESSIONS, SESSIONS)?;
    let batches = requests::batches(&population, BATCHES, &mut bench.rng());
    let product = stage.product(1).await?;
    let url = product.url(0)?;
    Budgets::Three.create(&url).await?;
    let recorders = || {
        crew(&url, CALLERS, CONNECTIONS, |wire, start| BatchRecorder {
            wire,
            batches: Turns::new(batches.clone(), start),
        })
    };

    bench.tell("the first events");
    let mut completed = drive(recorders().await?, span, product.watched(stage)).await?.completed;
    let ground = stage.cluster.ground().await?;
    let rows = copy::harvest(&product.ground).await?;
    copy::prepare(&ground).await?;
    per_call::prepare(&ground, SESSIONS).await?;
    bench.tell("choosing connections of the baselines");
    let copiers = |count| copy::copiers(&ground, &rows, count);
    let copying = connections::best(&copy::CONNECTIONS, trial, &stage.cluster, copiers).await?;
    let writers = |count| per_call::writers(&ground, SESSIONS, count);
    let writing = connections::best(&per_call::CONNECTIONS, trial, &stage.cluster, writers).await?;

    let database = Watched { servers: &[], cluster: Some(&stage.cluster) };
    let (mut copies, mut records, mut calls) = (Series::default(), Series::default(), Series::default());
    for round in 1..=bench.options.rounds {
        copy::prepare(&ground).await?;
        stage.settle(&ground).await?;
        bench.tell(format!("round {round}, copy"));
        copies.push(drive(copiers(copying).await?, span, database).await?);
        stage.settle(&ground).await?;
        bench.tell(format!("round {round}, tollgate"));
        records.push(drive(recorders().await?, span, product.watched(stage)).await?);
        per_call::prepare(&ground, SESSIONS).await?;
        stage.settle(&ground).await?;
        bench.tell(format!("round {round}, SQL per call"));
        calls.push(drive(writers(writing).await?, span, database).await?);
    }
    completed += records.completed();
    ledger::require_events(&product.ground, completed).await.context("record-batch")?;

    let row = Row::rate("record-batch", &records, "events/s");
    let budgets = Budgets::Three.counters();
    bench.add(
        row.clone()
            .beside(format!("copy, {copying} connections"), copies.rate(), records.over(&copies, Sample::rate))
            .against(OVER_COPY)
            .note(format!("latency of a batch of {}; {budgets} counters an event", requests::BATCH)),
    )?;
    bench.add(
        row.beside(format!("SQL per call, {writing} connections"), calls.rate(), records.over(&calls, Sample::rate))
            .against(OVER_PER_CALL),
    )?;
    stage.cluster.drop_ground(ground).await?;
    stage.end(product).await
}
