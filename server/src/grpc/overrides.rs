//! The overrides of BudgetService.

use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use uuid::Uuid;

use super::budget_service::{PAGE_SIZE, PAGE_SIZE_LIMIT, named_budget, parsed};
use super::convert::limit_override::{limit_override, to_override};
use super::convert::values::page_size;
use crate::app::{App, AppError};
use crate::tenant::TenantId;

/// Sets one.
pub(super) async fn set(
    app: &App,
    tenant: TenantId,
    request: v1::SetBudgetOverrideRequest,
) -> Result<v1::SetBudgetOverrideResponse, AppError> {
    let v1::SetBudgetOverrideRequest { budget_override: message, validate_only } = request;
    let Some(message) = message else { return Err(AppError::invalid("budget_override", "must be set")) };
    let budget_id = required(&message.budget_id, "budget_override.budget_id")?;
    let etag = message.etag.clone();
    // The keys that it must name never change.
    let budget = app.budget(tenant, &budget_id).await?.budget;
    let content = limit_override(message, &budget)?;
    let (budget, stored) = app.set_override(tenant, &budget_id, content, &etag, validate_only).await?;
    Ok(v1::SetBudgetOverrideResponse { budget_override: Some(to_override(&stored, &budget.budget)) })
}

/// Lists those of a budget.
pub(super) async fn list(
    app: &App,
    tenant: TenantId,
    request: v1::ListBudgetOverridesRequest,
) -> Result<v1::ListBudgetOverridesResponse, AppError> {
    let v1::ListBudgetOverridesRequest { budget_id, page_size: size, page_token } = request;
    let budget_id = required(&budget_id, "budget_id")?;
    let mut found = Violations::new();
    let limit = page_size(&mut found, size, PAGE_SIZE, PAGE_SIZE_LIMIT);
    parsed(found, Some(()))?;
    let after = match page_token.as_str() {
        "" => None,
        token => Some(Uuid::try_parse(token).map_err(|_| AppError::PageTokenInvalid)?),
    };
    let (budget, listed) = app.overrides(tenant, &budget_id, after, i64::from(limit)).await?;
    let last = listed.last().filter(|_| listed.len() == limit as usize);
    Ok(v1::ListBudgetOverridesResponse {
        next_page_token: last.map(|stored| stored.scope.to_string()).unwrap_or_default(),
        budget_overrides: listed.iter().map(|stored| to_override(stored, &budget.budget)).collect(),
    })
}

/// Removes one.
pub(super) async fn delete(
    app: &App,
    tenant: TenantId,
    request: v1::DeleteBudgetOverrideRequest,
) -> Result<v1::DeleteBudgetOverrideResponse, AppError> {
    let v1::DeleteBudgetOverrideRequest { budget_id, per_values, etag } = request;
    let budget_id = required(&budget_id, "budget_id")?;
    app.delete_override(tenant, &budget_id, &per_values, &etag).await?;
    Ok(v1::DeleteBudgetOverrideResponse {})
}

fn required(budget_id: &str, field: &str) -> Result<String, AppError> {
    let mut found = Violations::new();
    found.add_if(budget_id.is_empty(), field, "must be set");
    let id = named_budget(&mut found, field, budget_id.to_owned()).unwrap_or_default();
    parsed(found, Some(id))
}
