//! What is counted for whoever watches the service, and where it is read.
//!
//! No label has a value that a caller chooses: neither tenants nor sessions nor models, so that the number of series is
//! bounded.

mod endpoint;

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use tollgate_domain::alert::AlertKind;
use tollgate_domain::budget::Decision;
use tollgate_domain::notices::Notices;
use tollgate_domain::price::PriceState;

pub use endpoint::serve;

/// The metrics of one server.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    events: IntCounterVec,
    reported_cost_differences: IntCounter,
    alerts: IntCounterVec,
    deliveries: IntCounterVec,
    database_away: IntGauge,
    degraded_checks: IntCounterVec,
    withdrawals: IntCounterVec,
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
        registry.register(Box::new(alerts.clone()))?;
        registry.register(Box::new(deliveries.clone()))?;
        registry.register(Box::new(events.clone()))?;
        registry.register(Box::new(reported_cost_differences.clone()))?;
        let database_away = IntGauge::new("database_away", "1 while the database is away, else 0.")?;
        let degraded_checks = IntCounterVec::new(
            Opts::new("degraded_checks_total", "Checks answered without the database, by decision."),
            &["decision"],
        )?;
        let withdrawals = IntCounterVec::new(
            Opts::new(
                "withdrawn_holds_total",
                "Holds of checks that were answered without the database: released after its return, or left to expire as \
                 there were too many to note.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(database_away.clone()))?;
        registry.register(Box::new(degraded_checks.clone()))?;
        registry.register(Box::new(withdrawals.clone()))?;
        let metrics = Self {
            registry,
            events,
            reported_cost_differences,
            alerts,
            deliveries,
            database_away,
            degraded_checks,
            withdrawals,
        };
        for decision in ["allowed", "denied"] {
            metrics.degraded_checks.with_label_values(&[decision]).inc_by(0);
        }
        for outcome in ["released", "left"] {
            metrics.withdrawals.with_label_values(&[outcome]).inc_by(0);
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

    /// Tells whether the database is away.
    pub fn database_away(&self, away: bool) {
        self.database_away.set(i64::from(away));
    }

    /// Whether the database is away.
    pub fn is_database_away(&self) -> bool {
        self.database_away.get() != 0
    }

    /// Counts a check that was answered without the database.
    pub fn degraded(&self, decision: &Decision) {
        let allowed = matches!(decision, Decision::Allowed | Decision::Downgraded(_));
        self.degraded_checks.with_label_values(&[if allowed { "allowed" } else { "denied" }]).inc();
    }

    /// Counts a hold that was released because nobody was told of it.
    pub fn withdrawn(&self) {
        self.withdrawals.with_label_values(&["released"]).inc();
    }

    /// Counts a check that may have left a hold behind, which is left to expire.
    pub fn withdrawal_dropped(&self) {
        self.withdrawals.with_label_values(&["left"]).inc();
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
