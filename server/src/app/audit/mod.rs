//! The audit: one snapshot in which everything that is derived from the events, and from the reservations, is derived
//! again and compared with what is stored (invariants 3, 4 and 5).

mod carry;
mod report;
mod spending;
#[cfg(test)]
mod tests;

use sqlx::PgPool;
use tollgate_domain::budget::Mode;

pub use report::{AuditReport, Check};

use super::AppError;
use crate::store::dictionary::Dictionary;
use crate::store::ledger::{GRAIN_DAY, GRAIN_QUARTER};
use crate::store::{audit as store, budgets};
use crate::tenant::TenantId;

/// Every tenant with its name, by number.
///
/// # Errors
/// [`AppError::Unavailable`] where the database does not answer.
pub async fn tenants(pool: &PgPool) -> Result<Vec<(TenantId, String)>, AppError> {
    Ok(store::tenants(pool).await?)
}

/// Audits one tenant in one snapshot. It reads every event of the tenant several times and writes nothing.
///
/// # Errors
/// [`AppError`] where the snapshot cannot be read; a drift is no error but part of the report.
pub async fn audit(pool: &PgPool, dictionary: &Dictionary, tenant: TenantId) -> Result<AuditReport, AppError> {
    let mut snapshot = store::begin(pool).await?;
    let connection = &mut *snapshot;
    let events = store::events(connection, tenant).await?;
    // The version only tells caches apart; the snapshot itself fixes what is read.
    let mut set = budgets::active(connection, tenant, 0).await?;
    // What is still counted back says nothing yet.
    set.budgets.retain(|active| !active.backfilling);
    let hard: Vec<i64> = set
        .budgets
        .iter()
        .filter(|active| active.budget.is_hard() && active.budget.mode == Mode::Enforced)
        .map(|active| active.number)
        .collect();
    let checks = vec![
        Check::new(
            "session_totals",
            "events = totals of their session, by shape; corrections apart, signed",
            store::session_totals(connection, tenant).await?,
        ),
        Check::new(
            "root_totals",
            "events of descendants = what their root session adds up, by shape",
            store::root_totals(connection, tenant).await?,
        ),
        Check::new(
            "usage_rollup_quarters",
            "events = rollup of 15 minutes, by start time and shape",
            store::usage_rollup(connection, tenant, GRAIN_QUARTER).await?,
        ),
        Check::new(
            "usage_rollup_days",
            "events = rollup of UTC days, by start time and shape",
            store::usage_rollup(connection, tenant, GRAIN_DAY).await?,
        ),
        Check::new(
            "user_rollup_quarters",
            "events of users = their rollup of 15 minutes, by start time and shape",
            store::user_rollup(connection, tenant, GRAIN_QUARTER).await?,
        ),
        Check::new(
            "user_rollup_days",
            "events of users = their rollup of UTC days, by start time and shape",
            store::user_rollup(connection, tenant, GRAIN_DAY).await?,
        ),
        Check::new(
            "adjustment_chains",
            "revisions have no gap; a correction takes back exactly the facts of the revision before",
            store::adjustment_chains(connection, tenant).await?,
        ),
        Check::new(
            "class_costs",
            "dollars of every total and rollup = sum of their classes",
            store::class_costs(connection, tenant).await?,
        ),
        Check::new(
            "budget_spend",
            "events in scope as corrected, by charge time = spent of every counter",
            spending::compare(connection, dictionary, tenant, &set.budgets).await?,
        ),
        Check::new(
            "budget_holds",
            "parts of reservations = held and presumed of every counter",
            store::budget_holds(connection, tenant).await?,
        ),
        Check::new(
            "budget_bounds",
            "spent + held + presumed of a hard budget is at most its highest limit + overrun; nothing is below zero",
            store::budget_bounds(connection, tenant, &hard).await?,
        ),
        Check::new(
            "budget_carry",
            "what a counter carries = what its rule makes of the window before it, unless that moved since",
            carry::compare(connection, tenant).await?,
        ),
        Check::new(
            "reservation_states",
            "only an open reservation holds, only an expired one presumes",
            store::reservation_states(connection, tenant).await?,
        ),
        Check::new(
            "reservation_events",
            "an event's reservation exists and, after its last event, has ended",
            store::reservation_events(connection, tenant).await?,
        ),
    ];
    // Nothing was written: a failed end of the transaction takes nothing away from what was read.
    drop(snapshot);
    Ok(AuditReport { tenant_id: tenant.0, events, checks })
}
