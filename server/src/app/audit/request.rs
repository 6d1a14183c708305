//! Audits on request: bounded in events, and one at a time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tollgate_domain::window::Bounds;

use super::checks::{self, PartBounds};
use super::report::AuditReport;
use super::slices::QUARTER;
use super::{AppError, AuditSettings};
use crate::app::App;
use crate::store::audit_range::count_range;
use crate::tenant::TenantId;

/// When to ask again while another audit runs.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How audits on request are bounded on this replica.
#[derive(Debug, Clone)]
pub struct RequestedAudits {
    events: i64,
    running: Arc<Semaphore>,
}

impl RequestedAudits {
    /// One at a time.
    pub fn new(settings: &AuditSettings) -> Self {
        Self { events: i64::from(settings.request_events), running: Arc::new(Semaphore::new(1)) }
    }
}

impl App {
    /// Audits what starts in `range`, widened to whole quarter hours, or everything, in one snapshot. Each check names at
    /// most `examples` rows.
    ///
    /// # Errors
    /// [`AppError::Full`] while another one runs, [`AppError::QueryTooWide`] where there are too many events, and others.
    pub async fn run_audit(
        &self,
        tenant: TenantId,
        range: Option<Bounds>,
        examples: u16,
    ) -> Result<AuditReport, AppError> {
        let busy = |_| AppError::Full { what: "the queue of audits", retry_after: RETRY_AFTER };
        let _turn = self.turn_to_read(tenant).await?;
        let _running = self.audits.running.try_acquire().map_err(busy)?;
        let range = range.map(whole_quarters).transpose()?;
        let mut snapshot = self.snapshot(tenant).await?;
        let limit = self.audits.events;
        let entries = count_range(&mut snapshot, tenant, range, limit.saturating_add(1)).await?;
        if i64::try_from(entries).unwrap_or(i64::MAX) > limit {
            let advice =
                format!("there are more than {limit} events; ask for a shorter time, or run `tollgate verify`");
            return Err(AppError::QueryTooWide(advice));
        }
        match range {
            None => checks::whole(&mut snapshot, &self.dictionary, tenant, examples).await,
            Some(range) => {
                let bounds = PartBounds { sessions: limit, salt: 0, charged_events: limit, examples };
                checks::part(&mut snapshot, &self.dictionary, tenant, range, bounds).await
            }
        }
    }
}

/// The shortest range of whole quarter hours around `range`.
fn whole_quarters(range: Bounds) -> Result<Bounds, AppError> {
    let seconds = QUARTER.as_secs();
    let floor = |at: Timestamp| at.as_microsecond().div_euclid(seconds * 1_000_000) * seconds;
    let instant = |second| Timestamp::from_second(second).map_err(|_| AppError::Internal);
    let start = instant(floor(range.start))?;
    let end = instant(floor(range.end))?;
    let end = if end < range.end { instant(floor(range.end) + seconds)? } else { end };
    Ok(Bounds { start, end })
}
