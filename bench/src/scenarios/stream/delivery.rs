//! Events at a steady rate, and how soon each of them was seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::subscribers::Seen;
use crate::callers::recorded;
use crate::template::Template;
use crate::wire::{Connections, Wire};

/// Events a second.
pub(super) const RATE: u32 = 2_000;
/// Callers, who share the sessions among them: within a session events follow each other.
const PRODUCERS: u32 = 100;
const CONNECTIONS: usize = 4;
/// Digits that latencies are kept to.
const DIGITS: u8 = 3;

/// When the events of a session were acknowledged.
pub(super) type Acknowledged = Vec<(usize, Instant)>;

/// Those who record.
#[derive(Debug)]
pub(super) struct Producers {
    wires: Vec<Wire>,
    events: Arc<[Template]>,
}

impl Producers {
    /// An event for each session, again and again.
    pub(super) async fn new(url: &str, events: &Arc<[Template]>) -> anyhow::Result<Self> {
        let connections = Connections::open(url, CONNECTIONS).await?;
        let wires = (0..PRODUCERS as usize).map(|number| connections.nth(number)).collect::<anyhow::Result<_>>()?;
        Ok(Self { wires, events: events.clone() })
    }

    /// Records for so long.
    pub(super) async fn run(self, length: Duration) -> anyhow::Result<Acknowledged> {
        let mut producers = JoinSet::new();
        let end = Instant::now() + length;
        for (number, wire) in self.wires.into_iter().enumerate() {
            producers.spawn(produce(wire, self.events.clone(), number, end));
        }
        let mut all = Acknowledged::new();
        while let Some(acknowledged) = producers.join_next().await {
            all.extend(acknowledged??);
        }
        Ok(all)
    }
}

async fn produce(mut wire: Wire, events: Arc<[Template]>, number: usize, end: Instant) -> anyhow::Result<Acknowledged> {
    let period = Duration::from_secs(1) * PRODUCERS / RATE;
    // One after the other, so that they do not come in bursts.
    let offset = period / PRODUCERS * u32::try_from(number)?;
    let mut ticks = tokio::time::interval_at((Instant::now() + offset).into(), period);
    // Who falls behind catches up: the rate is what is asked for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut acknowledged = Acknowledged::new();
    let mut own = (number..events.len()).step_by(PRODUCERS as usize).cycle();
    loop {
        ticks.tick().await;
        if Instant::now() >= end {
            return Ok(acknowledged);
        }
        let session = own.next().context("there are more callers than sessions")?;
        let event = events.get(session).context("a session has no event")?;
        recorded(&wire.record(event.fresh()).await?)?;
        acknowledged.push((session, Instant::now()));
    }
}

/// Latencies in microseconds.
pub(super) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new(DIGITS)?)
}

/// Adds how long after its answer each event was in the totals that a subscriber had. Totals may come first.
///
/// # Errors
/// Where an event was never seen by a subscriber who reads.
pub(super) fn latencies(
    acknowledged: &Acknowledged,
    seen: &[Seen],
    latencies: &mut Histogram<u64>,
) -> anyhow::Result<()> {
    let mut counts = vec![0_i64; seen.len()];
    // Of one session in the order in which they were acknowledged: one caller recorded them.
    for (session, at) in acknowledged {
        let (Some(seen), Some(count)) = (seen.get(*session), counts.get_mut(*session)) else { continue };
        let Some((base, _)) = seen.first() else { continue };
        *count += 1;
        let from = seen.partition_point(|(calls, _)| *calls < base + *count);
        let (_, when) = seen.get(from).context("an event was never seen by its subscriber")?;
        latencies.record(u64::try_from(when.saturating_duration_since(*at).as_micros())?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_seen_with_the_first_totals_that_count_it() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let acknowledged = vec![(0, at(10)), (0, at(20)), (1, at(5))];
        // The second session's subscriber never reads; the first had seven calls before.
        let seen = vec![vec![(7, at(0)), (8, at(9)), (9, at(50))], Vec::new()];
        let mut all = histogram().unwrap();
        latencies(&acknowledged, &seen, &mut all).unwrap();
        assert_eq!((all.len(), all.min()), (2, 0));
        assert!(all.equivalent(all.max(), 30_000));
        let lost = vec![vec![(7, at(0))]];
        assert!(latencies(&acknowledged, &lost, &mut all).is_err());
    }
}
