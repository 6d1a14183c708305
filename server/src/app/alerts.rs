//! Alerts: list, follow, acknowledge.

use std::time::Duration;

use futures::Stream;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tollgate_domain::digest::Digester;
use uuid::Uuid;

use super::budgets::known;
use super::error::Named;
use super::{App, AppError};
use crate::alerts::{FeedFull, Follower};
use crate::store::alerts::{self, Acknowledgement, AlertFilter, StoredAlert};
use crate::store::ledger;
use crate::tenant::TenantId;

/// Most alerts of one message of a stream.
const MESSAGE_LIMIT: i64 = 100;
/// When to try again where too many streams are open.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a list of alerts is asked for.
#[derive(Debug, Clone, Default)]
pub struct AlertQuery {
    /// Raised then or later.
    pub from: Option<Timestamp>,
    /// Raised before.
    pub until: Option<Timestamp>,
    /// About this budget.
    pub budget_id: Option<String>,
    /// Not acknowledged.
    pub unacknowledged_only: bool,
}

impl AlertQuery {
    /// The same for the pages of one list.
    pub fn digest(&self) -> Uuid {
        let Self { from, until, budget_id, unacknowledged_only } = self;
        let mut digester = Digester::new();
        for time in [from, until] {
            digester.optional(time.map(|time| time.as_microsecond().to_be_bytes()));
        }
        digester.optional(budget_id.as_deref()).field([u8::from(*unacknowledged_only)]);
        digester.finish()
    }
}

/// What a stream of alerts is asked for.
#[derive(Debug, Clone)]
pub struct AlertStreamRequest {
    /// About these budgets; empty = all, and those about none.
    pub budget_ids: Vec<String>,
    /// After this position; absent = from now on.
    pub after: Option<i64>,
    /// Most time between two messages.
    pub heartbeat: Duration,
}

/// One message of a stream.
#[derive(Debug, Clone)]
pub struct AlertMessage {
    /// The alerts, oldest first; none = a heartbeat.
    pub alerts: Vec<StoredAlert>,
    /// Up to which position the stream has told everything.
    pub position: i64,
}

impl From<FeedFull> for AppError {
    fn from(full: FeedFull) -> Self {
        let what = match full {
            FeedFull::OfReplica => "the number of alert streams",
            FeedFull::OfTenant => "the tenant's number of alert streams",
        };
        Self::Full { what, retry_after: FULL_RETRY_AFTER }
    }
}

impl App {
    /// Up to `limit` alerts, newest first, below the position `before`; and the position where the next page begins.
    ///
    /// # Errors
    /// [`AppError::NotFound`] for a budget that does not exist, and others.
    pub async fn list_alerts(
        &self,
        tenant: TenantId,
        query: &AlertQuery,
        before: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<StoredAlert>, Option<i64>), AppError> {
        let AlertQuery { from, until, budget_id, unacknowledged_only } = query;
        let budget_ids: Vec<String> = budget_id.iter().cloned().collect();
        let budget = self.numbers(tenant, &budget_ids).await?.first().copied();
        let unacknowledged_only = *unacknowledged_only;
        let filter = AlertFilter { from: *from, until: *until, budget, unacknowledged_only, before };
        let mut connection = self.snapshot(tenant).await?;
        let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut found = alerts::list(&mut connection, tenant, &filter, rows).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|alert| alert.position);
        Ok((found, next))
    }

    /// Marks an alert as seen by a key; where it was, that stands.
    ///
    /// # Errors
    /// [`AppError::NotFound`] and others.
    pub async fn acknowledge_alert(
        &self,
        tenant: TenantId,
        alert_id: Uuid,
        by: Option<Uuid>,
        note: String,
    ) -> Result<StoredAlert, AppError> {
        let mut transaction = self.tenants.change(tenant).await?;
        let time = ledger::clock(&mut transaction, tenant).await?.now;
        // Empty where no key was asked for.
        let by = by.map(|api_key_id| api_key_id.to_string()).unwrap_or_default();
        let acknowledgement = Acknowledgement { time, by, note };
        alerts::acknowledge(&mut transaction, tenant, alert_id, &acknowledgement).await?;
        let found = alerts::get(&mut transaction, tenant, &[alert_id]).await?.pop();
        transaction.commit().await?;
        found.ok_or_else(|| AppError::NotFound { what: Named::Alert, id: alert_id.to_string() })
    }

    /// Alerts as they are raised, on any replica. The first message comes at once.
    ///
    /// # Errors
    /// [`AppError::NotFound`] for a budget that does not exist, [`AppError::Full`] for too many streams,
    /// [`AppError::ShuttingDown`], and others.
    pub async fn stream_alerts(
        &self,
        tenant: TenantId,
        request: AlertStreamRequest,
    ) -> Result<impl Stream<Item = Result<AlertMessage, AppError>> + use<>, AppError> {
        let draining = self.hub.draining().clone();
        if draining.is_cancelled() {
            return Err(AppError::ShuttingDown);
        }
        let budgets = self.numbers(tenant, &request.budget_ids).await?;
        let follower = self.feed.follow(tenant)?;
        let mut snapshot = self.snapshot(tenant).await?;
        let newest = alerts::positions(&mut snapshot, &[tenant]).await?.get(&tenant).copied().unwrap_or(0);
        drop(snapshot);
        // A position that was never reached belongs to another database: this one has told nothing yet.
        let position = request.after.unwrap_or(newest).min(newest);
        let heartbeat = request.heartbeat;
        let mut watcher = Watcher {
            app: self.clone(),
            tenant,
            budgets,
            follower,
            draining,
            position,
            heartbeat,
            sent: Instant::now(),
        };
        let first = watcher.read(newest).await?;
        Ok(futures::stream::unfold(Next::First(watcher, first), next))
    }

    /// The numbers of budgets, deleted ones included.
    async fn numbers(&self, tenant: TenantId, budget_ids: &[String]) -> Result<Vec<i64>, AppError> {
        if budget_ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.snapshot(tenant).await?;
        let mut numbers = Vec::with_capacity(budget_ids.len());
        for id in budget_ids {
            numbers.push(known(&mut connection, tenant, id).await?.number);
        }
        Ok(numbers)
    }
}

/// One stream.
struct Watcher {
    app: App,
    tenant: TenantId,
    budgets: Vec<i64>,
    follower: Follower,
    draining: CancellationToken,
    position: i64,
    heartbeat: Duration,
    /// When the last message was sent.
    sent: Instant,
}

/// What a stream does when it is asked for the next message.
enum Next {
    First(Watcher, AlertMessage),
    Later(Watcher),
    End,
}

/// Nothing happens between two calls: a reader that does not ask holds a position, not messages.
async fn next(next: Next) -> Option<(Result<AlertMessage, AppError>, Next)> {
    let (message, mut watcher) = match next {
        Next::First(watcher, message) => (Ok(message), watcher),
        Next::Later(mut watcher) => (watcher.message().await, watcher),
        Next::End => return None,
    };
    watcher.sent = Instant::now();
    let then = if message.is_ok() { Next::Later(watcher) } else { Next::End };
    Some((message, then))
}

impl Watcher {
    /// The alerts since the last message, or none when it is time for a heartbeat.
    async fn message(&mut self) -> Result<AlertMessage, AppError> {
        let heartbeat = self.sent + self.heartbeat;
        loop {
            let position = self.position;
            let newest = tokio::select! {
                biased;
                () = self.draining.cancelled() => return Err(AppError::ShuttingDown),
                newest = timeout_at(heartbeat, self.follower.beyond(position)) => newest,
            };
            let Ok(newest) = newest else { return Ok(AlertMessage { alerts: Vec::new(), position }) };
            let message = self.read(newest).await?;
            // All that is new may be about other budgets.
            if !message.alerts.is_empty() {
                return Ok(message);
            }
        }
    }

    /// What was raised since the last message and up to `newest`, as far as it fits.
    async fn read(&mut self, newest: i64) -> Result<AlertMessage, AppError> {
        let mut snapshot = self.app.snapshot(self.tenant).await?;
        let alerts =
            alerts::since(&mut snapshot, self.tenant, self.position, newest, &self.budgets, MESSAGE_LIMIT).await?;
        let full = i64::try_from(alerts.len()).is_ok_and(|count| count == MESSAGE_LIMIT);
        self.position = alerts.last().filter(|_| full).map_or(newest.max(self.position), |last| last.position);
        Ok(AlertMessage { alerts, position: self.position })
    }
}
