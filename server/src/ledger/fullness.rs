//! How full the counters are that this replica knows.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tollgate_domain::budget::Mode;

use super::known::{KnownBudgets, KnownFigures};
use crate::metrics::FULLNESS;

/// How long a count is good: whoever asks in between gets it again, since each count looks at every counter.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// The latest count.
#[derive(Debug, Default)]
pub(super) struct LatestFullness {
    counted: Mutex<Option<(Instant, [usize; FULLNESS.len()])>>,
}

impl LatestFullness {
    /// The latest count, or another one where that is too old. Those who ask at once wait for the same one.
    pub(super) fn or_count(&self, count: impl FnOnce() -> [usize; FULLNESS.len()]) -> [usize; FULLNESS.len()] {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        match &*counted {
            Some((at, counts)) if at.elapsed() < GOOD_FOR => *counts,
            _ => {
                let counts = count();
                *counted = Some((Instant::now(), counts));
                counts
            }
        }
    }
}

/// Counts the counters of windows that run at `now`, under each share of their limit that they have reached. Budgets that only
/// watch are left out, as are those whose limit is not above 0, of which there is no share.
pub(super) fn fullness(budgets: &KnownBudgets, figures: &KnownFigures, now: Timestamp) -> [usize; FULLNESS.len()] {
    let mut counts = [0; FULLNESS.len()];
    for (tenant, stored) in figures.all() {
        let Some(set) = budgets.last(tenant) else { continue };
        let Some(active) = set.by_number(stored.key.budget) else { continue };
        let runs = stored.key.start <= now && now < stored.end;
        if !runs || active.backfilling || active.budget.mode != Mode::Enforced {
            continue;
        }
        let (Ok(committed), Ok(limit)) = (stored.counter.committed(), active.effective_limit(&stored, now)) else {
            continue;
        };
        if limit.is_zero() || limit.is_negative() {
            continue;
        }
        let reached = committed.picos().saturating_mul(100);
        for (count, (_, hundredths)) in counts.iter_mut().zip(FULLNESS) {
            if reached >= limit.picos().saturating_mul(i128::from(hundredths)) {
                *count += 1;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counters_are_looked_at_once_in_five_seconds_however_often_somebody_asks() {
        let latest = LatestFullness::default();
        let mut looks = 0;
        let mut ask = || {
            latest.or_count(|| {
                looks += 1;
                [looks; FULLNESS.len()]
            })
        };
        assert_eq!((ask()[0], ask()[0]), (1, 1));
        tokio::time::advance(GOOD_FOR - Duration::from_millis(1)).await;
        assert_eq!(ask()[0], 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((ask()[0], ask()[0]), (2, 2));
    }
}
