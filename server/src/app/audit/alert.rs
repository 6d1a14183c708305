//! What an audit in the background tells: each check that found a drift, once a day.

use std::collections::BTreeMap;

use tollgate_domain::alert::Subject;

use super::slices::Round;
use crate::alerts::AlertSource;
use crate::app::{App, AppError};
use crate::store::connect::begin;
use crate::store::{StoreError, ledger};
use crate::tenant::TenantId;

impl App {
    /// Raises an alert for each check of a round that found a drift, in a transaction of its own: the snapshot of an audit
    /// cannot write.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn alert_of_drift(&self, tenant: TenantId, round: &Round) -> Result<(), AppError> {
        let mut drifting: BTreeMap<&str, u64> = BTreeMap::new();
        for check in round.reports().flat_map(|report| &report.checks).filter(|check| !check.holds()) {
            *drifting.entry(check.name).or_default() += check.comparison.drifting;
        }
        if drifting.is_empty() {
            return Ok(());
        }
        let mut transaction = begin(&self.all_tenants, "BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let now = ledger::clock(&mut transaction, tenant).await?.now;
        let mut raised = self.alerts.raising(tenant, now);
        for (check, rows) in drifting {
            raised.add(Subject::AuditMismatch { check: check.to_owned(), rows }, None, AlertSource::default());
        }
        let written = self.alerts.write(&mut transaction, raised).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.alerts.announce(tenant, &written);
        Ok(())
    }
}
