//! Ends reservations whose time has run out by the database's clock.

use std::time::Duration;

use futures::future::join_all;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::ledger::Ledger;
use crate::store::{StoreError, audit, reservations};

const PERIOD: Duration = Duration::from_secs(1);
/// Most of one round; a full round is followed by the next at once.
const ROUND: i64 = 500;

pub(super) async fn run(pool: PgPool, ledger: Ledger, stop: CancellationToken) {
    let mut pause = PERIOD;
    while next_round(pause, &stop).await {
        pause = match sweep(&pool, &ledger).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PERIOD,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "reservations could not be expired");
                PERIOD
            }
        };
    }
}

/// One round; says whether more is waiting.
async fn sweep(pool: &PgPool, ledger: &Ledger) -> Result<bool, StoreError> {
    let tenants = audit::tenants(pool).await?;
    let mut connection = pool.acquire().await?;
    let mut more = false;
    for (tenant, _) in tenants {
        let ids = reservations::expired(&mut connection, tenant, ROUND).await?;
        more |= i64::try_from(ids.len()).is_ok_and(|count| count == ROUND);
        let answers = join_all(ids.into_iter().map(|id| ledger.expire(tenant, id))).await;
        if let Some(error) = answers.into_iter().find_map(Result::err) {
            // What did not end now is found again in the next round.
            tracing::warn!(%error, "some reservations could not be expired");
            more = false;
        }
    }
    Ok(more)
}
