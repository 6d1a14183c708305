//! The alerts of a run: followed while it goes on, listed at its end.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tollgate_client::{Client, v1};

use super::budgets::budget_ids;

/// Follows the alerts of the run's budgets. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Followed {
    alerts: watch::Receiver<Vec<v1::Alert>>,
    reading: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Followed {
    /// Follows what is raised about the project's budgets, which must be there.
    pub(super) fn start(client: &Client, project: &str) -> Self {
        let mut raised = client.alerts(budget_ids(project));
        let (sender, alerts) = watch::channel(Vec::new());
        let reading = tokio::spawn(async move {
            // The list at the end misses nothing that a broken stream does not tell.
            while let Some(Ok(told)) = raised.next().await {
                sender.send_modify(|alerts| alerts.push(told.alert));
            }
        });
        Self { alerts, reading }
    }

    /// What was raised so far, oldest first.
    pub(super) fn alerts(&self) -> watch::Receiver<Vec<v1::Alert>> {
        self.alerts.clone()
    }
}

/// An alert, as the report shows it.
#[derive(Debug, Serialize)]
pub(super) struct RaisedAlert {
    kind: String,
    severity: String,
    budget_id: String,
    per_values: BTreeMap<String, String>,
    pub(super) summary: String,
}

impl RaisedAlert {
    fn new(alert: v1::Alert) -> Self {
        let kind = alert.kind().as_str_name().trim_start_matches("KIND_").to_owned();
        let severity = alert.severity().as_str_name().trim_start_matches("SEVERITY_").to_owned();
        let v1::BudgetState { budget_id, per_values, .. } = alert.budget.unwrap_or_default();
        Self { kind, severity, budget_id, per_values: per_values.into_iter().collect(), summary: alert.summary }
    }

    fn is_about(&self, state: &v1::BudgetState) -> bool {
        let values = state.per_values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let own = self.per_values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.budget_id == state.budget_id && own.eq(values.collect::<BTreeMap<_, _>>())
    }
}

/// Every alert about the project's budgets, oldest first.
///
/// # Errors
/// What the server refuses.
pub(super) async fn list(client: &Client, project: &str) -> Result<Vec<RaisedAlert>, tollgate_client::Error> {
    let mut alerts = Vec::new();
    for budget_id in budget_ids(project) {
        let request = v1::ListAlertsRequest { budget_id, ..v1::ListAlertsRequest::default() };
        alerts.extend(client.list_alerts(request).try_collect::<Vec<v1::Alert>>().await?);
    }
    // Ids rise with time.
    alerts.sort_by(|left, right| left.alert_id.cmp(&right.alert_id));
    Ok(alerts.into_iter().map(RaisedAlert::new).collect())
}

/// Whether every counter whose rules fired was told of.
pub(super) fn tell_of_all(alerts: &[RaisedAlert], states: &[v1::BudgetState]) -> bool {
    let fired = states.iter().filter(|state| state.fired() != v1::Action::Unspecified);
    fired.into_iter().all(|state| alerts.iter().any(|alert| alert.is_about(state)))
}
