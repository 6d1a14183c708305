//! What the orchestrator counts by itself while it replays.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::sums::Sums;

/// What became of one call.
#[derive(Debug)]
pub(super) enum Ending {
    /// It ran and is recorded.
    Recorded {
        /// The model that ran.
        model: String,
        /// Its share of the sums.
        sums: Sums,
        /// Why another model ran than the one asked for; `None` = it did not.
        downgrade: Option<String>,
        /// How long the check took.
        check: Duration,
        /// How long the record took.
        record: Duration,
    },
    /// A budget refused it.
    Refused {
        /// Why.
        explanation: String,
        /// How long the check took.
        check: Duration,
    },
    /// It could not be checked, recorded or priced.
    Failed(String),
}

/// How long answers took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Latency {
    /// Half of the answers came within this time, in microseconds.
    pub(super) p50_microseconds: u64,
    /// 99 of 100 answers came within this time, in microseconds.
    pub(super) p99_microseconds: u64,
}

/// Everything counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What is recorded.
    pub(super) recorded: Sums,
    /// The same by the model that ran.
    pub(super) by_model: BTreeMap<String, Sums>,
    /// Calls that a budget refused.
    pub(super) refused: u64,
    /// Calls that ran on another model than the one asked for.
    pub(super) downgraded: u64,
    /// Calls that failed.
    pub(super) failed: u64,
    /// The first of each, explained.
    pub(super) first_refusal: Option<String>,
    pub(super) first_downgrade: Option<String>,
    pub(super) first_failure: Option<String>,
    checks: Vec<Duration>,
    records: Vec<Duration>,
}

impl Tally {
    /// Counts one call.
    pub(super) fn count(&mut self, ending: Ending) {
        match ending {
            Ending::Recorded { model, sums, downgrade, check, record } => {
                self.recorded.add(&sums);
                self.by_model.entry(model).or_default().add(&sums);
                if let Some(explanation) = downgrade {
                    self.downgraded = self.downgraded.saturating_add(1);
                    self.first_downgrade.get_or_insert(explanation);
                }
                self.checks.push(check);
                self.records.push(record);
            }
            Ending::Refused { explanation, check } => {
                self.refused = self.refused.saturating_add(1);
                self.first_refusal.get_or_insert(explanation);
                self.checks.push(check);
            }
            Ending::Failed(why) => {
                self.failed = self.failed.saturating_add(1);
                self.first_failure.get_or_insert(why);
            }
        }
    }

    /// Calls that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.recorded.calls.saturating_add(self.refused).saturating_add(self.failed)
    }

    /// Checks that were answered.
    pub(super) fn checks(&self) -> usize {
        self.checks.len()
    }

    /// How long checks took.
    pub(super) fn check_latency(&self) -> Option<Latency> {
        latency(&self.checks)
    }

    /// How long records took.
    pub(super) fn record_latency(&self) -> Option<Latency> {
        latency(&self.records)
    }
}

fn latency(spans: &[Duration]) -> Option<Latency> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    let at_percent = |percent: usize| {
        // The smallest span that so many percent do not exceed.
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map(|span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    };
    Some(Latency { p50_microseconds: at_percent(50)?, p99_microseconds: at_percent(99)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_spans_that_were_measured() {
        let spans: Vec<_> = (1..=200).rev().map(Duration::from_micros).collect();
        assert_eq!(latency(&spans), Some(Latency { p50_microseconds: 100, p99_microseconds: 198 }));
        let one = [Duration::from_micros(7)];
        assert_eq!(latency(&one), Some(Latency { p50_microseconds: 7, p99_microseconds: 7 }));
        assert_eq!(latency(&[]), None);
    }

    #[test]
    fn every_call_ends_once() {
        let mut tally = Tally::default();
        let spent = Sums { calls: 1, input_tokens: 2, output_tokens: 3, usd: rust_decimal::Decimal::ONE };
        let (check, record) = (Duration::from_micros(1), Duration::from_micros(2));
        tally.count(Ending::Recorded { model: "m".into(), sums: spent, downgrade: Some("d".into()), check, record });
        tally.count(Ending::Refused { explanation: "first".into(), check });
        tally.count(Ending::Refused { explanation: "second".into(), check });
        tally.count(Ending::Failed("f".into()));
        assert_eq!((tally.ended(), tally.refused, tally.downgraded, tally.checks()), (4, 2, 1, 3));
        assert_eq!(tally.first_refusal.as_deref(), Some("first"));
        assert_eq!(tally.recorded, spent);
        assert_eq!(tally.by_model.get("m"), Some(&spent));
    }
}
