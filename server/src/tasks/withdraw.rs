//! Releases what was held for checks whose callers were told, while the database was away, that nothing is.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::future::join_all;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::ledger::{Ledger, Withdrawal};
use crate::store::{StoreError, reservations};
use crate::tenant::TenantId;

const PERIOD: Duration = Duration::from_millis(500);
/// Most of one round; a full round is followed by the next at once.
const ROUND: usize = 1_000;

pub(super) async fn run(pool: PgPool, ledger: Ledger, stop: CancellationToken) {
    let mut pause = PERIOD;
    while next_round(pause, &stop).await {
        pause = match sweep(&pool, &ledger).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PERIOD,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "unseen holds could not be looked for");
                PERIOD
            }
        };
    }
}

/// One round; says whether more is waiting.
async fn sweep(pool: &PgPool, ledger: &Ledger) -> Result<bool, StoreError> {
    let due = ledger.withdrawals_due(ROUND);
    if due.is_empty() {
        return Ok(false);
    }
    let mut by_tenant: BTreeMap<TenantId, Vec<Withdrawal>> = BTreeMap::new();
    for one in due.iter().copied() {
        by_tenant.entry(one.tenant).or_default().push(one);
    }
    let mut connection = pool.acquire().await?;
    let mut more = due.len() == ROUND;
    for (tenant, noted) in by_tenant {
        let ids: Vec<_> = noted.iter().map(|one| one.id).collect();
        // Few of them ever held: only these are worth a command.
        let open: HashSet<_> = reservations::pending_among(&mut connection, tenant, &ids).await?.into_iter().collect();
        let (held, mut done): (Vec<Withdrawal>, Vec<Withdrawal>) =
            noted.into_iter().partition(|one| open.contains(&one.id));
        let answers = join_all(held.iter().map(|one| ledger.withdraw(*one))).await;
        for (one, answer) in held.into_iter().zip(answers) {
            match answer {
                Ok(_) => done.push(one),
                Err(error) => {
                    // It is looked for again in the next round.
                    tracing::warn!(%error, "an unseen hold could not be released");
                    more = false;
                }
            }
        }
        ledger.withdrawals_looked_for(&done);
    }
    Ok(more)
}
