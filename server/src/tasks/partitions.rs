//! Makes the events' monthly partitions ahead of time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::store::{StoreError, partitions};

const PERIOD: Duration = Duration::from_secs(6 * 3_600);
/// How far ahead there are partitions: ids are accepted 48 hours ahead, and a server may be long away.
const AHEAD: SignedDuration = SignedDuration::from_hours(24 * 62);

pub(super) async fn run(pool: PgPool, retention: Duration, stop: CancellationToken) {
    while next_round(PERIOD, &stop).await {
        if let Err(error) = ensure(&pool, retention, Timestamp::now()).await {
            tracing::error!(error = &error as &dyn std::error::Error, "partitions could not be made");
        }
    }
}

/// Makes every partition that an accepted event id can fall into, with room ahead.
pub(super) async fn ensure(pool: &PgPool, retention: Duration, now: Timestamp) -> Result<(), StoreError> {
    let back = SignedDuration::try_from(retention).unwrap_or_default();
    let oldest = now.checked_sub(back).unwrap_or(now);
    let newest = now.checked_add(AHEAD).unwrap_or(now);
    partitions::ensure(pool, oldest, newest).await
}
