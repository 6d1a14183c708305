//! The rebuild: everything that is derived from the events and the reservations is derived again and put in the place of
//! what is stored. One transaction for each kind, under the lock that keeps batches out.

mod counters;
mod report;
mod totals;

use sqlx::PgPool;
use thiserror::Error;
use tollgate_domain::amount::AmountError;

pub use report::{Kind, KindReport, RebuildReport};

use super::AppError;
use crate::store::dictionary::Dictionary;
use crate::store::{StoreError, ledger, rebuild as store};
use crate::tenant::TenantId;

/// Why nothing is rebuilt.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The database did not answer, or holds what cannot be read.
    #[error(transparent)]
    App(#[from] AppError),
    /// Events are gone whose totals are kept.
    #[error(
        "events were dropped: the rollup tells of {told} attempts before the oldest partition, {left} events are left. \
         Their balances are not sealed, so what is derived from them cannot be derived again; nothing was changed"
    )]
    Dropped {
        /// Attempts that the rollup tells of.
        told: i64,
        /// Events that are left of them.
        left: i64,
    },
    /// A sum cannot be held.
    #[error("a sum cannot be held: {0}")]
    Amount(#[from] AmountError),
}

impl From<StoreError> for RebuildError {
    fn from(error: StoreError) -> Self {
        Self::App(error.into())
    }
}

/// Rebuilds one tenant's session totals, rollups and counters, or, as a `dry_run`, says what would change. The tenant's
/// writers wait meanwhile, kind by kind. Totals of all sessions and all rollup rows are held in memory.
///
/// # Errors
/// [`RebuildError`]. Kinds that were rebuilt before the failure stay so.
pub async fn rebuild(
    pool: &PgPool,
    dictionary: &Dictionary,
    tenant: TenantId,
    dry_run: bool,
) -> Result<RebuildReport, RebuildError> {
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        let mut transaction = ledger::begin_budget_upkeep(pool, tenant).await?;
        let (told, left) = store::attempts_before_partitions(&mut transaction, tenant).await?;
        if told > left {
            return Err(RebuildError::Dropped { told, left });
        }
        let report = match kind {
            Kind::BudgetCounters => counters::rebuild(&mut transaction, dictionary, tenant, dry_run).await?,
            Kind::SessionTotals | Kind::UsageRollup | Kind::UserRollup => {
                totals::rebuild(pool, &mut transaction, dictionary, tenant, kind, dry_run).await?
            }
        };
        if dry_run {
            transaction.rollback().await.map_err(StoreError::from)?;
        } else {
            transaction.commit().await.map_err(StoreError::from)?;
        }
        kinds.push(report);
    }
    Ok(RebuildReport { kinds })
}
