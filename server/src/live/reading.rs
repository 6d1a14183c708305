//! What is read of a scope, and from where.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use thiserror::Error;
use tollgate_domain::budget::BudgetState;
use tollgate_domain::violation::Violation;
use tollgate_domain::window::Bounds;

use super::scope::WatchedScope;
use crate::app::totals::ScopeReading;
use crate::tenant::TenantId;

/// Longest time until a windowed reading is taken again. Longer waits are cut: the wall clock may be set meanwhile.
const STALE_AFTER_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The state of one scope at one time. Absolute figures.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Its totals, broken down where asked for, with their version.
    pub totals: ScopeReading,
    /// Its budgets, where asked for.
    pub budgets: Vec<BudgetState>,
    /// The figures contain everything that was committed before this time, and its window is the one of this time.
    pub as_of: Timestamp,
}

impl Reading {
    /// Whether it tells something newer than `earlier`. Within one window a version never goes back, and neither do
    /// windows: a replica's clock may have been set.
    pub(super) fn supersedes(&self, earlier: &Self) -> bool {
        let window_start = |reading: &Self| reading.totals.window.map(|window| window.start);
        let order =
            window_start(self).cmp(&window_start(earlier)).then(self.totals.version.cmp(&earlier.totals.version));
        order.is_gt() || (order.is_eq() && self.budgets != earlier.budgets)
    }

    /// After which time another window begins, of the totals or of a budget. One that has ended already, because
    /// nothing was charged since, does not end again.
    pub(super) fn stale_after(&self) -> Option<Duration> {
        let windows = self.totals.window.into_iter().chain(self.budgets.iter().map(|budget| budget.window));
        let lasting = windows.filter(|window| *window != Bounds::LIFETIME && self.as_of < window.end);
        let after = lasting.map(|window| window.end).min()?.duration_since(self.as_of);
        let after = Duration::try_from(after).unwrap_or_default();
        Some(after.clamp(Duration::from_millis(1), STALE_AFTER_LIMIT))
    }
}

/// Why a scope cannot be watched.
#[derive(Debug, Clone, Error)]
pub enum LiveError {
    /// The request breaks field rules.
    #[error("the watched scopes break field rules")]
    Invalid(Vec<Violation>),
    /// Reading the scope would touch too much.
    #[error("the scope is too wide: {0}")]
    TooWide(String),
    /// As many subscribers as are allowed.
    #[error("as many subscribers as are allowed")]
    Full,
    /// The server drains.
    #[error("the server drains")]
    ShuttingDown,
    /// The database is away.
    #[error("the totals cannot be read")]
    Unavailable,
    /// A defect.
    #[error("internal error")]
    Internal,
}

/// Where readings come from.
pub trait ScopeSource: Send + Sync + 'static {
    /// Reads all `scopes` of one tenant, in their order. What was committed before the call is contained.
    ///
    /// # Errors
    /// [`LiveError`]; one scope that cannot be read fails the call.
    fn read<'a>(
        &'a self,
        tenant: TenantId,
        scopes: &'a [Arc<WatchedScope>],
    ) -> BoxFuture<'a, Result<Vec<Reading>, LiveError>>;
}

#[cfg(test)]
mod tests {
    use tollgate_domain::amount::Amount;
    use tollgate_domain::budget::Unit;
    use tollgate_domain::measures::Measures;

    use super::*;

    fn bounds(start: &str, end: &str) -> Bounds {
        Bounds { start: start.parse().unwrap(), end: end.parse().unwrap() }
    }

    fn reading(version: i64, window: Option<Bounds>, budgets: Vec<BudgetState>) -> Reading {
        let totals = ScopeReading { totals: Measures::default(), parts: Vec::new(), version, window };
        Reading { totals, budgets, as_of: "2026-03-01T10:00:00Z".parse().unwrap() }
    }

    fn budget(window: Bounds, spent: Amount) -> BudgetState {
        let zero = Amount::ZERO;
        BudgetState {
            budget_id: "b".to_owned(),
            per_values: std::collections::BTreeMap::new(),
            unit: Unit::Calls,
            window,
            limit: zero,
            effective_limit: zero,
            spent,
            held: zero,
            presumed: zero,
            overrun: zero,
            available: zero,
            fired: None,
            refused: false,
            shadow: false,
            version: 1,
            figures_unknown: false,
        }
    }

    #[test]
    fn newer_is_a_later_window_then_a_higher_version_then_other_budgets() {
        let today = bounds("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
        let tomorrow = bounds("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z");
        let of = |version, window| reading(version, Some(window), Vec::new());
        let charged = |version, spent: u32| reading(version, Some(today), vec![budget(today, Amount::from(spent))]);
        assert!(of(2, today).supersedes(&of(1, today)) && !of(1, today).supersedes(&of(1, today)));
        assert!(of(1, tomorrow).supersedes(&of(2, today)) && !of(3, today).supersedes(&of(2, tomorrow)));
        assert!(charged(1, 2).supersedes(&charged(1, 1)) && !charged(1, 2).supersedes(&charged(2, 1)));
    }

    #[test]
    fn stale_at_the_first_end_of_a_window() {
        let window = |end: &str| bounds("2026-03-01T00:00:00Z", end);
        let minutes = |reading: &Reading| reading.stale_after().map(|after| after.as_secs() / 60);
        let day = window("2026-03-02T00:00:00Z");
        let hour = budget(window("2026-03-01T11:00:00Z"), Amount::ZERO);
        assert_eq!(minutes(&reading(1, None, Vec::new())), None);
        assert_eq!(minutes(&reading(1, Some(Bounds::LIFETIME), Vec::new())), None);
        assert_eq!(minutes(&reading(1, Some(day), Vec::new())), Some(14 * 60));
        assert_eq!(minutes(&reading(1, Some(day), vec![hour])), Some(60));
        let over = budget(window("2026-03-01T09:00:00Z"), Amount::ZERO);
        assert_eq!(minutes(&reading(1, Some(day), vec![over])), Some(14 * 60));
        let month = window("2026-04-01T00:00:00Z");
        assert_eq!(reading(1, Some(month), Vec::new()).stale_after(), Some(STALE_AFTER_LIMIT));
    }
}
