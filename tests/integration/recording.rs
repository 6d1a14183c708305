//! RecordUsage and GetUsage: what counts, once, and at what price.

mod charging;
mod once;

use std::collections::HashMap;

use tollgate_proto::v1;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, id, model, now, record, session, tokens, user};
use crate::harness::time::{at, milliseconds};

const DAY: i64 = 86_400;

type Change = (&'static str, fn(&mut v1::UsageEvent));

async fn send(server: &TestServer, event: v1::UsageEvent) -> Result<v1::RecordUsageResponse, tonic::Status> {
    server.usage.clone().record_usage(record(event)).await.map(tonic::Response::into_inner)
}

async fn get(server: &TestServer, key: v1::get_usage_request::Key) -> v1::UsageRecord {
    let request = v1::GetUsageRequest { key: Some(key) };
    server.usage.clone().get_usage(request).await.unwrap().into_inner().record.unwrap()
}

fn id_of(event: &v1::UsageEvent) -> String {
    match event.key.as_ref().unwrap() {
        v1::usage_event::Key::EventId(id) => id.clone(),
        v1::usage_event::Key::ExternalKey(key) => panic!("{key:?} is no id"),
    }
}

fn external(source: &str, key: &str) -> v1::ExternalKey {
    v1::ExternalKey { source: source.to_owned(), key: key.to_owned() }
}

fn externally(mut event: v1::UsageEvent, key: v1::ExternalKey) -> v1::UsageEvent {
    event.key = Some(v1::usage_event::Key::ExternalKey(key));
    event
}

fn used(mut event: v1::UsageEvent, usage: v1::TokenUsage) -> v1::UsageEvent {
    event.usage = Some(v1::usage_event::Usage::Tokens(usage));
    event
}

fn answered_by(mut event: v1::UsageEvent, model: v1::ModelRef) -> v1::UsageEvent {
    event.response_model = Some(model);
    event
}

fn part(class: v1::TokenClass, tokens: i64, ttl_seconds: Option<i64>) -> v1::TokenPart {
    let cache_ttl = ttl_seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    v1::TokenPart { token_class: class.into(), tokens, cache_ttl }
}

/// An event with every field set, in its canonical form.
fn complete() -> v1::UsageEvent {
    let start = at("2026-03-04T05:06:07.123456Z");
    v1::UsageEvent {
        key: Some(v1::usage_event::Key::EventId(id())),
        call_id: "call-1".to_owned(),
        attempt: 2,
        start_time: Some(start),
        end_time: Some(at("2026-03-04T05:06:09.654321Z")),
        time_to_first_token: Some(milliseconds(321)),
        dimensions: Some(v1::Dimensions {
            workspace_id: "workspace".to_owned(),
            project_id: "project".to_owned(),
            team_id: "team".to_owned(),
            customer_id: "customer".to_owned(),
            customer_tier: "enterprise".to_owned(),
            user_id: "user".to_owned(),
            environment: "production".to_owned(),
            session_id: "session".to_owned(),
            parent_session_id: "parent".to_owned(),
            root_session_id: "root".to_owned(),
            thread_id: "thread".to_owned(),
            room_id: "room".to_owned(),
            instance_id: "instance".to_owned(),
            service_type: "agent".to_owned(),
            service_id: "service-1".to_owned(),
            service_name: "service".to_owned(),
            agent_id: "agent-1".to_owned(),
            agent_name: "planner".to_owned(),
            agent_tier: "premium".to_owned(),
            agent_role: "reviewer".to_owned(),
            workflow_id: "workflow".to_owned(),
            workflow_step: Some(0),
            workflow_step_name: "draft".to_owned(),
            panel_id: "panel".to_owned(),
            panel_position: Some(1),
            panel_size: Some(3),
            task_name: "presentation_generate".to_owned(),
            task_id: "task-1".to_owned(),
            labels: HashMap::from([("tier".to_owned(), "gold".to_owned()), ("größe".to_owned(), String::new())]),
        }),
        operation_name: "chat".to_owned(),
        request_model: Some(v1::ModelRef {
            provider_tier: "standard".to_owned(),
            region: "eu-west-1".to_owned(),
            ..model("anthropic", "claude-3-5-sonnet")
        }),
        response_model: Some(model("anthropic", "claude-3-5-sonnet-20241022")),
        response_id: "response-1".to_owned(),
        batch_id: "batch-1".to_owned(),
        usage: Some(v1::usage_event::Usage::Tokens(v1::TokenUsage {
            reported_total: Some(10_501),
            parts: vec![
                part(v1::TokenClass::CacheRead, 6_000, None),
                part(v1::TokenClass::CacheWrite, 1_000, None),
                part(v1::TokenClass::CacheWrite, 2_000, Some(3_600)),
                part(v1::TokenClass::Reasoning, 0, None),
            ],
            quality: v1::UsageQuality::Counted.into(),
            ..tokens(10_000, 500)
        })),
        units: vec![v1::UnitCount { unit: "web_search".to_owned(), quantity: "1.5".to_owned() }],
        response_cache_hit: false,
        outcome: v1::CallOutcome::Partial.into(),
        error_type: "timeout".to_owned(),
        reservation: Some(v1::ReservationUse { reservation_id: id(), keep_open: true }),
        reported_cost: "0.0375".to_owned(),
        reported_currency: "EUR".to_owned(),
        accounting: v1::Accounting::Memo.into(),
        origin: v1::Origin::Import.into(),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        span_id: "00f067aa0ba902b7".to_owned(),
        metadata_json: r#"{"b": 1,  "a": 12345678901234567890}"#.to_owned(),
    }
}

#[tokio::test]
async fn an_event_is_given_back_field_by_field_as_it_was_sent() {
    let server = TestServer::start().await;
    let mut bare = event(session("s1"), 0, 0);
    (bare.dimensions, bare.usage, bare.operation_name) = (None, None, String::new());
    // What is left out is told as what it means.
    let told = v1::UsageEvent {
        attempt: 1,
        dimensions: Some(v1::Dimensions::default()),
        start_time: bare.start_time.map(to_microseconds),
        accounting: v1::Accounting::Enforced.into(),
        origin: v1::Origin::Live.into(),
        ..bare.clone()
    };
    let complete = complete();
    for (sent, told) in [(complete.clone(), complete), (bare, told)] {
        let answer = send(&server, sent.clone()).await.unwrap();
        let kept = get(&server, v1::get_usage_request::Key::EventId(id_of(&sent))).await;
        assert_eq!(kept.event, Some(told));
        assert_eq!((kept.cost, kept.charge_time, kept.revision), (answer.cost, answer.charge_time, 1));
        assert!(kept.record_time.is_some());
    }
    server.assert_audit_holds().await;
}

fn to_microseconds(at: prost_types::Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { nanos: at.nanos / 1_000 * 1_000, ..at }
}

#[tokio::test]
async fn the_answer_is_as_wide_as_it_was_asked_for() {
    let server = TestServer::start().await;
    server.budgets.clone().create_budget(create(budget("b", "1"))).await.unwrap();
    let answer = async |view: v1::ResponseView| {
        let request = v1::RecordUsageRequest { event: Some(event(user("u1"), 1, 1)), view: view.into() };
        server.usage.clone().record_usage(request).await.unwrap().into_inner()
    };
    let acknowledged = answer(v1::ResponseView::Ack).await;
    assert!(acknowledged.cost.is_none() && acknowledged.budgets.is_empty());
    assert!(!acknowledged.event_id.is_empty() && acknowledged.charge_time.is_some());
    for view in [v1::ResponseView::Unspecified, v1::ResponseView::Cost] {
        let priced = answer(view).await;
        assert!(priced.cost.is_some() && priced.budgets.is_empty());
    }
    let full = answer(v1::ResponseView::Full).await;
    assert_eq!(full.budgets.len(), 1);
    assert!(full.session_totals.is_none(), "it has no session");
    assert!(full.charge_time.unwrap().seconds <= now().seconds);
    server.assert_audit_holds().await;
}
