//! When and how often an attempt is repeated.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::Rng;

/// How calls are retried: exponential backoff with full jitter, bounded attempts, and never past the deadline of the call.
///
/// Retried are UNAVAILABLE, DEADLINE_EXCEEDED, and RESOURCE_EXHAUSTED with a time to come back, always with the same ids, so
/// that nothing counts twice.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// The most attempts of one call, the first included. At least 1; 0 counts as 1. Default 5.
    pub max_attempts: u32,
    /// The most time to wait before the first retry; it doubles with every further one. Default 50 ms.
    pub initial_backoff: Duration,
    /// The most time to wait before any retry. Default 2 s.
    pub max_backoff: Duration,
    /// The most time that one attempt may take. Default 3 s.
    pub attempt_timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            initial_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(2),
            attempt_timeout: Duration::from_secs(3),
        }
    }
}

impl RetryPolicy {
    /// A policy that sends every call once.
    #[must_use]
    pub fn never() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// The most time to wait after that many failures, of which there was at least one.
    fn backoff_ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.initial_backoff.saturating_mul(1 << doublings).min(self.max_backoff)
    }

    /// A random time to wait after that many failures, so that callers that failed together do not come back together. Never
    /// less than the server asked for; its wish is spread upwards by the jitter.
    pub(crate) fn backoff(&self, failures: u32, retry_after: Option<Duration>) -> Duration {
        let ceiling = u64::try_from(self.backoff_ceiling(failures).as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(rand::rng().random_range(0..=ceiling));
        retry_after.unwrap_or_default().saturating_add(jitter)
    }
}

/// Keeps retries of all calls of a client to a share of its calls, so that an outage is not answered with a storm: a tenth of
/// them on average, after a reserve for short faults.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    tenths: AtomicU32,
}

impl RetryBudget {
    /// The reserve: so many retries in tenths are free.
    const FULL: u32 = 1_000;
    /// What a call adds.
    const CALL: u32 = 1;
    /// What a retry costs.
    const RETRY: u32 = 10;

    pub(crate) fn new() -> Self {
        Self { tenths: AtomicU32::new(Self::FULL) }
    }

    /// Adds the share of one call.
    pub(crate) fn deposit(&self) {
        let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| {
            Some(tenths.saturating_add(Self::CALL).min(Self::FULL))
        });
    }

    /// Takes the price of one retry, unless too little is left.
    pub(crate) fn withdraw(&self) -> bool {
        self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| tenths.checked_sub(Self::RETRY)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_ceiling() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.backoff_ceiling(1), Duration::from_millis(50));
        assert_eq!(policy.backoff_ceiling(3), Duration::from_millis(200));
        assert_eq!(policy.backoff_ceiling(u32::MAX), Duration::from_secs(2));
    }

    #[test]
    fn backoff_is_never_shorter_than_asked_for() {
        let policy = RetryPolicy::default();
        for failures in 1..50 {
            let wait = policy.backoff(failures, Some(Duration::from_secs(7)));
            assert!((Duration::from_secs(7)..=Duration::from_secs(9)).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn an_outage_is_retried_for_a_tenth_of_the_calls() {
        let budget = RetryBudget::new();
        while budget.withdraw() {}
        let mut retries = 0;
        for _ in 0..1_000 {
            budget.deposit();
            retries += u32::from(budget.withdraw());
        }
        assert_eq!(retries, 100);
    }
}
