//! StreamUsage and GetTotals.

use tollgate_proto::v1;
use tollgate_proto::v1::watch_scope::Scope;

use super::{Case, assert_refused, case, within};
use crate::harness::TestServer;
use crate::harness::build::{day, key};
use crate::harness::time::milliseconds;

#[tokio::test]
async fn every_rule_of_stream_usage_is_told_by_its_field() {
    let server = TestServer::start().await;
    let good = v1::StreamUsageRequest { scopes: vec![watch("own")], ..Default::default() };
    let mut cases = within(scopes(), |request: &mut v1::StreamUsageRequest| &mut request.scopes);
    let interval = |what: &str, interval: prost_types::Duration| {
        case(what, &["min_interval"], move |request: &mut v1::StreamUsageRequest| request.min_interval = Some(interval))
    };
    let heartbeat = |what: &str, heartbeat: prost_types::Duration| {
        case(what, &["heartbeat"], move |request: &mut v1::StreamUsageRequest| request.heartbeat = Some(heartbeat))
    };
    cases.extend([
        interval("49 ms between messages", milliseconds(49)),
        interval("more than 60 s between messages", milliseconds(60_001)),
        interval("less than nothing between messages", prost_types::Duration { seconds: -1, nanos: 0 }),
        heartbeat("a heartbeat below 5 s", milliseconds(4_999)),
        heartbeat("a heartbeat above 60 s", milliseconds(60_001)),
        heartbeat("a negative heartbeat", prost_types::Duration { seconds: -1, nanos: 0 }),
    ]);
    assert_refused(&good, cases, |request| {
        let mut usage = server.usage.clone();
        async move { usage.stream_usage(request).await }
    })
    .await;
}

#[tokio::test]
async fn every_rule_of_get_totals_is_told_by_its_field() {
    let server = TestServer::start().await;
    let good = v1::GetTotalsRequest { scopes: vec![watch("own")], ..Default::default() };
    let mut cases = within(scopes(), |request: &mut v1::GetTotalsRequest| &mut request.scopes);
    cases.extend([
        case("a wait above 30 s", &["wait"], |request: &mut v1::GetTotalsRequest| {
            request.wait = Some(milliseconds(30_001));
        }),
        case("65 versions", &["after_versions"], |request: &mut v1::GetTotalsRequest| {
            request.after_versions = (0..65).map(|number| (number.to_string(), 1)).collect();
        }),
    ]);
    assert_refused(&good, cases, |request| {
        let mut usage = server.usage.clone();
        async move { usage.get_totals(request).await }
    })
    .await;
}

fn watch(key: &str) -> v1::WatchScope {
    v1::WatchScope { key: key.to_owned(), scope: Some(Scope::SessionId("s1".to_owned())), ..Default::default() }
}

/// A scope by the name of its field.
type NamedScope = (&'static str, fn(String) -> Scope);

fn scopes() -> Vec<Case<Vec<v1::WatchScope>>> {
    let one = |what: &str, field: &str, scope: v1::WatchScope| {
        case(what, &[field], move |scopes: &mut Vec<v1::WatchScope>| *scopes = vec![scope.clone()])
    };
    let of = |scope: Option<Scope>| v1::WatchScope { scope, window: Some(day()), ..watch("own") };
    let named = |what: &str, key: &str| one(what, "scopes[0].key", watch(key));
    let texts: [NamedScope; 5] = [
        ("session_id", Scope::SessionId),
        ("root_session_id", Scope::RootSessionId),
        ("user_id", Scope::UserId),
        ("agent_id", Scope::AgentId),
        ("project_id", Scope::ProjectId),
    ];
    let mut cases = vec![
        case("no scope", &["scopes"], |scopes: &mut Vec<v1::WatchScope>| scopes.clear()),
        case("65 scopes", &["scopes"], |scopes: &mut Vec<v1::WatchScope>| {
            *scopes = (0..65).map(|number| watch(&number.to_string())).collect();
        }),
        case("a key twice", &["scopes[1].key"], |scopes: &mut Vec<v1::WatchScope>| {
            *scopes = vec![watch("own"), watch("own")];
        }),
        named("no key", ""),
        named("a key of 65 bytes", &"x".repeat(65)),
        named("a key with a NUL", "\0"),
        one("nothing to watch", "scopes[0].session_id", of(None)),
        one("no tenant", "scopes[0].tenant", of(Some(Scope::Tenant(false)))),
        one(
            "a negative breakdown",
            "scopes[0].breakdown_limit",
            v1::WatchScope { breakdown_limit: -1, ..watch("own") },
        ),
        one("101 parts", "scopes[0].breakdown_limit", v1::WatchScope { breakdown_limit: 101, ..watch("own") }),
        one(
            "a breakdown by nothing",
            "scopes[0].breakdown.name",
            v1::WatchScope { breakdown: Some(key("agent")), ..watch("own") },
        ),
        one(
            "a window without a kind",
            "scopes[0].window.kind",
            v1::WatchScope { window: Some(v1::Window { kind: 0, ..day() }), ..watch("own") },
        ),
        one(
            "a window without a time zone",
            "scopes[0].window.time_zone",
            v1::WatchScope { window: Some(v1::Window { time_zone: String::new(), ..day() }), ..watch("own") },
        ),
    ];
    for (name, scope) in texts {
        let field = format!("scopes[0].{name}");
        cases.push(one(&format!("an empty {name}"), &field, of(Some(scope(String::new())))));
        cases.push(one(&format!("a {name} of 257 bytes"), &field, of(Some(scope("x".repeat(257))))));
        cases.push(one(&format!("a {name} with a NUL"), &field, of(Some(scope("\0".to_owned())))));
    }
    for scope in [
        Scope::UserId("u1".to_owned()),
        Scope::AgentId("a1".to_owned()),
        Scope::ProjectId("p1".to_owned()),
        Scope::Tenant(true),
    ] {
        let lifetime = v1::WatchScope { window: None, ..of(Some(scope)) };
        cases.push(one("no window", "scopes[0].window", lifetime));
    }
    cases
}
