//! Checks that hold nothing: decided on counters that are read, never locked.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::PgConnection;
use tollgate_domain::budget::{Carry, Counter};

use super::batch::BatchError;
use super::command::CheckAnswer;
use super::counters::{Deciding, Target, budget_state, deciding, watching};
use super::holds::{CheckPlan, answer, applied, keyless_state};
use super::inheritance::inherit;
use super::known::KnownFigures;
use super::periods::Calendar;
use crate::app::AppError;
use crate::store::budgets::BudgetSet;
use crate::store::windows::{self, StoredWindow, WindowKey};
use crate::tenant::TenantId;

/// Decides a check on the counters of one snapshot, holding nothing.
///
/// # Errors
/// [`AppError`].
pub(super) async fn peek(
    connection: &mut PgConnection,
    tenant: TenantId,
    plan: &CheckPlan,
    budgets: &BudgetSet,
    figures: &KnownFigures,
    mut calendar: Calendar,
    now: Timestamp,
) -> Result<CheckAnswer, AppError> {
    let select = |calendar: &Calendar| -> Result<(Vec<Deciding>, Vec<Deciding>), AppError> {
        let deciding = deciding(budgets, &plan.dimensions, now, calendar).map_err(|error| failed(&error))?;
        let watching = watching(budgets, &plan.dimensions, now, calendar).map_err(|error| failed(&error))?;
        Ok((deciding, watching))
    };
    let (mut deciding, mut watching) = select(&calendar)?;
    let wanted = calendar.take_wanted();
    if !wanted.is_empty() {
        // Looks only: what nobody has stored yet is left to who counts in it first.
        calendar.read(connection, &wanted).await?;
        (deciding, watching) = select(&calendar)?;
    }
    let windows = read(connection, tenant, deciding.iter().chain(&watching), now).await?;
    windows.values().for_each(|stored| figures.remember(tenant, stored));
    let mut answer = decide(plan, &deciding, &windows, now).map_err(|error| failed(&error))?;
    for one in &watching {
        if let Some(stored) = one.target.as_ref().ok().and_then(|target| windows.get(&target.key)) {
            answer.budgets.push(budget_state(&one.budget, stored, now).map_err(|error| failed(&error.into()))?);
        }
    }
    Ok(answer)
}

fn failed(error: &BatchError) -> AppError {
    tracing::error!(error = error as &dyn std::error::Error, "a check cannot be decided");
    AppError::Internal
}

/// The counters of the check; one that is not there yet as the first call would make it.
async fn read(
    connection: &mut PgConnection,
    tenant: TenantId,
    deciding: impl Iterator<Item = &Deciding>,
    now: Timestamp,
) -> Result<HashMap<WindowKey, StoredWindow>, AppError> {
    let targets: Vec<&Target> = deciding.filter_map(|one| one.target.as_ref().ok()).collect();
    if targets.is_empty() {
        return Ok(HashMap::new());
    }
    let keys = targets.iter().map(|target| target.key);
    let found = windows::read(connection, tenant, keys).await?;
    let mut windows: HashMap<WindowKey, StoredWindow> = found.into_iter().map(|stored| (stored.key, stored)).collect();
    let missing = targets.iter().filter(|target| !windows.contains_key(&target.key));
    let heirs: Vec<&&Target> = missing.filter(|target| target.budget.budget.carry != Carry::None).collect();
    if heirs.is_empty() {
        return Ok(windows);
    }
    let keys: Vec<WindowKey> = heirs.iter().map(|target| target.key).collect();
    let before: HashMap<WindowKey, StoredWindow> =
        windows::before(connection, tenant, &keys).await?.into_iter().collect();
    for target in heirs {
        if let Some(last) = before.get(&target.key) {
            let mut heir = unused(target);
            inherit(&mut heir, &target.budget, last, now).map_err(|error| failed(&error.into()))?;
            windows.insert(target.key, heir);
        }
    }
    Ok(windows)
}

/// Decides on these counters; one that is missing counts as unused.
pub(super) fn decide(
    plan: &CheckPlan,
    deciding: &[Deciding],
    windows: &HashMap<WindowKey, StoredWindow>,
    now: Timestamp,
) -> Result<CheckAnswer, BatchError> {
    let windows: HashMap<WindowKey, StoredWindow> = deciding
        .iter()
        .filter_map(|one| one.target.as_ref().ok())
        .map(|target| (target.key, windows.get(&target.key).cloned().unwrap_or_else(|| unused(target))))
        .collect();
    let stored = |key: &WindowKey| windows.get(key).ok_or(BatchError::Command("a counter is missing"));
    let outcome = plan.decide(&applied(deciding, now, stored)?)?;
    let mut states = Vec::with_capacity(deciding.len());
    for (position, one) in deciding.iter().enumerate() {
        let refused = outcome.refused.get(position).copied().unwrap_or(false);
        states.push(match &one.target {
            Ok(target) => {
                let mut state = budget_state(&one.budget, stored(&target.key)?, now)?;
                state.fired = state.fired.max(outcome.fired.get(position).copied().flatten());
                state.refused = refused;
                state
            }
            Err(_) => keyless_state(one, refused),
        });
    }
    Ok(answer(outcome, None, states, deciding, now))
}

/// A counter that nothing moved yet.
fn unused(target: &Target) -> StoredWindow {
    StoredWindow {
        key: target.key,
        end: target.bounds.end,
        per_values: target.per_values.clone(),
        counter: Counter::default(),
        version: 0,
    }
}
