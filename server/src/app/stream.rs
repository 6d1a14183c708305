//! Running totals as they change: a stream, and its long-polling form.

mod request;
mod source;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::AppError;
use crate::live::{Hub, LiveError, Reading, Seen, Subscription};
use crate::tenant::TenantId;

pub use request::{NamedScope, StreamRequest, TotalsRequest};
pub use source::DatabaseSource;

/// When a caller may try again after too many subscribers.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The newest reading of one scope, under the caller's name for it.
#[derive(Debug, Clone)]
pub struct NamedReading {
    /// The caller's name for the scope.
    pub key: Arc<str>,
    /// Absolute figures.
    pub reading: Arc<Reading>,
}

/// One message of a stream.
#[derive(Debug, Clone)]
pub struct StreamMessage {
    /// The scopes that changed; all of them in a snapshot, none in a heartbeat.
    pub scopes: Vec<NamedReading>,
    /// Whether these are all scopes.
    pub snapshot: bool,
    /// The figures of all scopes, those that were sent before included, contain everything that was committed before
    /// this time. It stands still while the database is away.
    pub as_of: Timestamp,
}

/// Answer of a long poll.
#[derive(Debug, Clone)]
pub struct Totals {
    /// All scopes, in the order of the request.
    pub scopes: Vec<NamedReading>,
    /// The figures contain everything that was committed before this time.
    pub as_of: Timestamp,
}

/// Subscribes. The first message is the snapshot of all scopes, read after the subscription began, so that nothing
/// falls in between; later ones carry what changed since, at most one per `min_interval` and at least one per
/// `heartbeat`. A slow reader gets the newest figures, never a backlog. The stream ends with
/// [`AppError::ShuttingDown`] when the server drains.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::Full`] for too many subscribers, [`AppError::ShuttingDown`], and what hinders
/// the snapshot.
pub async fn subscribe(
    hub: &Hub,
    tenant: TenantId,
    request: StreamRequest,
) -> Result<impl Stream<Item = Result<StreamMessage, AppError>> + Send + 'static + use<>, AppError> {
    request.validate()?;
    let (min_interval, heartbeat) = (request.min_interval(), request.heartbeat());
    let (keys, scopes): (Vec<_>, Vec<_>) = request.scopes.into_iter().map(|named| (named.key, named.scope)).unzip();
    let mut subscription = hub.watch(tenant, scopes)?;
    let first = subscription.snapshot().await?;
    let watcher = Watcher { subscription, keys: keys.into(), min_interval, heartbeat, sent: Instant::now() };
    let first = watcher.message(first, true)?;
    Ok(futures::stream::unfold(Next::Snapshot(watcher, first), next))
}

/// Reads totals once. Answers at once where a scope has another version than `after_versions` says, or is not named
/// there; else waits for a change, at most for `wait`.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::Full`] for too many subscribers, [`AppError::ShuttingDown`], and what hinders
/// the reading.
pub async fn get_totals(hub: &Hub, tenant: TenantId, request: TotalsRequest) -> Result<Totals, AppError> {
    request.validate()?;
    let TotalsRequest { scopes, after_versions, wait } = request;
    let (keys, scopes): (Vec<_>, Vec<_>) = scopes.into_iter().map(|named| (named.key, named.scope)).unzip();
    let mut subscription = hub.watch(tenant, scopes)?;
    let mut readings = subscription.snapshot().await?;
    if !wait.is_zero() && all_known(&keys, &readings, &after_versions) {
        // The end of the wait is an answer, too.
        if let Ok(changed) = timeout(wait, next_changes(&mut subscription)).await {
            changed?;
        }
        readings = subscription.take_all();
    }
    let as_of = subscription.as_of().ok_or(AppError::Internal)?;
    Ok(Totals { scopes: named(&keys, readings), as_of })
}

/// Whether the caller has the newest version of every scope. Versions are compared for being the same: a new window
/// begins anew.
fn all_known(keys: &[Arc<str>], readings: &[Seen], after_versions: &HashMap<String, i64>) -> bool {
    readings.iter().all(|seen| {
        let known = keys.get(seen.position).and_then(|key| after_versions.get(key.as_ref()));
        known == Some(&seen.reading.totals.version)
    })
}

fn named(keys: &[Arc<str>], readings: Vec<Seen>) -> Vec<NamedReading> {
    let name = |seen: Seen| Some(NamedReading { key: keys.get(seen.position)?.clone(), reading: seen.reading });
    readings.into_iter().filter_map(name).collect()
}

/// Waits for readings that were not taken yet.
async fn next_changes(subscription: &mut Subscription) -> Result<Vec<Seen>, LiveError> {
    loop {
        subscription.changed().await?;
        let changed = subscription.take_changed();
        if !changed.is_empty() {
            return Ok(changed);
        }
    }
}

/// One stream's subscriber.
struct Watcher {
    subscription: Subscription,
    keys: Arc<[Arc<str>]>,
    min_interval: Duration,
    heartbeat: Duration,
    /// When the last message was sent.
    sent: Instant,
}

/// What a stream does when it is asked for the next message.
enum Next {
    Snapshot(Watcher, StreamMessage),
    Change(Watcher),
    End,
}

/// Nothing happens between two calls: a reader that does not ask holds bits, not messages.
async fn next(next: Next) -> Option<(Result<StreamMessage, AppError>, Next)> {
    let (message, mut watcher) = match next {
        Next::Snapshot(watcher, message) => (Ok(message), watcher),
        Next::Change(mut watcher) => (watcher.change().await, watcher),
        Next::End => return None,
    };
    watcher.sent = Instant::now();
    let then = if message.is_ok() { Next::Change(watcher) } else { Next::End };
    Some((message, then))
}

impl Watcher {
    /// The scopes that changed since the last message, or none of them when it is time for a heartbeat.
    async fn change(&mut self) -> Result<StreamMessage, AppError> {
        let draining = self.subscription.draining().clone();
        tokio::select! {
            biased;
            () = draining.cancelled() => return Err(AppError::ShuttingDown),
            () = sleep_until(self.sent + self.min_interval) => {}
        }
        let heartbeat = self.sent + self.heartbeat;
        let changed = timeout_at(heartbeat, next_changes(&mut self.subscription)).await;
        self.message(changed.unwrap_or_else(|_| Ok(Vec::new()))?, false)
    }

    fn message(&self, readings: Vec<Seen>, snapshot: bool) -> Result<StreamMessage, AppError> {
        let as_of = self.subscription.as_of().ok_or(AppError::Internal)?;
        Ok(StreamMessage { scopes: named(&self.keys, readings), snapshot, as_of })
    }
}

impl From<LiveError> for AppError {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Invalid(violations) => Self::Invalid(violations),
            LiveError::TooWide(why) => Self::QueryTooWide(why),
            LiveError::Full => Self::Full { what: "the number of streams", retry_after: FULL_RETRY_AFTER },
            LiveError::ShuttingDown => Self::ShuttingDown,
            LiveError::Unavailable => Self::Unavailable,
            LiveError::Internal => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests;
