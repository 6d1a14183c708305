//! What a change of a budget raises.

use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, AmountError};
use tollgate_domain::budget::{Budget, change_crossings, effective_limit};

use super::AppError;
use crate::alerts::{AlertSource, Raised};
use crate::ledger::budget_state;
use crate::store::budgets::{self, ActiveBudget, StoredWindow};
use crate::tenant::TenantId;

/// Most counters that one change of a budget raises alerts for: the fullest. The others tell when they move on.
pub(super) const COUNTERS_LIMIT: usize = 1_000;

/// What open counters say of a new budget.
pub(super) async fn of_creation(
    connection: &mut PgConnection,
    tenant: TenantId,
    created: &ActiveBudget,
    raised: &mut Raised,
) -> Result<(), AppError> {
    let counters = fullest(connection, tenant, created, raised).await?;
    of_change(None, created, &counters, raised).map_err(|_| AppError::Internal)
}

/// What open counters say of a changed budget.
pub(super) async fn of_update(
    connection: &mut PgConnection,
    tenant: TenantId,
    before: &Budget,
    changed: &ActiveBudget,
    raised: &mut Raised,
) -> Result<(), AppError> {
    let counters = fullest(connection, tenant, changed, raised).await?;
    of_change(Some(before), changed, &counters, raised).map_err(|_| AppError::Internal)
}

/// The open counters that may have reached a rule, the fullest first.
async fn fullest(
    connection: &mut PgConnection,
    tenant: TenantId,
    active: &ActiveBudget,
    raised: &Raised,
) -> Result<Vec<StoredWindow>, AppError> {
    let (now, limit) = (raised.now(), i64::try_from(COUNTERS_LIMIT).unwrap_or(i64::MAX));
    if !active.budget.is_in_force(now) {
        return Ok(Vec::new());
    }
    // A counter with a lower limit of its own reaches its rules earlier than the others do.
    let own = active.overrides.values().filter(|other| other.is_in_force(now)).map(|other| other.limit);
    let least = own.chain([active.budget.limit]).min().unwrap_or(active.budget.limit);
    let lowest = active.budget.lowest_threshold(least).unwrap_or(Amount::MAX);
    Ok(budgets::reached_windows(connection, tenant, active.number, lowest, now, limit).await?)
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
    for stored in counters {
        let limit = after.effective_limit(stored, raised.now())?;
        let has_own = after.limit(stored.key.scope, stored.end, raised.now()) != after.budget.limit;
        let limits = match before {
            None => (Amount::ZERO, limit),
            Some(_) if has_own => (limit, limit),
            Some(before) => (effective_limit(before.limit, stored.counter.carried)?, limit),
        };
        for crossing in change_crossings(before, &after.budget, &stored.counter, limits)? {
            raised.crossing(crossing, stored.key, budget_state(after, stored, raised.now())?, AlertSource::default());
        }
    }
    Ok(())
}
