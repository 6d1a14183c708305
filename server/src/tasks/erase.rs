//! Erases what tells the names of people who are to be forgotten, a step at a time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::app::{App, AppError};
use crate::store::{StoreError, erasures};

const PERIOD: Duration = Duration::from_secs(1);
/// Between two steps others have the database to themselves.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(app: App, stop: CancellationToken) {
    let mut pause = PERIOD;
    while next_round(pause, &stop).await {
        pause = match sweep(&app).await {
            Ok(true) => PAUSE,
            Ok(false) => PERIOD,
            Err(error) => {
                tracing::warn!(%error, "no erasure could go on");
                PERIOD
            }
        };
    }
}

/// One step of each tenant; says whether more is waiting.
async fn sweep(app: &App) -> Result<bool, AppError> {
    let mut more = false;
    let mut connection = app.all_tenants.acquire().await.map_err(StoreError::from)?;
    let tenants = erasures::tenants(&mut connection).await?;
    drop(connection);
    for tenant in tenants {
        match app.advance_erasure(tenant).await {
            Ok(left) => more |= left,
            // The others' is none the less.
            Err(error) => tracing::warn!(tenant = tenant.0, %error, "an erasure could not go on: it is tried again"),
        }
    }
    Ok(more)
}
