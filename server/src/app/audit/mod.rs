//! The audit: one snapshot in which everything that is derived from the events, and from the reservations, is derived
//! again and compared with what is stored (invariants 3, 4 and 5).
//!
//! Three ways in: of the whole ledger (`tollgate verify`), of a stretch of time on request, and in the background of
//! slices that take turns.

mod alert;
mod carry;
mod checks;
mod report;
mod request;
mod slices;
mod spending;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sqlx::PgPool;

pub use report::{AuditReport, Check};
pub use request::RequestedAudits;
pub use slices::{Rotation, Round, audit_slices};

use super::AppError;
use crate::store::audit::{self as store, EXAMPLES_LIMIT};
use crate::store::dictionary::Dictionary;
use crate::tenant::TenantId;

/// The bounds of audits.
#[derive(Debug, Clone, Copy)]
pub struct AuditSettings {
    /// Time between two audits in the background; zero = none.
    pub interval: Duration,
    /// Most events of one slice in the background. An hour that has more is cut into its quarters.
    pub slice_events: u32,
    /// Longest time of one statement in the background.
    pub statement_timeout: Duration,
    /// Most events of an audit on request.
    pub request_events: u32,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            slice_events: 20_000,
            statement_timeout: Duration::from_secs(10),
            request_events: 500_000,
        }
    }
}

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
    let report = checks::whole(&mut snapshot, dictionary, tenant, EXAMPLES_LIMIT).await?;
    // Nothing was written: a failed end of the transaction takes nothing away from what was read.
    drop(snapshot);
    Ok(report)
}
