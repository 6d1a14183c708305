//! Seals and deletes what is older than the retention, a little at a time.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::app::audit::tenants;
use crate::app::{App, AppError};
use crate::store::partitions;
use crate::tenant::TenantId;

const PERIOD: Duration = Duration::from_secs(3_600);
/// Between two chunks writers have the ledger to themselves.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) async fn run(app: App, kept_for: Duration, stop: CancellationToken) {
    while next_round(PERIOD, &stop).await {
        match round(&app, kept_for, &stop).await {
            Ok(0) => {}
            Ok(events) => tracing::info!(events, "events older than the retention were sealed"),
            Err(error) => {
                tracing::warn!(%error, "what is older than the retention could not be sealed: it is tried again");
            }
        }
    }
}

async fn round(app: &App, kept_for: Duration, stop: &CancellationToken) -> Result<usize, AppError> {
    let mut sealed = 0;
    let mut oldest_of_all: Option<Timestamp> = None;
    for (tenant, name) in tenants(&app.all_tenants).await? {
        let oldest_kept = app.oldest_kept(tenant, kept_for).await?;
        match seal(app, tenant, oldest_kept, stop).await {
            Ok(events) => sealed += events,
            // The others' is none the less.
            Err(error) => {
                tracing::warn!(tenant = name, %error, "what is older than the retention could not be sealed: it is tried again");
            }
        }
        oldest_of_all = Some(oldest_of_all.map_or(oldest_kept, |oldest| oldest.min(oldest_kept)));
    }
    if let Some(oldest_kept) = oldest_of_all.filter(|_| !stop.is_cancelled()) {
        let dropped = partitions::drop_empty(&app.all_tenants, oldest_kept).await?;
        if dropped > 0 {
            tracing::info!(dropped, "empty partitions were dropped");
        }
    }
    Ok(sealed)
}

async fn seal(
    app: &App,
    tenant: TenantId,
    oldest_kept: Timestamp,
    stop: &CancellationToken,
) -> Result<usize, AppError> {
    let mut sealed = 0;
    loop {
        let events = app.seal_oldest(tenant, oldest_kept).await?;
        sealed += events;
        if events == 0 || !next_round(PAUSE, stop).await {
            break;
        }
    }
    while !stop.is_cancelled() && app.purge(tenant, oldest_kept).await? > 0 {
        if !next_round(PAUSE, stop).await {
            break;
        }
    }
    Ok(sealed)
}
