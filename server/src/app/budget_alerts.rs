//! What a change of a budget raises.

use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, AmountError};
use tollgate_domain::budget::{Budget, change_crossings, effective_limit};
use uuid::Uuid;

use super::AppError;
use crate::alerts::{AlertSource, Raised};
use crate::ledger::budget_state;
use crate::store::budgets::ActiveBudget;
use crate::store::windows::{self, StoredWindow};
use crate::tenant::TenantId;

/// Most counters that one change of a budget raises alerts for: the fullest. The others tell only what they reach later.
pub(super) const COUNTERS_LIMIT: usize = 1_000;

/// What open counters say of a new budget.
pub(super) async fn of_creation(
    connection: &mut PgConnection,
    tenant: TenantId,
    created: &ActiveBudget,
    raised: &mut Raised,
) -> Result<(), AppError> {
    for stored in fullest(connection, tenant, created, None, raised).await? {
        of_counter(None, created, &stored, raised).map_err(|_| AppError::Internal)?;
    }
    Ok(())
}

/// What open counters say of a changed budget.
pub(super) async fn of_update(
    connection: &mut PgConnection,
    tenant: TenantId,
    before: &Budget,
    changed: &ActiveBudget,
    raised: &mut Raised,
) -> Result<(), AppError> {
    for stored in fullest(connection, tenant, changed, None, raised).await? {
        let limit = changed.limit(stored.key.scope, stored.end, raised.now());
        // A limit of its own is the same as before.
        let limit = if limit == changed.budget.limit { before.limit } else { limit };
        of_counter(Some((before, limit)), changed, &stored, raised).map_err(|_| AppError::Internal)?;
    }
    Ok(())
}

/// What the open counter of an override says of another limit of its own.
pub(super) async fn of_override(
    connection: &mut PgConnection,
    tenant: TenantId,
    before: &ActiveBudget,
    changed: &ActiveBudget,
    scope: Uuid,
    raised: &mut Raised,
) -> Result<(), AppError> {
    for stored in fullest(connection, tenant, changed, Some(scope), raised).await? {
        let limit = before.limit(scope, stored.end, raised.now());
        of_counter(Some((&before.budget, limit)), changed, &stored, raised).map_err(|_| AppError::Internal)?;
    }
    Ok(())
}

/// The open counters that may have reached a rule, the fullest first; or the one of `scope`. None of a budget that still counts
/// back: what it has so far says nothing.
async fn fullest(
    connection: &mut PgConnection,
    tenant: TenantId,
    active: &ActiveBudget,
    scope: Option<Uuid>,
    raised: &Raised,
) -> Result<Vec<StoredWindow>, AppError> {
    let (now, limit) = (raised.now(), i64::try_from(COUNTERS_LIMIT).unwrap_or(i64::MAX));
    if active.backfilling || !active.budget.is_in_force(now) {
        return Ok(Vec::new());
    }
    // A counter with a lower limit of its own reaches its rules earlier than the others do.
    let own = active.overrides.values().filter(|other| other.is_in_force(now)).map(|other| other.limit);
    let least = own.chain([active.budget.limit]).min().unwrap_or(active.budget.limit);
    let lowest = active.budget.lowest_threshold(least).unwrap_or(Amount::MAX);
    Ok(windows::reached(connection, tenant, active.number, scope, lowest, now, limit).await?)
}

/// What a counter says of a budget as it is now; `before` is the budget as it was, and the counter's limit then, where there was one.
fn of_counter(
    before: Option<(&Budget, Amount)>,
    after: &ActiveBudget,
    stored: &StoredWindow,
    raised: &mut Raised,
) -> Result<(), AmountError> {
    let limit = after.effective_limit(stored, raised.now())?;
    // What did not bind yet was told nowhere.
    let before = before.filter(|(budget, _)| budget.is_in_force(raised.now()));
    let limit_before = match before {
        Some((_, limit)) => effective_limit(limit, stored.counter.carried)?,
        None => Amount::ZERO,
    };
    for crossing in
        change_crossings(before.map(|(budget, _)| budget), &after.budget, &stored.counter, (limit_before, limit))?
    {
        raised.crossing(crossing, stored.key, budget_state(after, stored, raised.now())?, AlertSource::default());
    }
    Ok(())
}
