//! Checks that only look, from 64 callers.

use super::Bench;
use super::check_hot::{CALLERS, CHECKS, CONNECTIONS};
use super::record_batch::SESSIONS;
use crate::callers::{Checker, Turns, crew};
use crate::echo::Replies;
use crate::figures::{Goal, Row};
use crate::ledger::{self, Budgets};
use crate::load::{Sample, drive};
use crate::population::Population;
use crate::requests;
use crate::rounds::Series;
use crate::wire::Connections;

/// Of the rate at which nothing but the wire is paid for.
const OVER_ECHO: Goal = Goal::RatioAtLeast(0.8);

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let stage = bench.stage;
    let span = bench.options.span();
    let population = Population::new(SESSIONS, SESSIONS)?;
    let mut rng = bench.rng();
    let checks = requests::peeks(&population, CHECKS, &mut rng);
    let product = stage.product(1).await?;
    let url = product.url(0)?;
    Budgets::One.create(&url).await?;
    // There is something to look at.
    let replies = ledger::replies(&url, &population, &mut rng).await?;
    let mut wire = Connections::open(&url, 1).await?.nth(0)?;
    let check = wire.check(Turns::new(checks.clone(), 0).next()?.fresh()).await?;
    let echo = stage.echo(&Replies { check, ..replies }).await?;
    let echo_url = echo.url();
    let checkers = async |url: &str| {
        crew(url, CALLERS, CONNECTIONS, |wire, start| Checker { wire, checks: Turns::new(checks.clone(), start) }).await
    };
    let (mut echoes, mut peeks) = (Series::default(), Series::default());
    for round in 1..=bench.options.rounds {
        bench.tell(format!("round {round}, echo"));
        echoes.push(drive(checkers(&echo_url).await?, span, echo.watched()).await?);
        bench.tell(format!("round {round}, tollgate"));
        peeks.push(drive(checkers(&url).await?, span, product.watched(stage)).await?);
    }
    bench.add(
        Row::rate("check-peek", &peeks, "checks/s")
            .beside("echo", echoes.rate(), peeks.over(&echoes, Sample::rate))
            .against(OVER_ECHO)
            .note(format!("{CALLERS} callers")),
    )?;
    stage.end(product).await
}
