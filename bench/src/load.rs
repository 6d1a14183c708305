//! Callers that each send their next request when the last one is answered, and what they saw.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::statistics;
use crate::usage::{Memory, ProcessorTime, Watched};

/// Digits that latencies are kept to.
const DIGITS: u8 = 3;

/// What one call came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// Operations that it did.
    pub(crate) operations: u64,
    /// The latency that counts, where it is not that of the whole call.
    pub(crate) latency: Option<Duration>,
}

impl Done {
    /// So many, all of the time.
    pub(crate) fn of(operations: u64) -> Self {
        Self { operations, latency: None }
    }
}

/// Calls again and again.
pub(crate) trait Caller: Send + 'static {
    /// Makes one call and waits for its answer.
    fn call(&mut self) -> impl Future<Output = anyhow::Result<Done>> + Send;
}

/// How long it is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Before anything counts.
    pub(crate) warm_up: Duration,
    /// What counts.
    pub(crate) length: Duration,
}

/// What a stretch of load came to.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Operations done in the stretch that counts.
    pub(crate) operations: u64,
    /// Operations done in all, warm-up and the last calls included.
    pub(crate) completed: u64,
    /// How long the stretch was.
    pub(crate) elapsed: Duration,
    /// Latencies in microseconds.
    pub(crate) latencies: Histogram<u64>,
    /// Operations by second of the stretch.
    pub(crate) timeline: Vec<u64>,
    /// Processor time of the stretch.
    pub(crate) processor: ProcessorTime,
    /// Memory at its end.
    pub(crate) memory: Memory,
}

impl Sample {
    /// Operations a second.
    pub(crate) fn rate(&self) -> f64 {
        statistics::rate(self.operations, self.elapsed)
    }

    /// The latency in microseconds that this share of the calls stays below.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        self.latencies.value_at_quantile(share)
    }
}

/// Drives all callers at once.
///
/// # Errors
/// Where a call fails, or no call was answered: figures of a broken run mean nothing.
pub(crate) async fn drive<C: Caller>(callers: Vec<C>, span: Span, watched: Watched<'_>) -> anyhow::Result<Sample> {
    let begin = Instant::now() + span.warm_up;
    let end = begin + span.length;
    let mut running = JoinSet::new();
    for caller in callers {
        running.spawn(repeat(caller, begin, end));
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = ProcessorTime::of(watched);
    tokio::time::sleep_until(end.into()).await;
    let processor = ProcessorTime::of(watched).since(before);
    let mut all = Tally::new()?;
    while let Some(tally) = running.join_next().await {
        all.add(tally??)?;
    }
    anyhow::ensure!(all.operations > 0, "no call was answered: measure for longer with --seconds");
    Ok(Sample {
        operations: all.operations,
        completed: all.completed,
        elapsed: span.length,
        latencies: all.latencies,
        timeline: all.timeline,
        processor,
        memory: Memory::of(watched),
    })
}

async fn repeat<C: Caller>(mut caller: C, begin: Instant, end: Instant) -> anyhow::Result<Tally> {
    let mut tally = Tally::new()?;
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(tally);
        }
        let done = caller.call().await?;
        tally.note(done, start, Instant::now(), begin, end)?;
    }
}

/// What one caller saw.
struct Tally {
    operations: u64,
    completed: u64,
    latencies: Histogram<u64>,
    timeline: Vec<u64>,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        let latencies = Histogram::new(DIGITS).context("latencies cannot be kept")?;
        Ok(Self { operations: 0, completed: 0, latencies, timeline: Vec::new() })
    }

    fn note(&mut self, done: Done, start: Instant, now: Instant, begin: Instant, end: Instant) -> anyhow::Result<()> {
        self.completed += done.operations;
        if now < begin || now >= end {
            return Ok(());
        }
        self.operations += done.operations;
        let latency = done.latency.unwrap_or(now - start);
        self.latencies.record(u64::try_from(latency.as_micros())?)?;
        let second = usize::try_from((now - begin).as_secs())?;
        if self.timeline.len() <= second {
            self.timeline.resize(second + 1, 0);
        }
        if let Some(count) = self.timeline.get_mut(second) {
            *count += done.operations;
        }
        Ok(())
    }

    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.operations += other.operations;
        self.completed += other.completed;
        self.latencies.add(other.latencies)?;
        if self.timeline.len() < other.timeline.len() {
            self.timeline.resize(other.timeline.len(), 0);
        }
        for (sum, count) in self.timeline.iter_mut().zip(other.timeline) {
            *sum += count;
        }
        Ok(())
    }
}
