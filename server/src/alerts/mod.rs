//! Alerts: raised in the transaction that causes them, told once, and passed on to streams, the log and a webhook.

mod feed;
mod raised;
pub mod webhook;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use moka::sync::Cache;
use sqlx::PgConnection;
use tollgate_domain::alert::{AlertKind, Subject};
use uuid::Uuid;

pub use feed::{Feed, FeedFull, FeedSettings, Follower};
pub use raised::{AlertSource, Raised};

use crate::live::{Hub, Touch};
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::alerts::{self, NewAlert};
use crate::tenant::TenantId;

/// Occasions that are remembered as told.
const KNOWN_LIMIT: u64 = 200_000;
/// Most alerts of a kind about models on a UTC day: callers choose the names of models.
const MODELS_PER_DAY: i64 = 1_000;

/// How alerts are passed on.
#[derive(Debug, Clone, Copy)]
pub struct AlertSettings {
    /// Whether there is a webhook to tell.
    pub deliver: bool,
    /// Whether each alert is a line in the log.
    pub log: bool,
}

/// The one place through which alerts are raised. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Alerts {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: AlertSettings,
    metrics: Metrics,
    hub: Hub,
    /// What was told before, so that the thousandth use of a model without a price costs nothing.
    known: Cache<(TenantId, Uuid), ()>,
    /// The UTC day whose bound on models was noticed last.
    bounded_day: AtomicI64,
}

/// What a transaction wrote, to be announced once it has committed.
#[derive(Debug, Default)]
#[must_use = "alerts are announced after the commit"]
pub struct Written {
    added: Vec<NewAlert>,
    known: Vec<Uuid>,
}

impl Alerts {
    /// Passes alerts on as `settings` say.
    pub fn new(settings: AlertSettings, metrics: Metrics, hub: Hub) -> Self {
        let known = Cache::new(KNOWN_LIMIT);
        Self { shared: Arc::new(Shared { settings, metrics, hub, known, bounded_day: AtomicI64::new(i64::MIN) }) }
    }

    /// What a transaction at `now` is going to raise: nothing yet.
    pub fn raising(&self, tenant: TenantId, now: Timestamp) -> Raised {
        Raised::new(tenant, now, self.shared.known.clone())
    }

    /// Forgets what was told: the database may have come back with less than it had.
    pub fn forget(&self) {
        self.shared.known.invalidate_all();
    }

    /// Writes what was raised and not told before. To be called last in the transaction: alerts of a tenant wait for one another
    /// from here to its end, which numbers them in the order of their commits.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write(&self, connection: &mut PgConnection, raised: Raised) -> Result<Written, StoreError> {
        let Raised { tenant, now, alerts: mut added, .. } = raised;
        if added.is_empty() {
            return Ok(Written::default());
        }
        let occasions: Vec<Uuid> = added.iter().map(|alert| alert.occasion).collect();
        let told = alerts::known(connection, tenant, &occasions).await?;
        added.retain(|alert| !told.contains(&alert.occasion));
        self.bound_models(connection, tenant, &mut added, now).await?;
        if !added.is_empty() {
            // Another replica may have told some of them at the same time.
            let inserted = alerts::add(connection, tenant, &added, now).await?;
            added.retain(|alert| inserted.contains(&alert.alert_id));
        }
        if self.shared.settings.deliver && !added.is_empty() {
            let ids: Vec<Uuid> = added.iter().map(|alert| alert.alert_id).collect();
            alerts::add_deliveries(connection, tenant, &ids, now).await?;
        }
        Ok(Written { added, known: occasions })
    }

    /// Leaves out what is above the bound of a day.
    async fn bound_models(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        added: &mut Vec<NewAlert>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut kinds: Vec<AlertKind> =
            added.iter().filter(|alert| alert.counter.is_none()).map(|alert| alert.subject.kind()).collect();
        if kinds.is_empty() {
            return Ok(());
        }
        kinds.sort_unstable();
        kinds.dedup();
        let day = utc_day(now);
        let mut raised: HashMap<i16, i64> = alerts::models_since(connection, tenant, &kinds, day).await?;
        let before = added.len();
        added.retain(|alert| {
            let count = raised.entry(alert.subject.kind().code()).or_default();
            *count += i64::from(alert.counter.is_none());
            alert.counter.is_some() || *count <= MODELS_PER_DAY
        });
        let noticed = self.shared.bounded_day.load(Ordering::Relaxed);
        if added.len() < before && noticed != day.as_second() {
            self.shared.bounded_day.store(day.as_second(), Ordering::Relaxed);
            let until = day.checked_add(24.hours()).unwrap_or(day);
            tracing::warn!(limit = MODELS_PER_DAY, %until, "too many models raise alerts: no more of them are told today");
        }
        Ok(())
    }

    /// Tells of what a transaction wrote, after it committed: in the log, in metrics, and to those who wait.
    pub fn announce(&self, tenant: TenantId, written: &Written) {
        for occasion in &written.known {
            self.shared.known.insert((tenant, *occasion), ());
        }
        for alert in &written.added {
            self.shared.metrics.alerted(alert.subject.kind());
            if self.shared.settings.log {
                log(tenant, alert);
            }
        }
        if !written.added.is_empty() {
            self.shared.hub.touch(&[Touch::alerts(tenant)]);
        }
    }
}

/// Start of the UTC day that holds an instant.
fn utc_day(at: Timestamp) -> Timestamp {
    let midnight = at.to_zoned(TimeZone::UTC).start_of_day();
    midnight.map_or(at, |midnight| midnight.timestamp())
}

/// One line, without a word that a caller chose: neither budgets' ids nor models nor values of dimensions. Whoever may see them
/// reads the alert, by its id.
fn log(tenant: TenantId, alert: &NewAlert) {
    let NewAlert { alert_id, subject, event_id, reservation_id, .. } = alert;
    let budget = subject.budget();
    let (at_fraction, action) = match subject {
        Subject::RuleFired { rule, .. } => (Some(rule.at_fraction), Some(rule.action)),
        _ => (None, None),
    };
    let cause = match subject {
        Subject::Overrun { cause, .. } => Some(cause.name()),
        _ => None,
    };
    tracing::warn!(
        tenant = tenant.0,
        %alert_id,
        kind = subject.kind().name(),
        severity = subject.severity().name(),
        window_start = budget.map(|budget| tracing::field::display(budget.window.start)),
        limit = budget.map(|budget| tracing::field::display(budget.effective_limit)),
        spent = budget.map(|budget| tracing::field::display(budget.spent)),
        held = budget.map(|budget| tracing::field::display(budget.held)),
        at_fraction = at_fraction.map(tracing::field::display),
        action = action.map(tracing::field::debug),
        cause,
        event_id = event_id.map(tracing::field::display),
        reservation_id = reservation_id.map(tracing::field::display),
        "alert raised"
    );
}
