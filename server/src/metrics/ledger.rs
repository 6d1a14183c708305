//! What is counted of the ledger's batches and of checks.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};
use tollgate_domain::budget::Decision;

/// Commands of a batch: from a lone call to the most that can be configured.
const COMMANDS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0];
/// Seconds of a transaction.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];

/// How a check was decided that the database was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckMode {
    /// It held what it was allowed.
    Reserve,
    /// It held nothing.
    Peek,
}

impl CheckMode {
    const ALL: [Self; 2] = [Self::Reserve, Self::Peek];

    const fn label(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Peek => "peek",
        }
    }
}

/// Why a batch is run once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchRetry {
    /// The database did not answer, or the connection broke.
    Unavailable,
    /// Another transaction was in the way.
    Contended,
    /// A statement took too long.
    TimedOut,
    /// Another writer was first with the same ids.
    Raced,
}

impl BatchRetry {
    const ALL: [Self; 4] = [Self::Unavailable, Self::Contended, Self::TimedOut, Self::Raced];

    const fn label(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Contended => "contended",
            Self::TimedOut => "timed_out",
            Self::Raced => "raced",
        }
    }
}

/// The decisions, as they are shown.
const DECISIONS: [&str; 4] = ["allowed", "downgraded", "throttled", "denied"];

/// The metrics of the ledger.
#[derive(Debug, Clone)]
pub struct LedgerMetrics {
    batch_commands: Histogram,
    commit_seconds: Histogram,
    retries: IntCounterVec,
    checks: IntCounterVec,
}

impl LedgerMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let batch_commands = Histogram::with_opts(
            HistogramOpts::new("ledger_batch_commands", "Commands of a committed batch.").buckets(COMMANDS.to_vec()),
        )?;
        let commit_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "ledger_commit_seconds",
                "Time of a batch that committed, from its first statement of the first try to its commit.",
            )
            .buckets(SECONDS.to_vec()),
        )?;
        let retries = IntCounterVec::new(
            Opts::new("ledger_batch_retries_total", "Batches that were run once more, by why."),
            &["reason"],
        )?;
        let checks = IntCounterVec::new(
            Opts::new(
                "checks_total",
                "Checks that were decided on the database's counters, by decision and whether they hold. Those answered without \
                 the database are in degraded_checks_total.",
            ),
            &["decision", "mode"],
        )?;
        registry.register(Box::new(batch_commands.clone()))?;
        registry.register(Box::new(commit_seconds.clone()))?;
        registry.register(Box::new(retries.clone()))?;
        registry.register(Box::new(checks.clone()))?;
        for reason in BatchRetry::ALL {
            retries.with_label_values(&[reason.label()]).inc_by(0);
        }
        for mode in CheckMode::ALL {
            for decision in DECISIONS {
                checks.with_label_values(&[decision, mode.label()]).inc_by(0);
            }
        }
        Ok(Self { batch_commands, commit_seconds, retries, checks })
    }

    /// Counts a batch that committed.
    pub fn committed(&self, commands: usize, took: Duration) {
        self.batch_commands.observe(f64::from(u32::try_from(commands).unwrap_or(u32::MAX)));
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Counts a batch that is run once more.
    pub fn retried(&self, reason: BatchRetry) {
        self.retries.with_label_values(&[reason.label()]).inc();
    }

    /// Counts a check.
    pub fn checked(&self, decision: &Decision, mode: CheckMode) {
        let [allowed, downgraded, throttled, denied] = DECISIONS;
        let decision = match decision {
            Decision::Allowed => allowed,
            Decision::Downgraded(_) => downgraded,
            Decision::Throttled { .. } => throttled,
            Decision::Denied(_) => denied,
        };
        self.checks.with_label_values(&[decision, mode.label()]).inc();
    }
}
