//! Running totals for 1,000 and 10,000 subscribers on 100 connections, of which a tenth never reads: how soon they see an event
//! that was acknowledged, what each of them costs in memory, and what they cost those who record.

mod delivery;
mod subscribers;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;

use self::delivery::Producers;
use self::subscribers::Subscribers;
use super::Bench;
use crate::callers::{Recorder, Turns, crew};
use crate::figures::{Goal, Row};
use crate::ledger::Budgets;
use crate::load::{Sample, drive};
use crate::population::Population;
use crate::requests;
use crate::rounds::Series;
use crate::statistics::{loss, mebibytes, milliseconds, per, percent, rate};
use crate::template::Template;

/// Milliseconds from the answer to a record until the subscriber has the totals with it.
const DELIVERY: Goal = Goal::AtMost(50.0);
/// KiB.
const MEMORY: Goal = Goal::AtMost(16.0);
/// Of the rate of recording without subscribers.
const RECORDING: Goal = Goal::RatioAtLeast(0.9);
/// How many subscribers, each with a session of its own.
const COUNTS: [usize; 2] = [1_000, 10_000];
const USERS: usize = 1_000;
/// Callers of what is recorded as fast as possible.
const CALLERS: usize = 64;
const CONNECTIONS: usize = 4;
/// Until allocators and timers have come to rest.
const REST: Duration = Duration::from_secs(1);

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    for count in COUNTS {
        with(bench, count).await?;
    }
    Ok(())
}

async fn with(bench: &mut Bench<'_>, count: usize) -> anyhow::Result<()> {
    let stage = bench.stage;
    let span = bench.options.span();
    let events = each_session(count, &mut bench.rng())?;
    let product = stage.product(1).await?;
    let url = product.url(0)?;
    Budgets::Three.create(&url).await?;
    let recorders =
        || crew(&url, CALLERS, CONNECTIONS, |wire, start| Recorder { wire, events: Turns::new(events.clone(), start) });

    bench.tell(format!("{count} subscribers subscribe"));
    let subscribers = Subscribers::connect(&url).await?;
    tokio::time::sleep(REST).await;
    let before = product.resident_bytes();
    let mut first = Some(subscribers.subscribe(count).await?);
    tokio::time::sleep(REST).await;
    let idle = product.resident_bytes().saturating_sub(before);

    let (mut watched, mut alone) = (Series::default(), Series::default());
    let mut deliveries = delivery::histogram()?;
    let mut recorded = 0;
    for round in 1..=bench.options.rounds {
        let mut open = match first.take() {
            Some(open) => open,
            None => subscribers.subscribe(count).await?,
        };
        bench.tell(format!("round {round}, {count} subscribers, {} events/s", delivery::RATE));
        let acknowledged = Producers::new(&url, &events).await?.run(span.length).await?;
        recorded += acknowledged.len() as u64;
        tokio::time::sleep(REST).await;
        open.require_open()?;
        let seen = open.seen_so_far();
        delivery::latencies(&acknowledged, &seen, &mut deliveries)?;
        bench.tell(format!("round {round}, recording beside {count} subscribers"));
        watched.push(drive(recorders().await?, span, product.watched(stage)).await?);
        open.close().await;
        tokio::time::sleep(REST).await;
        bench.tell(format!("round {round}, recording alone"));
        alone.push(drive(recorders().await?, span, product.watched(stage)).await?);
    }

    let scenario = format!("stream, {count} subscribers");
    let each = per(idle, 1_024 * count as u64);
    let rate = rate(recorded, span.length * u32::try_from(bench.options.rounds)?);
    let note = format!("{} deliveries at {rate:.0} of {} events/s", deliveries.len(), delivery::RATE);
    let row = Row::new(format!("{scenario}: delivery p99"), milliseconds(deliveries.value_at_quantile(0.99)), "ms");
    let quantile = |share| Some(deliveries.value_at_quantile(share));
    bench.add(Row { p50_us: quantile(0.5), p99_us: quantile(0.99), ..row }.against(DELIVERY).note(note))?;
    let note = format!("{:.1} MiB for all of them, connections not counted", mebibytes(idle));
    bench.add(Row::new(format!("{scenario}: memory"), each, "KiB/subscriber").against(MEMORY).note(note))?;
    let lost = loss(watched.rate(), alone.rate());
    bench.add(
        Row::rate(format!("{scenario}: recording"), &watched, "events/s")
            .beside("without subscribers", alone.rate(), watched.over(&alone, Sample::rate))
            .against(RECORDING)
            .note(format!("{:.1} % lost", percent(lost))),
    )?;
    stage.end(product).await
}

/// An event of each session.
fn each_session(count: usize, rng: &mut StdRng) -> anyhow::Result<Arc<[Template]>> {
    let population = Population::new(count, USERS)?;
    Ok((0..count).map(|session| requests::event_of(&population, session, rng)).collect())
}
