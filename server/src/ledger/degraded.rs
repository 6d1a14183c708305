//! Checks while the database is away: decided by the budgets' own choices, shown on the figures that were seen last.

use jiff::Timestamp;
use tollgate_domain::amount::Amount;
use tollgate_domain::budget::{BudgetState, Decision, Matched, Mode, decide_unavailable};

use super::batch::BatchError;
use super::command::CheckAnswer;
use super::counters::{Deciding, Target, budget_state, deciding};
use super::holds::{CheckPlan, keyless_state, when_unreachable};
use super::known::KnownFigures;
use super::periods::Calendar;
use crate::store::budgets::BudgetSet;
use crate::tenant::TenantId;

/// Decides a check without the database; nothing is held.
pub(super) fn decide(
    tenant: TenantId,
    plan: &CheckPlan,
    budgets: &BudgetSet,
    figures: &KnownFigures,
    calendar: &Calendar,
    now: Timestamp,
) -> Result<CheckAnswer, BatchError> {
    let deciding = deciding(budgets, &plan.dimensions, now, calendar)?;
    let matched: Vec<Matched<'_>> =
        deciding.iter().map(|one| Matched { budget: &one.budget.budget, has_counter: one.target.is_ok() }).collect();
    let (decision, refused) = decide_unavailable(&plan.demands, &matched);
    let mut states = Vec::with_capacity(deciding.len());
    for (one, refused) in deciding.iter().zip(refused) {
        states.push(BudgetState { refused, ..last_known(tenant, one, figures, now)? });
    }
    let dearest = plan.demands.iter().max_by_key(|demand| demand.worst.cost.usd);
    let asked = dearest.ok_or(BatchError::Command("a check has no demand"))?;
    let reason = match &decision {
        Decision::Denied(refusal) => refusal.name(),
        Decision::Allowed | Decision::Downgraded(_) | Decision::Throttled { .. } => "",
    };
    Ok(CheckAnswer {
        decision,
        reason,
        reservation: None,
        affordable_output_tokens: None,
        never_fits: false,
        estimate: asked.worst.cost.clone(),
        model: asked.model.clone(),
        budgets: states,
        when_unreachable: when_unreachable(&deciding),
        now,
        degraded: true,
    })
}

fn last_known(
    tenant: TenantId,
    one: &Deciding,
    figures: &KnownFigures,
    now: Timestamp,
) -> Result<BudgetState, BatchError> {
    let Ok(target) = &one.target else { return Ok(keyless_state(one, false)) };
    match figures.get(tenant, target.key) {
        Some(stored) => Ok(budget_state(&one.budget, &stored, now)?),
        None => Ok(unknown(target, now)),
    }
}

/// A counter of which this replica has seen no figures.
fn unknown(target: &Target, now: Timestamp) -> BudgetState {
    let budget = &target.budget.budget;
    BudgetState {
        budget_id: budget.budget_id.clone(),
        per_values: target.per_values.by_name(&budget.per),
        unit: budget.unit,
        window: target.bounds,
        limit: budget.limit,
        effective_limit: target.budget.limit(target.key.scope, target.bounds.end, now),
        spent: Amount::ZERO,
        held: Amount::ZERO,
        presumed: Amount::ZERO,
        overrun: Amount::ZERO,
        available: Amount::ZERO,
        fired: None,
        refused: false,
        shadow: budget.mode == Mode::Shadow,
        version: 0,
        figures_unknown: true,
    }
}
