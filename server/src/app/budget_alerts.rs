//! What a change of a budget raises.

use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, AmountError};
use tollgate_domain::budget::{Budget, change_crossings};

use super::AppError;
use crate::alerts::{AlertSource, Raised};
use crate::ledger::budget_state;
use crate::store::budgets::{self, ActiveBudget, StoredWindow};
use crate::tenant::TenantId;

/// Most counters that one change of a budget raises alerts for: the fullest. The others tell when they move on.
pub(super) const COUNTERS_LIMIT: usize = 1_000;

/// What open counters say of a new budget.
pub(super) fn of_creation(
    created: &ActiveBudget,
    mut counters: Vec<StoredWindow>,
    raised: &mut Raised,
) -> Result<(), AmountError> {
    counters.retain(|stored| stored.end > raised.now());
    counters.sort_by_key(|stored| std::cmp::Reverse(stored.counter.spent));
    counters.truncate(COUNTERS_LIMIT);
    of_change(None, created, &counters, raised)
}

/// What open counters say of a changed budget.
pub(super) async fn of_update(
    connection: &mut PgConnection,
    tenant: TenantId,
    before: &Budget,
    changed: &ActiveBudget,
    raised: &mut Raised,
) -> Result<(), AppError> {
    let (now, limit) = (raised.now(), i64::try_from(COUNTERS_LIMIT).unwrap_or(i64::MAX));
    if !changed.budget.is_in_force(now) {
        return Ok(());
    }
    let lowest = changed.budget.lowest_threshold().unwrap_or(Amount::MAX);
    let counters = budgets::reached_windows(connection, tenant, changed.number, lowest, now, limit).await?;
    of_change(Some(before), changed, &counters, raised).map_err(|_| AppError::Internal)
}

fn of_change(
    before: Option<&Budget>,
    after: &ActiveBudget,
    counters: &[StoredWindow],
    raised: &mut Raised,
) -> Result<(), AmountError> {
    if !after.budget.is_in_force(raised.now()) {
        return Ok(());
    }
    // What did not bind yet was told nowhere.
    let before = before.filter(|budget| budget.is_in_force(raised.now()));
    let limits = (before.map_or(Amount::ZERO, |budget| budget.limit), after.budget.limit);
    for stored in counters {
        for crossing in change_crossings(before, &after.budget, &stored.counter, limits)? {
            raised.crossing(crossing, stored.key, budget_state(after, stored)?, AlertSource::default());
        }
    }
    Ok(())
}
