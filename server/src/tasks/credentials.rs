//! Writes down when keys were used last, and deletes secrets and view tokens that ended a day ago, and keys long after their end.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::auth::LastUses;
use crate::store::StoreError;
use crate::store::credentials::{note_uses, purge, purge_keys};

const PERIOD: Duration = Duration::from_secs(5);
const PURGE_PERIOD: Duration = Duration::from_secs(300);
/// So that a late caller is told that a credential has expired, and not that there is none.
const KEPT: Duration = Duration::from_secs(86_400);
/// How long a key is listed after its end.
const KEYS_KEPT: Duration = Duration::from_secs(90 * 86_400);
const PURGED_AT_ONCE: i64 = 10_000;

pub(super) async fn run(pool: PgPool, uses: LastUses, stop: CancellationToken) {
    let mut purged_at: Option<Instant> = None;
    while next_round(PERIOD, &stop).await {
        if let Err(error) = write(&pool, &uses).await {
            // The next use of each key is noted again in a minute.
            tracing::warn!(error = &error as &dyn std::error::Error, "uses of API keys could not be noted");
        }
        if purged_at.is_none_or(|at| at.elapsed() >= PURGE_PERIOD) {
            purged_at = Some(Instant::now());
            if let Err(error) = delete_ended(&pool).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "ended credentials could not be deleted");
            }
        }
    }
}

async fn delete_ended(pool: &PgPool) -> Result<(), StoreError> {
    purge(pool, KEPT, PURGED_AT_ONCE).await?;
    purge_keys(pool, KEYS_KEPT, PURGED_AT_ONCE).await?;
    Ok(())
}

async fn write(pool: &PgPool, uses: &LastUses) -> Result<(), StoreError> {
    let used = uses.take();
    if used.is_empty() {
        return Ok(());
    }
    note_uses(pool, &used).await
}
