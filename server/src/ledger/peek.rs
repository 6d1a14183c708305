//! Checks that hold nothing: decided on counters that are read, never locked.

use std::collections::{BTreeMap, HashMap};

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

/// The counters of one check.
struct Selected {
    deciding: Vec<Deciding>,
    watching: Vec<Deciding>,
}

impl Selected {
    fn by(plan: &CheckPlan, budgets: &BudgetSet, now: Timestamp, calendar: &Calendar) -> Result<Self, BatchError> {
        let deciding = deciding(budgets, &plan.dimensions, now, calendar)?;
        let watching = watching(budgets, &plan.dimensions, now, calendar)?;
        Ok(Self { deciding, watching })
    }

    fn all(&self) -> impl Iterator<Item = &Deciding> {
        self.deciding.iter().chain(&self.watching)
    }
}

/// Decides checks on the counters of one snapshot, holding nothing. None of them sees another.
///
/// # Errors
/// [`AppError`].
pub(super) async fn peek(
    connection: &mut PgConnection,
    tenant: TenantId,
    plans: &[CheckPlan],
    budgets: &BudgetSet,
    figures: &KnownFigures,
    mut calendar: Calendar,
    now: Timestamp,
) -> Result<Vec<Result<CheckAnswer, AppError>>, AppError> {
    let select = |calendar: &Calendar| -> Result<Vec<Selected>, AppError> {
        let selected = plans.iter().map(|plan| Selected::by(plan, budgets, now, calendar));
        selected.collect::<Result<_, BatchError>>().map_err(|error| failed(&error))
    };
    let mut selected = select(&calendar)?;
    let wanted = calendar.take_wanted();
    if !wanted.is_empty() {
        // Looks only: what nobody has stored yet is left to who counts in it first.
        calendar.read(connection, &wanted).await?;
        selected = select(&calendar)?;
    }
    let windows = read(connection, tenant, selected.iter().flat_map(Selected::all), now).await?;
    windows.values().for_each(|stored| figures.remember(tenant, stored));
    let answers = plans.iter().zip(&selected).map(|(plan, selected)| {
        let mut answer = decide(plan, &selected.deciding, &windows, now).map_err(|error| failed(&error))?;
        for one in &selected.watching {
            if let Some(stored) = one.target.as_ref().ok().and_then(|target| windows.get(&target.key)) {
                answer.budgets.push(budget_state(&one.budget, stored, now).map_err(|error| failed(&error.into()))?);
            }
        }
        Ok(answer)
    });
    Ok(answers.collect())
}

fn failed(error: &BatchError) -> AppError {
    tracing::error!(error = error as &dyn std::error::Error, "a check cannot be decided");
    AppError::Internal
}

/// The counters of the checks; one that is not there yet as the first call would make it.
async fn read(
    connection: &mut PgConnection,
    tenant: TenantId,
    deciding: impl Iterator<Item = &Deciding>,
    now: Timestamp,
) -> Result<HashMap<WindowKey, StoredWindow>, AppError> {
    let targets: BTreeMap<WindowKey, &Target> =
        deciding.filter_map(|one| one.target.as_ref().ok()).map(|target| (target.key, target)).collect();
    if targets.is_empty() {
        return Ok(HashMap::new());
    }
    let found = windows::read(connection, tenant, targets.keys().copied()).await?;
    let mut windows: HashMap<WindowKey, StoredWindow> = found.into_iter().map(|stored| (stored.key, stored)).collect();
    let missing = targets.into_values().filter(|target| !windows.contains_key(&target.key));
    let heirs: Vec<&Target> = missing.filter(|target| target.budget.budget.carry != Carry::None).collect();
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
