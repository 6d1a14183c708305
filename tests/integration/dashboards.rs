//! What is shipped for Prometheus and Grafana asks for metrics that there are.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tollgate_server::config::Config;

use crate::harness::TestServer;
use crate::harness::wait::until;
use crate::metrics::{families, get};

fn shipped(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("tollgate_")).map(str::to_owned).collect()
}

/// Every metric of a server; that of drift is there from the first audit on.
async fn served() -> BTreeSet<String> {
    let mut config = Config::default();
    config.metrics.listen = Some("127.0.0.1:0".parse().unwrap());
    config.audit.interval = Duration::from_millis(50);
    let server = TestServer::configured(&config).await;
    let text = until("an audit has ended", || async {
        let text = get(&server, "/metrics").await;
        text.contains("\ntollgate_audit_drifting_rows{").then_some(text)
    })
    .await;
    let mut names = BTreeSet::new();
    for family in families(&text) {
        if family.kind == "histogram" {
            names.extend(["bucket", "sum", "count"].map(|suffix| format!("{}_{suffix}", family.name)));
        }
        names.insert(family.name);
    }
    names
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_metrics_that_there_are() {
    let served = served().await;
    let (dashboard, alerts) = (shipped("grafana/tollgate.json"), shipped("prometheus/alerts.yaml"));
    for (what, text) in [("the dashboard", &dashboard), ("the alerts", &alerts)] {
        let named = named(text);
        assert!(named.len() > 5, "{what} names metrics: {named:?}");
        let missing: Vec<&String> = named.difference(&served).collect();
        assert!(missing.is_empty(), "{what} asks for {missing:?}; there are {served:?}");
    }
    let shown = named(&dashboard);
    let families: BTreeSet<&str> = shown
        .iter()
        .map(|name| ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name))
        .collect();
    for name in ["tollgate_rpc_total", "tollgate_ledger_commit_seconds", "tollgate_budget_counters"] {
        assert!(families.contains(name), "{name} is shown: {families:?}");
    }

    let parsed: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = parsed["panels"].as_array().unwrap();
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "panels are told apart");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(!panel["title"].as_str().unwrap().is_empty() && !panel["description"].as_str().unwrap().is_empty());
        for target in panel["targets"].as_array().unwrap() {
            let question = target["expr"].as_str().unwrap();
            assert!(balanced(question) && !named(question).is_empty(), "{question}");
        }
    }
}

/// Whether brackets are closed as they were opened.
fn balanced(text: &str) -> bool {
    let mut open = Vec::new();
    for letter in text.chars() {
        match letter {
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(letter) => return false,
            _ => {}
        }
    }
    open.is_empty()
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let text = shipped("prometheus/alerts.yaml");
    let rules: Vec<&str> = text.split("\n      - alert: ").skip(1).collect();
    let names: BTreeSet<&str> = rules.iter().filter_map(|rule| rule.lines().next()).collect();
    assert!(rules.len() >= 10 && names.len() == rules.len(), "{names:?}");
    for rule in rules {
        for part in ["\n        expr: ", "\n          severity: ", "\n          summary: ", "\n          description: "]
        {
            assert_eq!(rule.matches(part).count(), 1, "{part}: {rule}");
        }
        let asked = rule.split("expr: ").nth(1).and_then(|rest| rest.split("\n        labels:").next()).unwrap();
        assert!(balanced(asked) && !named(asked).is_empty(), "{asked}");
    }
}
