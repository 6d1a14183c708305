//! How full the counters are that this replica knows.

use jiff::Timestamp;
use tollgate_domain::budget::Mode;

use super::known::{KnownBudgets, KnownFigures};
use crate::metrics::FULLNESS;

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
