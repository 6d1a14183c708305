//! Budgets: create, read, change, delete, and the states of their counters.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use sqlx::PgConnection;
use tollgate_domain::budget::{Budget, BudgetState, PerValues, Unit};
use tollgate_domain::dimensions::{Dimension, DimensionKey};
use tollgate_domain::reservation::Part;
use tollgate_domain::window::{Periods, WindowKind};
use uuid::Uuid;

use super::backfill::{too_large, windows_between};
use super::error::Named;
use super::totals::Scope;
use super::{App, AppError, budget_alerts};
use crate::ledger::budget_state;
use crate::store::budgets::{self, ActiveBudget, StoredBudget};
use crate::store::scoped::TenantPool;
use crate::store::windows::{self, StoredWindow, WindowFilter, WindowKey};
use crate::store::{backfill, ledger, periods};
use crate::tenant::TenantId;

/// Most active budgets of a tenant: every call is compared with each of them.
const BUDGETS_LIMIT: usize = 1_000;
/// Most reads for one page of states.
const ROUNDS: usize = 20;
/// Most budget states that one watched scope shows.
const SHOWN_LIMIT: i64 = 100;

impl App {
    /// Creates a budget. It counts what the ledger already holds, and is in force from the commit on; where that is much, it
    /// counts in the background first. The same
    /// `request_id` again answers with the budget that it created.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn create_budget(
        &self,
        tenant: TenantId,
        mut budget: Budget,
        request_id: &str,
        validate_only: bool,
    ) -> Result<StoredBudget, AppError> {
        // Which counters there are must not change when a rule makes the budget hard later.
        budget.per_absent = Some(budget.effective_per_absent());
        let _turn = self.turn_to_change(tenant).await?;
        let mut transaction = ledger::begin_budget_change(&self.tenants, tenant).await?;
        let now = ledger::clock(&mut transaction, tenant).await?.now;
        if let Some(known) = budgets::find(&mut transaction, tenant, &budget.budget_id).await? {
            return match known {
                known if !request_id.is_empty() && known.request_id == request_id => {
                    if known.budget == budget {
                        Ok(known)
                    } else {
                        Err(AppError::RequestIdReused(request_id.to_owned()))
                    }
                }
                known if known.delete_time.is_some() => Err(AppError::BudgetDeleted(budget.budget_id)),
                _ => Err(AppError::BudgetExists(budget.budget_id)),
            };
        }
        let active = budgets::active(&mut transaction, tenant, 0).await?.budgets.len();
        if active >= BUDGETS_LIMIT {
            let advice = format!("there are {BUDGETS_LIMIT} already: delete some, or let one count `per` value");
            return Err(AppError::invalid("budget", advice));
        }
        let window = budget.window.bounds(now).map_err(|_| AppError::Internal)?;
        let counted_from = budget.count_from.unwrap_or(window.start);
        if counted_from >= window.end {
            // Nothing could be counted back from there, and the windows up to it may have no end.
            return Err(AppError::invalid("budget.count_from", "must lie before the end of the present window"));
        }
        let etag = Uuid::now_v7().to_string();
        let number = budgets::insert(&mut transaction, tenant, &budget, counted_from, request_id, &etag, now).await?;
        // As many windows as can be counted back, at once or later.
        windows_between(&budget, &Periods::default(), counted_from, now)?;
        periods::add(&mut transaction, tenant, std::iter::once((number, window))).await?;
        let earlier = backfill::count_events(&mut transaction, tenant, counted_from).await?;
        let backfilling = earlier >= self.ledger.settings().count_at_once;
        let overrides = HashMap::new();
        let active = ActiveBudget { number, budget: budget.clone(), counted_from, backfilling, overrides };
        if backfilling {
            backfill::start(&mut transaction, tenant, number, now, counted_from).await?;
        } else {
            self.count_back(&mut transaction, tenant, &active, now).await?;
        }
        if !validate_only {
            let mut raised = self.alerts.raising(tenant, now);
            budget_alerts::of_creation(&mut transaction, tenant, &active, &mut raised).await?;
            let alerts = self.alerts.write(&mut transaction, raised).await?;
            transaction.commit().await?;
            self.alerts.announce(tenant, &alerts);
        }
        Ok(StoredBudget {
            number,
            budget,
            counted_from,
            request_id: request_id.to_owned(),
            etag,
            create_time: now,
            update_time: now,
            delete_time: None,
            last_match_time: None,
            backfilling,
        })
    }

    /// Reads a budget, deleted or not.
    ///
    /// # Errors
    /// [`AppError::NotFound`] and others.
    pub async fn budget(&self, tenant: TenantId, budget_id: &str) -> Result<StoredBudget, AppError> {
        let mut connection = self.snapshot(tenant).await?;
        known(&mut connection, tenant, budget_id).await
    }

    /// Lists budgets by id, up to `limit` after `after`.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn budgets(
        &self,
        tenant: TenantId,
        after: &str,
        deleted_too: bool,
        limit: i64,
    ) -> Result<Vec<StoredBudget>, AppError> {
        let mut connection = self.snapshot(tenant).await?;
        Ok(budgets::list(&mut connection, tenant, after, deleted_too, limit).await?)
    }

    /// Changes a budget: `change` gets the definition as it stands. What the ledger counted stays counted.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn update_budget(
        &self,
        tenant: TenantId,
        budget_id: &str,
        etag: &str,
        validate_only: bool,
        change: impl FnOnce(&StoredBudget) -> Result<Budget, AppError>,
    ) -> Result<StoredBudget, AppError> {
        let _turn = self.turn_to_change(tenant).await?;
        let mut transaction = ledger::begin_budget_change(&self.tenants, tenant).await?;
        let now = ledger::clock(&mut transaction, tenant).await?.now;
        let mut known = editable(&mut transaction, tenant, budget_id, etag).await?;
        let changed = change(&known)?;
        let before = std::mem::replace(&mut known.budget, changed);
        known.etag = Uuid::now_v7().to_string();
        known.update_time = now;
        budgets::update(&mut transaction, tenant, known.number, &known.budget, &known.etag, now).await?;
        // What did not bind could hold above its limit: from now on it promises not to.
        let begins_to_bind = known.budget.binds() && !before.binds();
        let limit = known.budget.limit;
        budgets::book_overrun(&mut transaction, tenant, known.number, None, limit, now, begins_to_bind).await?;
        if !validate_only {
            let mut raised = self.alerts.raising(tenant, now);
            // As it stands in the database, with the limits of single counters.
            let set = budgets::active(&mut transaction, tenant, 0).await?;
            if let Some(changed) = set.budgets.iter().find(|active| active.number == known.number) {
                budget_alerts::of_update(&mut transaction, tenant, &before, changed, &mut raised).await?;
            }
            let alerts = self.alerts.write(&mut transaction, raised).await?;
            transaction.commit().await?;
            self.alerts.announce(tenant, &alerts);
        }
        Ok(known)
    }

    /// Deletes a budget: it decides and counts no more; its id stays taken.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn delete_budget(&self, tenant: TenantId, budget_id: &str, etag: &str) -> Result<StoredBudget, AppError> {
        let _turn = self.turn_to_change(tenant).await?;
        let mut transaction = ledger::begin_budget_change(&self.tenants, tenant).await?;
        let now = ledger::clock(&mut transaction, tenant).await?.now;
        let found = budgets::find(&mut transaction, tenant, budget_id).await?;
        if let Some(deleted) = found.filter(|found| found.delete_time.is_some()) {
            // The same again: perhaps the first answer was lost.
            return Ok(deleted);
        }
        let mut known = editable(&mut transaction, tenant, budget_id, etag).await?;
        known.etag = Uuid::now_v7().to_string();
        known.update_time = now;
        known.delete_time = Some(now);
        known.backfilling = false;
        backfill::finish(&mut transaction, tenant, known.number).await?;
        budgets::delete(&mut transaction, tenant, known.number, &known.etag, now).await?;
        transaction.commit().await?;
        Ok(known)
    }

    /// The states of counters whose window holds `at` (absent = now): of one budget or of all, those with these `per`
    /// values, up to `limit` after `after`.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn budget_states(
        &self,
        tenant: TenantId,
        budget_id: Option<&str>,
        per_values: &HashMap<String, String>,
        at: Option<Timestamp>,
        after: (i64, Uuid),
        limit: usize,
    ) -> Result<Vec<(WindowKey, BudgetState)>, AppError> {
        let _turn = self.turn_to_read(tenant).await?;
        let mut transaction = self.snapshot(tenant).await?;
        let clock = ledger::clock(&mut transaction, tenant).await?;
        let set = budgets::active(&mut transaction, tenant, clock.budgets_version).await?;
        let chosen: Vec<i64> = set
            .budgets
            .iter()
            .filter(|active| budget_id.is_none_or(|id| active.budget.budget_id == id))
            .map(|active| active.number)
            .collect();
        if let (Some(id), true) = (budget_id, chosen.is_empty()) {
            return Err(AppError::NotFound { what: Named::Budget, id: id.to_owned() });
        }
        let mut filter = WindowFilter {
            budgets: chosen,
            at: at.unwrap_or(clock.now),
            value: per_values.values().next().cloned(),
            after,
        };
        let chunk = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut states = Vec::new();
        for _ in 0..ROUNDS {
            let page = windows::list(&mut transaction, tenant, &filter, chunk).await?;
            let exhausted = page.len() < limit;
            for stored in page {
                filter.after = (stored.key.budget, stored.key.scope);
                let Some(active) = set.by_number(stored.key.budget) else { continue };
                let state = budget_state(active, &stored, clock.now).map_err(too_large)?;
                let meets = |(name, value): (&String, &String)| state.per_values.get(name) == Some(value);
                if states.len() < limit && per_values.iter().all(meets) {
                    states.push((stored.key, state));
                }
            }
            if exhausted || states.len() >= limit {
                return Ok(states);
            }
        }
        Err(AppError::QueryTooWide("name the budget, and values that its counters have".to_owned()))
    }

    /// What parts of reservations show of their budgets, by budget number and counter.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn part_budgets(
        &self,
        tenant: TenantId,
        parts: impl Iterator<Item = &Part>,
    ) -> Result<HashMap<(i64, Uuid), PartBudget>, AppError> {
        let keys: BTreeSet<(i64, Uuid)> = parts.map(|part| (part.budget, part.scope)).collect();
        let mut named = HashMap::with_capacity(keys.len());
        let mut unknown = Vec::new();
        for key in keys {
            match self.part_budgets.get(&(tenant, key)) {
                Some(budget) => drop(named.insert(key, budget)),
                None => unknown.push(key),
            }
        }
        if unknown.is_empty() {
            return Ok(named);
        }
        let mut connection = self.snapshot(tenant).await?;
        for (key, budget, per_values) in windows::scopes(&mut connection, tenant, &unknown).await? {
            let shown = PartBudget {
                per_values: per_values.by_name(&budget.per),
                unit: budget.unit,
                budget_id: budget.budget_id,
            };
            // A counter's budget and values never change.
            self.part_budgets.insert((tenant, key), shown.clone());
            named.insert(key, shown);
        }
        Ok(named)
    }
}

/// What a hold shows of its budget.
#[derive(Debug, Clone)]
pub struct PartBudget {
    /// Its id.
    pub budget_id: String,
    /// What it counts.
    pub unit: Unit,
    /// Which counter, by the keys' display names.
    pub per_values: BTreeMap<String, String>,
}

/// The budget states to show with each scope: budgets that count per the scope's key, budgets that select its value,
/// and, for the tenant, budgets with a single counter.
///
/// # Errors
/// [`AppError`].
pub async fn states_for_scopes(
    tenants: &TenantPool,
    tenant: TenantId,
    scopes: &[Scope],
    now: Timestamp,
) -> Result<Vec<Vec<BudgetState>>, AppError> {
    let mut transaction = tenants.snapshot(tenant).await?;
    let clock = ledger::clock(&mut transaction, tenant).await?;
    let set = budgets::active(&mut transaction, tenant, clock.budgets_version).await?;
    let keys: Vec<_> = scopes.iter().map(key_of).collect();
    // Of the others the windows are found by the instant.
    let known = |active: &ActiveBudget| {
        let budget = &active.budget;
        keys.iter().any(|key| concerns(budget, key.as_ref()) && sole_counter(budget, key.as_ref()).is_some())
    };
    let dated =
        set.budgets.iter().filter(|active| active.budget.window.kind() != WindowKind::Lifetime && known(active));
    let wanted = dated.map(|active| ((active.number, now), (active.clone(), now))).collect();
    let stored = periods::around(&mut transaction, tenant, &wanted).await?;
    let mut states = Vec::with_capacity(scopes.len());
    for key in keys {
        let chosen: Vec<i64> = set
            .budgets
            .iter()
            .filter(|active| concerns(&active.budget, key.as_ref()))
            .map(|active| active.number)
            .collect();
        if chosen.is_empty() {
            states.push(Vec::new());
            continue;
        }
        // Budgets that count by nothing but the scope's key, or by nothing at all, have one counter to show, whose key is
        // known; the others are searched by the value.
        let (known, searched): (Vec<i64>, Vec<i64>) = chosen.into_iter().partition(|number| {
            set.by_number(*number).is_some_and(|active| sole_counter(&active.budget, key.as_ref()).is_some())
        });
        let mut keys = Vec::new();
        for active in known.iter().filter_map(|number| set.by_number(*number)) {
            let Some(values) = sole_counter(&active.budget, key.as_ref()) else { continue };
            let stored = stored.get(&active.number).cloned().unwrap_or_default();
            let start = stored.bounds(&active.budget.window, now).map_err(|_| AppError::Internal)?.start;
            keys.push(WindowKey { budget: active.number, scope: values.digest(), start });
        }
        let mut windows = windows::read(&mut transaction, tenant, keys.into_iter()).await?;
        if !searched.is_empty() {
            let value = key.as_ref().map(|(_, value)| value.clone());
            let filter = WindowFilter { budgets: searched, at: now, value, after: (0, Uuid::nil()) };
            windows.extend(windows::list(&mut transaction, tenant, &filter, SHOWN_LIMIT).await?);
        }
        let mut found = Vec::with_capacity(windows.len());
        for stored in windows {
            let Some(active) = set.by_number(stored.key.budget) else { continue };
            if shows(&active.budget, &stored, key.as_ref()) {
                found.push(budget_state(active, &stored, clock.now).map_err(too_large)?);
            }
        }
        states.push(found);
    }
    Ok(states)
}

fn key_of(scope: &Scope) -> Option<(Dimension, String)> {
    match scope {
        Scope::Session(value) => Some((Dimension::SessionId, value.clone())),
        Scope::RootSession(value) => Some((Dimension::RootSessionId, value.clone())),
        Scope::User(value) => Some((Dimension::UserId, value.clone())),
        Scope::Agent(value) => Some((Dimension::AgentId, value.clone())),
        Scope::Project(value) => Some((Dimension::ProjectId, value.clone())),
        Scope::Tenant => None,
    }
}

/// The values of the only counter that a scope of this key can meet.
fn sole_counter(budget: &Budget, key: Option<&(Dimension, String)>) -> Option<PerValues> {
    match (budget.per.as_slice(), key) {
        ([], _) => Some(PerValues::default()),
        ([DimensionKey::Dimension(counted)], Some((dimension, value))) if counted == dimension => {
            Some(PerValues(vec![Some(value.clone())]))
        }
        _ => None,
    }
}

fn concerns(budget: &Budget, key: Option<&(Dimension, String)>) -> bool {
    match key {
        None => budget.per.is_empty(),
        Some((dimension, value)) => {
            let wanted = DimensionKey::Dimension(*dimension);
            let selects = budget
                .selector
                .iter()
                .any(|condition| condition.key == wanted && !condition.negate && condition.values.contains(value));
            budget.per.contains(&wanted) || selects
        }
    }
}

fn shows(budget: &Budget, stored: &StoredWindow, key: Option<&(Dimension, String)>) -> bool {
    let Some((dimension, value)) = key else { return true };
    let wanted = DimensionKey::Dimension(*dimension);
    match budget.per.iter().position(|key| *key == wanted) {
        Some(position) => stored.per_values.0.get(position).is_some_and(|held| held.as_deref() == Some(value)),
        None => true,
    }
}

/// Reads a budget, deleted or not.
pub(super) async fn known(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget_id: &str,
) -> Result<StoredBudget, AppError> {
    let found = budgets::find(connection, tenant, budget_id).await?;
    found.ok_or_else(|| AppError::NotFound { what: Named::Budget, id: budget_id.to_owned() })
}

pub(super) async fn editable(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget_id: &str,
    etag: &str,
) -> Result<StoredBudget, AppError> {
    let known = known(connection, tenant, budget_id).await?;
    if known.delete_time.is_some() {
        return Err(AppError::BudgetDeleted(budget_id.to_owned()));
    }
    if !etag.is_empty() && etag != known.etag {
        return Err(AppError::EtagMismatch(format!("budget `{budget_id}`")));
    }
    Ok(known)
}
