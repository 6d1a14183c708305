//! One event a call, from 256 callers.

use super::Bench;
use super::record_batch::SESSIONS;
use crate::baselines::{connections, per_call};
use crate::callers::{Recorder, Turns, crew};
use crate::figures::{Goal, Row};
use crate::ledger::{self, Budgets};
use crate::load::{Sample, drive};
use crate::population::Population;
use crate::requests;
use crate::rounds::Series;
use crate::statistics::milliseconds;
use crate::usage::Watched;

/// Of the rate at which nothing but the wire is paid for.
const OVER_ECHO: Goal = Goal::RatioAtLeast(0.4);
/// Of the rate of SQL by hand.
const OVER_PER_CALL: Goal = Goal::RatioAtLeast(3.0);
/// Milliseconds.
const P99: Goal = Goal::AtMost(25.0);
/// Callers, and the connections that they share.
const CALLERS: usize = 256;
const CONNECTIONS: usize = 8;
/// Different events.
pub(super) const EVENTS: usize = 5_000;

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let stage = bench.stage;
    let span = bench.options.span();
    let population = Population::new(SESSIONS, SESSIONS)?;
    let mut rng = bench.rng();
    let events = requests::events(&population, EVENTS, &mut rng);
    let product = stage.product(1).await?;
    let url = product.url(0)?;
    Budgets::Three.create(&url).await?;
    let echo = stage.echo(&ledger::replies(&url, &population, &mut rng).await?).await?;
    let echo_url = echo.url();
    let recorders = async |url: &str| {
        crew(url, CALLERS, CONNECTIONS, |wire, start| Recorder { wire, events: Turns::new(events.clone(), start) })
            .await
    };
    let ground = stage.cluster.ground().await?;
    per_call::prepare(&ground, SESSIONS).await?;
    bench.tell("choosing connections of the baseline");
    let writers = |count| per_call::writers(&ground, SESSIONS, count);
    let writing = connections::best(&per_call::CONNECTIONS, bench.options.trial(), &stage.cluster, writers).await?;

    let database = Watched { servers: &[], cluster: Some(&stage.cluster) };
    let (mut echoes, mut records, mut calls) = (Series::default(), Series::default(), Series::default());
    for round in 1..=bench.options.rounds {
        bench.tell(format!("round {round}, echo"));
        echoes.push(drive(recorders(&echo_url).await?, span, echo.watched()).await?);
        stage.settle(&ground).await?;
        bench.tell(format!("round {round}, tollgate"));
        records.push(drive(recorders(&url).await?, span, product.watched(stage)).await?);
        per_call::prepare(&ground, SESSIONS).await?;
        stage.settle(&ground).await?;
        bench.tell(format!("round {round}, SQL per call"));
        calls.push(drive(writers(writing).await?, span, database).await?);
    }
    ledger::require_events(&product.ground, records.completed() + ledger::LEFT_BY_REPLIES).await?;

    let row = Row::rate("record-unary", &records, "events/s");
    let note = format!("{CALLERS} callers; echo p99 {:.2} ms", milliseconds(echoes.quantile(0.99)));
    bench.add(
        row.clone().beside("echo", echoes.rate(), records.over(&echoes, Sample::rate)).against(OVER_ECHO).note(note),
    )?;
    bench.add(
        row.beside(format!("SQL per call, {writing} connections"), calls.rate(), records.over(&calls, Sample::rate))
            .against(OVER_PER_CALL),
    )?;
    bench.add(
        Row::new("record-unary p99", milliseconds(records.quantile(0.99)), "ms").latencies(&records).against(P99),
    )?;
    stage.cluster.drop_ground(ground).await?;
    stage.end(product).await
}
