//! What is counted for whoever watches the service, and where it is read.
//!
//! No label has a value that a caller chooses: neither tenants nor sessions nor models, so that the number of series is
//! bounded.

mod endpoint;
mod ledger;
mod outage;
mod process;
mod rpc;
mod state;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use tollgate_domain::alert::AlertKind;
use tollgate_domain::notices::Notices;
use tollgate_domain::price::PriceState;

use self::process::ProcessMetrics;
use self::state::StateMetrics;

pub use endpoint::serve;
pub use ledger::{BatchRetry, CheckMode, LedgerMetrics};
pub use outage::OutageMetrics;
pub use rpc::{RpcMetrics, code_name};
pub use state::{FULLNESS, Pool, State, Watch, Watched};
pub use transport::{ConnectionRefusal, HandshakeFailure, TlsReload, TransportMetrics};

/// The metrics of one server.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    events: IntCounterVec,
    reported_cost_differences: IntCounter,
    alerts: IntCounterVec,
    deliveries: IntCounterVec,
    /// Of outages.
    pub outage: OutageMetrics,
    /// Of calls.
    pub rpc: RpcMetrics,
    /// Of batches and checks.
    pub ledger: LedgerMetrics,
    state: StateMetrics,
    process: ProcessMetrics,
    catalog_refused: Arc<AtomicBool>,
    /// Of connections.
    pub transport: TransportMetrics,
    catalogs: IntCounterVec,
    audit_runs: IntCounterVec,
    audit_drifting_rows: IntGaugeVec,
    audit_last_success: IntGauge,
}

/// What became of an attempt to deliver an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver took it.
    Delivered,
    /// It failed, and is tried again.
    Retried,
    /// It failed for the last time.
    GivenUp,
}

impl DeliveryOutcome {
    const ALL: [Self; 3] = [Self::Delivered, Self::Retried, Self::GivenUp];

    const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::GivenUp => "given_up",
        }
    }
}

/// What became of a changed price catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogOutcome {
    /// It is in force.
    Taken,
    /// It cannot be read or used: the one before stays in force.
    Refused,
}

impl CatalogOutcome {
    const ALL: [Self; 2] = [Self::Taken, Self::Refused];

    const fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
        }
    }
}

/// How an audit in the background ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOutcome {
    /// Every check holds.
    Holds,
    /// Some rows drift.
    Drifts,
    /// Another replica was at it.
    Elsewhere,
    /// A statement ran out of time: the next slices are smaller.
    TooSlow,
    /// The database did not answer, or something is defective.
    Failed,
}

impl AuditOutcome {
    const ALL: [Self; 5] = [Self::Holds, Self::Drifts, Self::Elsewhere, Self::TooSlow, Self::Failed];

    const fn label(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Drifts => "drifts",
            Self::Elsewhere => "elsewhere",
            Self::TooSlow => "too_slow",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// Where two of them have the same name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("tollgate".to_owned()), None)?;
        let events = IntCounterVec::new(
            Opts::new("recorded_events_total", "Events recorded, without repeats, by how far they could be priced."),
            &["price_state"],
        )?;
        let reported_cost_differences = IntCounter::new(
            "reported_cost_differences_total",
            "Events whose reported cost lies further from the computed one than is tolerated.",
        )?;
        let alerts = IntCounterVec::new(Opts::new("alerts_total", "Alerts that were raised, by kind."), &["kind"])?;
        let deliveries = IntCounterVec::new(
            Opts::new("webhook_deliveries_total", "Attempts to deliver an alert to the webhook, by outcome."),
            &["outcome"],
        )?;
        let catalogs = IntCounterVec::new(
            Opts::new("catalog_changes_total", "Changed price catalogs that were found, by what became of them."),
            &["outcome"],
        )?;
        registry.register(Box::new(catalogs.clone()))?;
        registry.register(Box::new(alerts.clone()))?;
        registry.register(Box::new(deliveries.clone()))?;
        registry.register(Box::new(events.clone()))?;
        registry.register(Box::new(reported_cost_differences.clone()))?;
        let audit_runs = IntCounterVec::new(
            Opts::new(
                "audit_runs_total",
                "Audits in the background, by how they ended; one for each tenant and round.",
            ),
            &["outcome"],
        )?;
        let audit_drifting_rows = IntGaugeVec::new(
            Opts::new(
                "audit_drifting_rows",
                "Rows that disagree with the events, by check, as audits found them last.",
            ),
            &["check"],
        )?;
        let audit_last_success = IntGauge::new(
            "audit_last_success_timestamp_seconds",
            "When an audit in the background last came to its end, whatever it found, in seconds since 1970.",
        )?;
        registry.register(Box::new(audit_runs.clone()))?;
        registry.register(Box::new(audit_drifting_rows.clone()))?;
        registry.register(Box::new(audit_last_success.clone()))?;
        let outage = OutageMetrics::new(&registry)?;
        let transport = TransportMetrics::new(&registry)?;
        let metrics = Self {
            rpc: RpcMetrics::new(&registry)?,
            ledger: LedgerMetrics::new(&registry)?,
            state: StateMetrics::new(&registry)?,
            process: ProcessMetrics::new(&registry)?,
            catalog_refused: Arc::default(),
            registry,
            outage,
            transport,
            events,
            reported_cost_differences,
            alerts,
            deliveries,
            catalogs,
            audit_runs,
            audit_drifting_rows,
            audit_last_success,
        };
        for outcome in CatalogOutcome::ALL {
            metrics.catalogs.with_label_values(&[outcome.label()]).inc_by(0);
        }
        for outcome in AuditOutcome::ALL {
            metrics.audit_runs.with_label_values(&[outcome.label()]).inc_by(0);
        }
        for state in [PriceState::Priced, PriceState::Free, PriceState::Partial, PriceState::Unpriced] {
            // Shown from the start: an alert on unpriced calls must not wait for the first one.
            metrics.events.with_label_values(&[label(state)]).inc_by(0);
        }
        for kind in AlertKind::ALL {
            metrics.alerts.with_label_values(&[kind.name()]).inc_by(0);
        }
        for outcome in DeliveryOutcome::ALL {
            metrics.deliveries.with_label_values(&[outcome.label()]).inc_by(0);
        }
        Ok(metrics)
    }

    /// Counts an event that was committed.
    pub fn recorded(&self, state: PriceState, notices: Notices) {
        self.events.with_label_values(&[label(state)]).inc();
        if notices.contains(Notices::REPORTED_COST_DIFFERS) {
            self.reported_cost_differences.inc();
        }
    }

    /// Counts an alert that was committed.
    pub fn alerted(&self, kind: AlertKind) {
        self.alerts.with_label_values(&[kind.name()]).inc();
    }

    /// Counts an attempt to deliver an alert.
    pub fn delivered(&self, outcome: DeliveryOutcome) {
        self.deliveries.with_label_values(&[outcome.label()]).inc();
    }

    /// Counts a changed price catalog.
    pub fn catalog_changed(&self, outcome: CatalogOutcome) {
        self.catalog_refused.store(outcome == CatalogOutcome::Refused, Ordering::Relaxed);
        self.catalogs.with_label_values(&[outcome.label()]).inc();
    }

    /// Counts an audit in the background.
    pub fn audited(&self, outcome: AuditOutcome) {
        self.audit_runs.with_label_values(&[outcome.label()]).inc();
        if matches!(outcome, AuditOutcome::Holds | AuditOutcome::Drifts) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.audit_last_success.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        }
    }

    /// Shows how many rows drift, by the name of the check, in place of what was shown before.
    pub fn show_drifting(&self, rows: &BTreeMap<&'static str, u64>) {
        for (check, rows) in rows {
            self.audit_drifting_rows.with_label_values(&[check]).set(i64::try_from(*rows).unwrap_or(i64::MAX));
        }
    }

    /// Whether the last price catalog that was found could not be used.
    pub fn is_catalog_refused(&self) -> bool {
        self.catalog_refused.load(Ordering::Relaxed)
    }

    /// Shows the state of the server and of the process as it is now.
    pub fn show_state(&self, server: Option<&dyn Watched>) {
        if let Some(server) = server {
            self.state.show(server);
        }
        self.process.refresh();
    }

    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// Where a metric cannot be written down.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn label(state: PriceState) -> &'static str {
    match state {
        PriceState::Priced => "priced",
        PriceState::Free => "free",
        PriceState::Partial => "partial",
        PriceState::Unpriced => "unpriced",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_7_every_price_state_is_counted_apart() {
        let metrics = Metrics::new().unwrap();
        metrics.recorded(PriceState::Unpriced, Notices::none());
        metrics.recorded(PriceState::Unpriced, Notices::UNRESERVED);
        metrics.recorded(PriceState::Free, Notices::REPORTED_COST_DIFFERS);
        let text = metrics.text().unwrap();
        assert!(text.contains("tollgate_reported_cost_differences_total 1\n"), "{text}");
        for (state, count) in [("priced", 0), ("free", 1), ("partial", 0), ("unpriced", 2)] {
            let line = format!("tollgate_recorded_events_total{{price_state=\"{state}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
