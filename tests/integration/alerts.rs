//! Alerts: what raises them, once each, and how they reach people.

mod budgets;
mod following;
mod raising;
mod webhook;

use std::collections::BTreeMap;

use tollgate_proto::v1;
use tollgate_server::config::Config;

use crate::harness::TestServer;
use crate::harness::build::{create, day, event, record, rule, session};
use crate::harness::wait::until;

/// What one call of 1,000 and 1,000 tokens costs: 0.0125 dollars.
const CALL: (i64, i64) = (1_000, 1_000);

/// A daily budget in dollars with these rules.
fn with_rules(budget_id: &str, limit: &str, rules: Vec<v1::Rule>) -> v1::Budget {
    v1::Budget {
        budget_id: budget_id.to_owned(),
        unit: v1::Unit::Usd.into(),
        window: Some(day()),
        limit: limit.to_owned(),
        rules,
        ..Default::default()
    }
}

/// Tells at a share of what is spent.
fn on_spent(at_fraction: &str) -> v1::Rule {
    v1::Rule { basis: v1::Basis::Spent.into(), ..rule(at_fraction, v1::Action::Alert) }
}

/// Tells at a share of what is spent, held or presumed.
fn on_committed(at_fraction: &str) -> v1::Rule {
    v1::Rule { basis: v1::Basis::Committed.into(), ..rule(at_fraction, v1::Action::Alert) }
}

async fn keep(server: &TestServer, budget: v1::Budget) {
    server.budgets.clone().create_budget(create(budget)).await.unwrap();
}

/// Records a call that costs 0.0125 dollars.
async fn spend(server: &TestServer, session_id: &str) -> v1::UsageEvent {
    let event = event(session(session_id), CALL.0, CALL.1);
    server.usage.clone().record_usage(record(event.clone())).await.unwrap();
    event
}

/// All alerts, newest first.
async fn all(server: &TestServer) -> Vec<v1::Alert> {
    list(server, v1::ListAlertsRequest { page_size: 1_000, ..Default::default() }).await
}

async fn list(server: &TestServer, request: v1::ListAlertsRequest) -> Vec<v1::Alert> {
    server.alerts.clone().list_alerts(request).await.unwrap().into_inner().alerts
}

/// How often each was raised: kind, budget or model, and what it was about.
fn counted(alerts: &[v1::Alert]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for alert in alerts {
        *counted.entry(name(alert)).or_default() += 1;
    }
    counted
}

/// Once each.
fn once<const COUNT: usize>(names: [&str; COUNT]) -> BTreeMap<String, usize> {
    names.into_iter().map(|name| (name.to_owned(), 1)).collect()
}

/// What an alert is about, in short.
fn name(alert: &v1::Alert) -> String {
    let budget = alert.budget.as_ref().map_or("", |budget| budget.budget_id.as_str());
    let values: Vec<&str> =
        alert.budget.iter().flat_map(|budget| budget.per_values.values().map(String::as_str)).collect();
    let model = alert.model.as_ref().map_or("", |model| model.model.as_str());
    let rule = alert.rule.as_ref().map(|rule| {
        let (basis, action) = (rule.basis().as_str_name(), rule.action().as_str_name());
        format!("{} {basis} {action}", rule.at_fraction).replace("BASIS_", "").replace("ACTION_", "")
    });
    let kind = alert.kind().as_str_name().trim_start_matches("KIND_");
    let words = [kind, budget, &values.join(","), model, rule.as_deref().unwrap_or_default(), &alert.cause];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
