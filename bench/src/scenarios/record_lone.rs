//! One caller: what a commit costs when nobody shares it.

use super::Bench;
use super::record_batch::SESSIONS;
use super::record_unary::EVENTS;
use crate::callers::{Recorder, Turns, crew};
use crate::figures::{Goal, Row};
use crate::ledger::{self, Budgets};
use crate::load::{Sample, drive};
use crate::population::Population;
use crate::requests;
use crate::rounds::Series;

/// Microseconds.
const P50: Goal = Goal::AtMost(1_000.0);

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
    let recorder = async |url: &str| {
        crew(url, 1, 1, |wire, start| Recorder { wire, events: Turns::new(events.clone(), start) }).await
    };
    let (mut echoes, mut records) = (Series::default(), Series::default());
    for round in 1..=bench.options.rounds {
        bench.tell(format!("round {round}, echo"));
        echoes.push(drive(recorder(&echo_url).await?, span, echo.watched()).await?);
        stage.settle(&product.ground).await?;
        bench.tell(format!("round {round}, tollgate"));
        records.push(drive(recorder(&url).await?, span, product.watched(stage)).await?);
    }
    ledger::require_events(&product.ground, records.completed() + ledger::LEFT_BY_REPLIES).await?;
    let p50 = |sample: &Sample| sample.quantile(0.5) as f64;
    let row = Row { value: records.median(p50), unit: "us p50", ..Row::rate("record-lone", &records, "") };
    bench.add(row.beside("echo", echoes.median(p50), records.over(&echoes, p50)).against(P50))?;
    stage.end(product).await
}
