//! Background tasks: they take no input, are woken by time, read the state from the database, and may run on every
//! replica at once.

mod audit;
mod backfill;
mod credentials;
mod erase;
mod expire;
mod matches;
mod partitions;
mod retention;
mod withdraw;

use std::time::Duration;

pub use audit::AuditTask;
use jiff::Timestamp;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::auth::LastUses;
use crate::store::StoreError;

/// Makes what the ledger needs before it starts.
///
/// # Errors
/// [`StoreError`].
pub async fn prepare(pool: &PgPool, retention: Duration) -> Result<(), StoreError> {
    partitions::ensure(pool, retention, Timestamp::now()).await
}

/// Starts all of them; they end with `stop`.
pub fn start(tracker: &TaskTracker, app: &App, uses: LastUses, retention: Duration, stop: &CancellationToken) {
    let App { all_tenants: pool, ledger, .. } = app;
    tracker.spawn(backfill::run(app.clone(), stop.clone()));
    tracker.spawn(erase::run(app.clone(), stop.clone()));
    tracker.spawn(credentials::run(pool.clone(), uses, stop.clone()));
    tracker.spawn(expire::run(pool.clone(), ledger.clone(), stop.clone()));
    tracker.spawn(matches::run(pool.clone(), ledger.clone(), stop.clone()));
    tracker.spawn(withdraw::run(pool.clone(), ledger.clone(), stop.clone()));
    tracker.spawn(partitions::run(pool.clone(), retention, stop.clone()));
    tracker.spawn(self::retention::run(app.clone(), retention, stop.clone()));
}

/// Waits for the next round; `false` = the end.
async fn next_round(period: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(period) => true,
        () = stop.cancelled() => false,
    }
}
