//! Audits slices of every tenant's ledger again and again, shows what drifts and says it aloud.

use std::collections::{BTreeMap, HashMap};

use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::app::audit::{AuditReport, AuditSettings, Check, Rotation, Round, audit_slices, tenants};
use crate::app::{App, AppError};
use crate::metrics::{AuditOutcome, Metrics};
use crate::tenant::TenantId;

/// The audit in the background.
#[derive(Debug)]
pub struct AuditTask {
    app: App,
    metrics: Metrics,
    settings: AuditSettings,
    tenants: HashMap<TenantId, Audited>,
}

/// What is remembered of a tenant.
#[derive(Debug, Default)]
struct Audited {
    rotation: Rotation,
    /// Rows that drift, by check.
    drifting: BTreeMap<&'static str, u64>,
}

impl AuditTask {
    /// Over the database of these use cases.
    pub fn new(app: App, metrics: Metrics, settings: AuditSettings) -> Self {
        Self { app, metrics, settings, tenants: HashMap::new() }
    }

    /// Audits at every interval, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        if self.settings.interval.is_zero() {
            return;
        }
        while next_round(self.settings.interval, &stop).await {
            tokio::select! {
                // Nothing is written: it can be left at any point.
                () = stop.cancelled() => return,
                () = self.round() => {}
            }
        }
    }

    async fn round(&mut self) {
        let known = match tenants(&self.app.all_tenants).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, "no tenant could be audited");
                self.metrics.audited(AuditOutcome::Failed);
                return;
            }
        };
        for (tenant, name) in known {
            let outcome = self.audit(tenant, &name).await;
            self.metrics.audited(outcome);
        }
        let mut drifting: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (check, rows) in self.tenants.values().flat_map(|audited| &audited.drifting) {
            *drifting.entry(check).or_default() += rows;
        }
        self.metrics.show_drifting(&drifting);
    }

    async fn audit(&mut self, tenant: TenantId, name: &str) -> AuditOutcome {
        let audited = self.tenants.entry(tenant).or_default();
        let rotation = &mut audited.rotation;
        match audit_slices(&self.app.all_tenants, &self.app.dictionary, tenant, &self.settings, rotation).await {
            Ok(None) => AuditOutcome::Elsewhere,
            Ok(Some(round)) => {
                // Checks that this round did not make keep what the last one that did found.
                audited.drifting.extend(rotation.drifting(&round));
                if let Err(error) = self.app.alert_of_drift(tenant, &round).await {
                    tracing::warn!(tenant = name, %error, "a drift could not be told as an alert");
                }
                report(name, &round)
            }
            Err(error @ AppError::QueryTooWide(_)) => {
                tracing::warn!(tenant = name, %error, "an audit ran out of time: the next one reads less");
                rotation.too_slow();
                AuditOutcome::TooSlow
            }
            Err(error) => {
                tracing::warn!(tenant = name, %error, "an audit failed");
                AuditOutcome::Failed
            }
        }
    }
}

fn report(tenant: &str, round: &Round) -> AuditOutcome {
    let mut outcome = AuditOutcome::Holds;
    for report in round.reports() {
        for check in report.checks.iter().filter(|check| !check.holds()) {
            outcome = AuditOutcome::Drifts;
            report_drift(tenant, report, check);
        }
    }
    outcome
}

/// Says that a check found rows that drift. Which ones, `tollgate verify` tells: their names hold values of dimensions.
fn report_drift(tenant: &str, report: &AuditReport, check: &Check) {
    tracing::error!(
        tenant,
        check = check.name,
        rule = check.rule,
        drifting = check.comparison.drifting,
        as_of = %report.events.as_of,
        "the ledger drifts: run `tollgate verify`, then `tollgate rebuild`"
    );
}
