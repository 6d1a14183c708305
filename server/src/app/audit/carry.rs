//! What counters carry against the windows that they took it over from. A window that moved since then, by a late settle or a
//! correction, can no longer tell: what was carried stays as it was.

use sqlx::PgConnection;
use tollgate_domain::amount::Amount;

use super::AppError;
use crate::store::audit::{CarriedCounter, Comparison, Difference, Example, Selection, carried};
use crate::tenant::TenantId;

/// Computes what every counter carries again, where that is possible.
pub(super) async fn compare(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<Comparison, AppError> {
    let counters = carried(connection, tenant, selection).await?;
    let mut comparison =
        Comparison { rows: 0, drifting: 0, figures: Vec::new(), usd_drift: None, examples: Vec::new() };
    for counter in counters {
        comparison.rows += 1;
        let expected = match expected(&counter)? {
            Expected::Amount(amount) if amount == counter.carried => continue,
            Expected::Unknown => continue,
            Expected::Amount(amount) => amount.to_string(),
            Expected::NoSource => "0: no window is before it".to_owned(),
        };
        comparison.drifting += 1;
        if comparison.examples.len() < usize::from(selection.examples) {
            let CarriedCounter { budget_id, per_values, window_start, .. } = &counter;
            let figure = "carried".to_owned();
            let stored = Some(counter.carried.to_string());
            comparison.examples.push(Example {
                id: format!("budget {budget_id}, counter {per_values}, window from {window_start}"),
                differences: vec![Difference { figure, ledger: Some(expected), stored }],
            });
        }
    }
    Ok(comparison)
}

enum Expected {
    Amount(Amount),
    /// The window before it moved since then.
    Unknown,
    NoSource,
}

fn expected(counter: &CarriedCounter) -> Result<Expected, AppError> {
    let (Some(from), Some((version, last))) = (&counter.from, &counter.last) else { return Ok(Expected::NoSource) };
    if *version > from.version {
        return Ok(Expected::Unknown);
    }
    let amount = from.amount(last).map_err(|error| {
        tracing::error!(%error, "a sum of the audit cannot be held");
        AppError::Internal
    })?;
    Ok(Expected::Amount(amount))
}
