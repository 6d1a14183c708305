//! Counts what new budgets over large ledgers missed, chunk by chunk.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::app::{App, AppError};
use crate::store::audit;

const PERIOD: Duration = Duration::from_secs(1);

pub(super) async fn run(app: App, stop: CancellationToken) {
    let mut pause = PERIOD;
    while next_round(pause, &stop).await {
        pause = match sweep(&app).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PERIOD,
            Err(error) => {
                tracing::warn!(%error, "no budget could count back");
                PERIOD
            }
        };
    }
}

/// One chunk of each tenant; says whether more is waiting.
async fn sweep(app: &App) -> Result<bool, AppError> {
    let mut more = false;
    for (tenant, name) in audit::tenants(&app.all_tenants).await? {
        match app.advance_backfill(tenant).await {
            Ok(left) => more |= left,
            // The others' is none the less.
            Err(error) => tracing::warn!(tenant = name, %error, "a budget could not count back"),
        }
    }
    Ok(more)
}
