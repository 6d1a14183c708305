//! Writes down when the selectors of budgets matched last, so that one that never matches is seen.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::ledger::Ledger;
use crate::store::{StoreError, budgets};
use crate::tenant::TenantId;

const PERIOD: Duration = Duration::from_secs(5);

pub(super) async fn run(pool: PgPool, ledger: Ledger, stop: CancellationToken) {
    while next_round(PERIOD, &stop).await {
        if let Err(error) = write(&pool, &ledger).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "matched budgets could not be noted");
        }
    }
}

async fn write(pool: &PgPool, ledger: &Ledger) -> Result<(), StoreError> {
    let mut by_tenant: BTreeMap<TenantId, BTreeMap<i64, Timestamp>> = BTreeMap::new();
    for ((tenant, budget), at) in ledger.take_matches() {
        by_tenant.entry(tenant).or_default().insert(budget, at);
    }
    for (tenant, matches) in by_tenant {
        budgets::note_matches(&mut *pool.acquire().await?, tenant, &matches).await?;
    }
    Ok(())
}
