//! Thirty days of events, recorded fast: as if the service had run all that time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use bytes::Bytes;
use prost::Message as _;
use prost_types::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tollgate_proto::v1;
use tollgate_proto::v1::batch_record_usage_response::item::Item;
use uuid::{NoContext, Uuid};

use crate::population::Population;
use crate::requests::BATCH;
use crate::wire::{Connections, Wire};

/// Length of a day, and how many there are.
const DAY: Duration = Duration::from_secs(86_400);
const DAYS: u32 = 30;
/// Users, who come back again and again.
const USERS: usize = 500;
/// Calls of a session, and how long it lasts.
const CALLS: usize = 25;
const SESSION: Duration = Duration::from_secs(20 * 60);
/// Callers that record at once.
const CALLERS: usize = 4;

/// The events of thirty whole UTC days up to the last midnight.
#[derive(Debug, Clone)]
pub(crate) struct History {
    population: Arc<Population>,
    begin: SystemTime,
    end: SystemTime,
    seed: u64,
    batches: u64,
}

impl History {
    /// None yet.
    pub(crate) fn new(seed: u64) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let end = UNIX_EPOCH + DAY * u32::try_from(now.as_secs() / DAY.as_secs())?;
        let population = Arc::new(Population::new(usize::MAX, USERS)?);
        Ok(Self { population, begin: end - DAY * DAYS, end, seed, batches: 0 })
    }

    /// How many there are.
    pub(crate) fn events(&self) -> u64 {
        self.batches * BATCH as u64
    }

    /// How many sessions they have.
    pub(crate) fn sessions(&self) -> u64 {
        self.events() / CALLS as u64
    }

    /// From when, and until when.
    pub(crate) fn range(&self) -> (Timestamp, Timestamp) {
        (self.begin.into(), self.end.into())
    }

    /// Records so many more, spread over all days, and says how long that took.
    pub(crate) async fn record(&mut self, url: &str, events: u64) -> anyhow::Result<Duration> {
        let count = events / BATCH as u64;
        let connections = Connections::open(url, CALLERS).await?;
        let next = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            callers.spawn(self.clone().record_some(connections.nth(number)?, next.clone(), count));
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        self.batches += count;
        Ok(start.elapsed())
    }

    async fn record_some(self, mut wire: Wire, next: Arc<AtomicU64>, count: u64) -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let answer = wire.record_batch(self.batch(number, count)?).await?;
            for item in answer.items {
                match item.item.context("an event has no answer")? {
                    Item::Ok(_) => {}
                    Item::Error(error) => anyhow::bail!("an event was not recorded: {}", error.message),
                }
            }
        }
    }

    /// The sessions of one stretch of time, their calls in between each other.
    fn batch(&self, number: u64, count: u64) -> anyhow::Result<Bytes> {
        let serial = self.batches + number;
        let mut rng = StdRng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(serial));
        let room = DAY * DAYS - SESSION;
        let share = u32::try_from(number * 1_000_000 / count.max(1))?;
        let begin = self.begin + room / 1_000_000 * share;
        let first = usize::try_from(serial)? * (BATCH / CALLS);
        let mut moments: Vec<(Duration, usize)> =
            (0..BATCH).map(|call| (SESSION.mul_f64(rng.random_range(0.0..1.0)), first + call / CALLS)).collect();
        moments.sort_unstable();
        let events = moments.into_iter().map(|(offset, session)| {
            let at = begin + offset;
            Ok(self.population.event(session, at, id_at(at)?.to_string(), &mut rng))
        });
        let events = events.collect::<anyhow::Result<_>>()?;
        Ok(v1::BatchRecordUsageRequest { events, view: v1::ResponseView::Ack.into() }.encode_to_vec().into())
    }
}

/// An id as it would have been minted then.
fn id_at(at: SystemTime) -> anyhow::Result<Uuid> {
    let since = at.duration_since(UNIX_EPOCH)?;
    Ok(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_the_same_again_and_lies_in_its_days() {
        let history = History::new(7).unwrap();
        let batch = |number| v1::BatchRecordUsageRequest::decode(history.batch(number, 10).unwrap()).unwrap();
        let (begin, end) = history.range();
        for number in [0, 9] {
            let events = batch(number).events;
            assert_eq!(events.len(), BATCH);
            for event in &events {
                let at = event.start_time.unwrap();
                assert!(at.seconds >= begin.seconds && at.seconds < end.seconds, "{at}");
            }
            assert_eq!(events[3].start_time, batch(number).events[3].start_time);
        }
    }
}
