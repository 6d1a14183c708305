//! What is counted while the database is away.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use tollgate_domain::budget::Decision;

/// The metrics of outages.
#[derive(Debug, Clone)]
pub struct OutageMetrics {
    database_away: IntGauge,
    degraded_checks: IntCounterVec,
    withdrawals: IntCounterVec,
}

impl OutageMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
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
        for decision in ["allowed", "denied"] {
            degraded_checks.with_label_values(&[decision]).inc_by(0);
        }
        for outcome in ["released", "left"] {
            withdrawals.with_label_values(&[outcome]).inc_by(0);
        }
        Ok(Self { database_away, degraded_checks, withdrawals })
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
}
