//! The checks themselves: of a whole ledger, and of the part of it that a range of start times reaches.

use sqlx::PgConnection;
use tollgate_domain::budget::Mode;
use tollgate_domain::window::Bounds;

use super::report::{AuditReport, Check};
use super::{AppError, carry, spending};
use crate::store::audit::{self as store, Selection};
use crate::store::audit_range as range_store;
use crate::store::budgets::{self, BudgetSet};
use crate::store::dictionary::Dictionary;
use crate::store::ledger::{GRAIN_DAY, GRAIN_QUARTER};
use crate::tenant::TenantId;

const SESSION_TOTALS: (&str, &str) =
    ("session_totals", "events = totals of their session, by shape; corrections apart, signed");
const QUARTERS: (&str, &str) = ("usage_rollup_quarters", "events = rollup of 15 minutes, by start time and shape");
const USER_QUARTERS: (&str, &str) =
    ("user_rollup_quarters", "events of users = their rollup of 15 minutes, by start time and shape");
const CHAINS: (&str, &str) =
    ("adjustment_chains", "revisions have no gap; a correction takes back exactly the facts of the revision before");
const CLASS_COSTS: (&str, &str) = ("class_costs", "dollars of every total and rollup = sum of their classes");
const SPEND: (&str, &str) = ("budget_spend", "events in scope as corrected, by charge time = spent of every counter");
const BOUNDS: (&str, &str) = (
    "budget_bounds",
    "spent + held + presumed of a hard budget is at most its highest limit + overrun; nothing is below zero",
);
const CARRY: (&str, &str) =
    ("budget_carry", "what a counter carries = what its rule makes of the window before it, unless that moved since");
const STATES: (&str, &str) = ("reservation_states", "only an open reservation holds, only an expired one presumes");
const RESERVED: (&str, &str) =
    ("reservation_events", "an event's reservation exists and, after its last event, has ended");

/// Everything.
pub(super) async fn whole(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    examples: u16,
) -> Result<AuditReport, AppError> {
    let all = &Selection { examples, ..Selection::default() };
    let events = store::events(connection, tenant, all).await?;
    let set = counted(connection, tenant).await?;
    let hard = hard(&set);
    let checks = vec![
        check(SESSION_TOTALS, store::session_totals(connection, tenant, all).await?),
        Check::new(
            "root_totals",
            "events of descendants = what their root session adds up, by shape",
            store::root_totals(connection, tenant, all).await?,
        ),
        check(QUARTERS, store::usage_rollup(connection, tenant, all, GRAIN_QUARTER).await?),
        Check::new(
            "usage_rollup_days",
            "events = rollup of UTC days, by start time and shape",
            store::usage_rollup(connection, tenant, all, GRAIN_DAY).await?,
        ),
        check(USER_QUARTERS, store::user_rollup(connection, tenant, all, GRAIN_QUARTER).await?),
        Check::new(
            "user_rollup_days",
            "events of users = their rollup of UTC days, by start time and shape",
            store::user_rollup(connection, tenant, all, GRAIN_DAY).await?,
        ),
        check(CHAINS, store::adjustment_chains(connection, tenant, all).await?),
        check(CLASS_COSTS, store::class_costs(connection, tenant, all).await?),
        check(SPEND, spending::compare(connection, dictionary, tenant, &set.budgets, all, i64::MAX).await?),
        Check::new(
            "budget_holds",
            "parts of reservations = held and presumed of every counter",
            store::budget_holds(connection, tenant, all).await?,
        ),
        check(BOUNDS, store::budget_bounds(connection, tenant, all, &hard).await?),
        check(CARRY, carry::compare(connection, tenant, all).await?),
        check(STATES, store::reservation_states(connection, tenant, all).await?),
        check(RESERVED, store::reservation_events(connection, tenant, all).await?),
    ];
    Ok(AuditReport { tenant_id: tenant.0, range: None, events, checks })
}

/// What bounds an audit of a range.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartBounds {
    /// Most sessions whose totals are compared, each over all of its events.
    pub(super) sessions: i64,
    /// Which sessions, where there are more.
    pub(super) salt: i64,
    /// Most events of budget windows, of all together; windows that hold more are left out.
    pub(super) charged_events: i64,
    /// Most rows that a check names.
    pub(super) examples: u16,
}

/// Events that start in `range`, which is made of whole quarter hours, and what is derived from them.
///
/// Days are compared with their quarter hours, holds with open reservations alone. What root sessions add up, and what
/// reservations presume, could not be found without reading everything: both are left to an audit of the whole.
pub(super) async fn part(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    range: Bounds,
    bounds: PartBounds,
) -> Result<AuditReport, AppError> {
    let sessions = range_store::sessions_of_range(connection, tenant, range, bounds.salt, bounds.sessions).await?;
    let chosen = &Selection { range: Some(range), sessions: Some(sessions), examples: bounds.examples };
    let events = store::events(connection, tenant, chosen).await?;
    let set = counted(connection, tenant).await?;
    let hard = hard(&set);
    let checks = vec![
        check(SESSION_TOTALS, store::session_totals(connection, tenant, chosen).await?),
        check(QUARTERS, store::usage_rollup(connection, tenant, chosen, GRAIN_QUARTER).await?),
        Check::new(
            "usage_rollup_days",
            "rollup of 15 minutes = rollup of UTC days, by shape",
            range_store::usage_days(connection, tenant, range, chosen).await?,
        ),
        check(USER_QUARTERS, store::user_rollup(connection, tenant, chosen, GRAIN_QUARTER).await?),
        Check::new(
            "user_rollup_days",
            "rollup of 15 minutes = rollup of UTC days, by user and shape",
            range_store::user_days(connection, tenant, range, chosen).await?,
        ),
        check(CHAINS, store::adjustment_chains(connection, tenant, chosen).await?),
        check(CLASS_COSTS, store::class_costs(connection, tenant, chosen).await?),
        check(
            SPEND,
            spending::compare(connection, dictionary, tenant, &set.budgets, chosen, bounds.charged_events).await?,
        ),
        Check::new(
            "budget_holds",
            "parts of open reservations = held of every counter",
            range_store::open_holds(connection, tenant, chosen).await?,
        ),
        check(BOUNDS, store::budget_bounds(connection, tenant, chosen, &hard).await?),
        check(CARRY, carry::compare(connection, tenant, chosen).await?),
        check(STATES, store::reservation_states(connection, tenant, chosen).await?),
        check(RESERVED, store::reservation_events(connection, tenant, chosen).await?),
    ];
    Ok(AuditReport { tenant_id: tenant.0, range: Some(range.into()), events, checks })
}

fn check((name, rule): (&'static str, &'static str), comparison: store::Comparison) -> Check {
    Check::new(name, rule, comparison)
}

/// The budgets whose counters can be compared: what is still counted back says nothing yet.
async fn counted(connection: &mut PgConnection, tenant: TenantId) -> Result<BudgetSet, AppError> {
    // The version only tells caches apart; the snapshot itself fixes what is read.
    let mut set = budgets::active(connection, tenant, 0).await?;
    set.budgets.retain(|active| !active.backfilling);
    Ok(set)
}

/// The numbers of the budgets whose commitments are bounded.
fn hard(set: &BudgetSet) -> Vec<i64> {
    let bounded = set.budgets.iter().filter(|active| active.budget.is_hard() && active.budget.mode == Mode::Enforced);
    bounded.map(|active| active.number).collect()
}
