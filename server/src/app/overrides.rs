//! Other limits for single counters of budgets: set, list, remove.

use std::collections::HashMap;

use jiff::Timestamp;
use tollgate_domain::budget::{LimitOverride, PerValues};
use uuid::Uuid;

use super::budgets::{editable, known};
use super::{App, AppError, budget_alerts};
use crate::store::budgets::{self, BudgetSet, StoredBudget};
use crate::store::ledger;
use crate::store::overrides::{self, StoredOverride};
use crate::store::scoped::Scoped;
use crate::tenant::TenantId;

/// Most overrides of a tenant's budgets: every replica holds all of them.
const OVERRIDES_LIMIT: i64 = 10_000;

impl App {
    /// Gives a counter another limit, in force from the commit on. What a lower one leaves above every limit of the
    /// window is booked. The same again changes nothing.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn set_override(
        &self,
        tenant: TenantId,
        budget_id: &str,
        content: LimitOverride,
        etag: &str,
        validate_only: bool,
    ) -> Result<(StoredBudget, StoredOverride), AppError> {
        let _turn = self.turn_to_change(tenant).await?;
        let mut transaction = ledger::begin_budget_change(&self.tenants, tenant).await?;
        let now = ledger::clock(&mut transaction, tenant).await?.now;
        let budget = editable(&mut transaction, tenant, budget_id, "").await?;
        let scope = content.per_values.digest();
        let known = overrides::find(&mut transaction, tenant, budget.number, scope).await?;
        if let Some(known) = known.as_ref().filter(|known| known.content == content) {
            // The same again: perhaps the first answer was lost.
            return Ok((budget, known.clone()));
        }
        check_etag(known.as_ref(), etag, budget_id)?;
        if known.is_none() && overrides::count(&mut transaction, tenant).await? >= OVERRIDES_LIMIT {
            let advice = format!("there are {OVERRIDES_LIMIT} already: delete some");
            return Err(AppError::invalid("budget_override", advice));
        }
        let stored = StoredOverride {
            scope,
            content,
            etag: Uuid::now_v7().to_string(),
            create_time: known.map_or(now, |known| known.create_time),
            update_time: now,
        };
        let before = budgets::active(&mut transaction, tenant, 0).await?;
        overrides::set(&mut transaction, tenant, budget.number, &stored).await?;
        if !validate_only {
            self.commit_override(transaction, tenant, &before, &budget, scope, now).await?;
        }
        Ok((budget, stored))
    }

    /// Lists the overrides of a budget, up to `limit` after `after`, past and future ones included.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn overrides(
        &self,
        tenant: TenantId,
        budget_id: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<(StoredBudget, Vec<StoredOverride>), AppError> {
        let mut connection = self.snapshot(tenant).await?;
        let budget = known(&mut connection, tenant, budget_id).await?;
        let listed = overrides::list(&mut connection, tenant, budget.number, after, limit).await?;
        Ok((budget, listed))
    }

    /// Removes an override; one that is not there is gone already.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn delete_override(
        &self,
        tenant: TenantId,
        budget_id: &str,
        per_values: &HashMap<String, String>,
        etag: &str,
    ) -> Result<(), AppError> {
        let _turn = self.turn_to_change(tenant).await?;
        let mut transaction = ledger::begin_budget_change(&self.tenants, tenant).await?;
        let now = ledger::clock(&mut transaction, tenant).await?.now;
        let budget = editable(&mut transaction, tenant, budget_id, "").await?;
        let scope = PerValues::from_names(&budget.budget, per_values, "per_values")?.digest();
        let Some(known) = overrides::find(&mut transaction, tenant, budget.number, scope).await? else {
            return Ok(());
        };
        check_etag(Some(&known), etag, budget_id)?;
        let before = budgets::active(&mut transaction, tenant, 0).await?;
        overrides::delete(&mut transaction, tenant, budget.number, scope).await?;
        self.commit_override(transaction, tenant, &before, &budget, scope, now).await
    }

    /// Books what another limit of a counter leaves above every limit of its window, tells of it, and puts it in force.
    async fn commit_override(
        &self,
        mut transaction: Scoped,
        tenant: TenantId,
        before: &BudgetSet,
        budget: &StoredBudget,
        scope: Uuid,
        now: Timestamp,
    ) -> Result<(), AppError> {
        let (number, limit) = (budget.number, budget.budget.limit);
        budgets::book_overrun(&mut transaction, tenant, number, Some(scope), limit, now, false).await?;
        let after = budgets::active(&mut transaction, tenant, 0).await?;
        let mut raised = self.alerts.raising(tenant, now);
        if let (Some(before), Some(after)) = (before.by_number(number), after.by_number(number)) {
            budget_alerts::of_override(&mut transaction, tenant, before, after, scope, &mut raised).await?;
        }
        let alerts = self.alerts.write(&mut transaction, raised).await?;
        transaction.commit().await?;
        self.alerts.announce(tenant, &alerts);
        Ok(())
    }
}

fn check_etag(known: Option<&StoredOverride>, etag: &str, budget_id: &str) -> Result<(), AppError> {
    let stale = !etag.is_empty() && known.is_none_or(|known| known.etag != etag);
    if stale { Err(AppError::EtagMismatch(format!("the override of budget `{budget_id}`"))) } else { Ok(()) }
}
