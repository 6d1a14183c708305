//! Product and baselines take turns, so that what slows the machine down slows down all of them; each round gives one ratio.

use hdrhistogram::Histogram;

use crate::load::Sample;
use crate::statistics;
use crate::usage::{Memory, ProcessorTime};

/// What one side came to, round by round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    samples: Vec<Sample>,
}

/// One side over the other, over all rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    /// The median of the rounds.
    pub(crate) median: f64,
    /// The lowest round.
    pub(crate) low: f64,
    /// The highest round.
    pub(crate) high: f64,
}

impl Series {
    /// Adds a round.
    pub(crate) fn push(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// The median of a figure over the rounds.
    pub(crate) fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        statistics::median(self.samples.iter().map(figure).collect())
    }

    /// The median rate, in operations a second.
    pub(crate) fn rate(&self) -> f64 {
        self.median(Sample::rate)
    }

    /// The latency in microseconds that this share of all calls of all rounds stays below.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let mut samples = self.samples.iter();
        let Some(first) = samples.next() else { return 0 };
        let mut all: Histogram<u64> = first.latencies.clone();
        // Histograms that grow take in any other.
        let added = samples.try_for_each(|sample| all.add(&sample.latencies));
        added.map_or(0, |()| all.value_at_quantile(share))
    }

    /// This side over another, by a figure of each round.
    pub(crate) fn over(&self, other: &Self, figure: impl Fn(&Sample) -> f64) -> Ratio {
        let pairs = self.samples.iter().zip(&other.samples);
        let ratios: Vec<f64> = pairs.map(|(own, other)| statistics::ratio(figure(own), figure(other))).collect();
        let low = ratios.iter().copied().min_by(f64::total_cmp).unwrap_or_default();
        let high = ratios.iter().copied().max_by(f64::total_cmp).unwrap_or_default();
        Ratio { median: statistics::median(ratios), low, high }
    }

    /// Processor time of all rounds, and how many seconds they took.
    pub(crate) fn processor(&self) -> (ProcessorTime, f64) {
        let sum = |time: ProcessorTime, sample: &Sample| time.plus(sample.processor);
        let elapsed: std::time::Duration = self.samples.iter().map(|sample| sample.elapsed).sum();
        (self.samples.iter().fold(ProcessorTime::default(), sum), elapsed.as_secs_f64())
    }

    /// The most memory of all rounds.
    pub(crate) fn memory(&self) -> Memory {
        self.samples.iter().fold(Memory::default(), |memory, sample| memory.most(sample.memory))
    }

    /// Operations that were done, warm-ups included.
    pub(crate) fn completed(&self) -> u64 {
        self.samples.iter().map(|sample| sample.completed).sum()
    }
}
