//! Other limits for single counters of budgets.

use tollgate_domain::amount::Amount;
use tollgate_domain::budget::{Budget, LimitOverride, PerValues};
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;

use super::values::{decimal, timestamp, to_timestamp};
use crate::app::AppError;
use crate::store::overrides::StoredOverride;

/// A validated override of a counter of `budget`.
///
/// # Errors
/// [`AppError::Invalid`] with every violation.
pub fn limit_override(message: v1::BudgetOverride, budget: &Budget) -> Result<LimitOverride, AppError> {
    let v1::BudgetOverride {
        budget_id: _,
        per_values,
        limit,
        start_time,
        end_time,
        etag: _,
        // Written by the server.
        create_time: _,
        update_time: _,
    } = message;
    let mut found = Violations::new();
    found.add_if(limit.is_empty(), "budget_override.limit", "must be set");
    let amount: Option<Amount> = decimal(&mut found, "budget_override.limit", &limit);
    let start_time = timestamp(&mut found, "budget_override.start_time", start_time);
    let end_time = timestamp(&mut found, "budget_override.end_time", end_time);
    let per_values =
        PerValues::from_names(budget, &per_values, "budget_override.per_values").unwrap_or_else(|broken| {
            found.extend(broken);
            PerValues::default()
        });
    let content = LimitOverride { per_values, limit: amount.unwrap_or_default(), start_time, end_time };
    if let Err(broken) = content.validate(budget, "budget_override") {
        found.extend(broken);
    }
    found.into_result(content).map_err(AppError::from)
}

/// For the wire.
pub fn to_override(stored: &StoredOverride, budget: &Budget) -> v1::BudgetOverride {
    let StoredOverride { scope: _, content, etag, create_time, update_time } = stored;
    let LimitOverride { per_values, limit, start_time, end_time } = content;
    v1::BudgetOverride {
        budget_id: budget.budget_id.clone(),
        per_values: per_values.by_name(&budget.per).into_iter().collect(),
        limit: limit.to_string(),
        start_time: start_time.map(to_timestamp),
        end_time: end_time.map(to_timestamp),
        etag: etag.clone(),
        create_time: Some(to_timestamp(*create_time)),
        update_time: Some(to_timestamp(*update_time)),
    }
}
