//! RecordUsage and GetUsage: what counts, once, and at what price.

use std::collections::HashMap;

use futures::future::join_all;
use tollgate_proto::v1;
use tollgate_proto::v1::batch_record_usage_response::item::Item;
use tonic::Code;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, id, model, now, record, reserve, session, settling, tokens, user};
use crate::harness::refusal::{Refusal, metadata, reason};
use crate::harness::time::{at, from_wire, id_at, milliseconds, seconds_from_now};

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
async fn decision_7_the_same_id_with_other_content_is_refused_and_names_the_fields() {
    let server = TestServer::start().await;
    let mut first = complete();
    // Without a reservation: with one, its dimensions count and not the event's.
    first.reservation = None;
    send(&server, first.clone()).await.unwrap();
    let changes: [Change; 44] = [
        ("call_id", |event| event.call_id = "call-2".to_owned()),
        ("attempt", |event| event.attempt = 3),
        ("start_time", |event| event.start_time = Some(at("2026-03-04T05:06:07.123457Z"))),
        ("operation_name", |event| event.operation_name = "embeddings".to_owned()),
        ("request_model", |event| event.request_model.as_mut().unwrap().region.clear()),
        ("response_model", |event| event.response_model = None),
        ("response_id", |event| event.response_id.clear()),
        ("batch_id", |event| event.batch_id.clear()),
        ("usage", |event| event.usage = Some(v1::usage_event::Usage::Tokens(tokens(10_000, 501)))),
        ("units", |event| event.units[0].quantity = "2".to_owned()),
        ("response_cache_hit", |event| event.response_cache_hit = true),
        ("outcome", |event| event.outcome = v1::CallOutcome::Ok.into()),
        ("error_type", |event| event.error_type = "refused".to_owned()),
        ("reservation", |event| {
            event.reservation = Some(v1::ReservationUse { reservation_id: id(), keep_open: false });
        }),
        ("reported_cost", |event| event.reported_cost = "0.04".to_owned()),
        ("reported_currency", |event| event.reported_currency = "USD".to_owned()),
        ("accounting", |event| event.accounting = v1::Accounting::Enforced.into()),
        ("origin", |event| event.origin = v1::Origin::Live.into()),
        ("workspace_id", |event| who(event).workspace_id.clear()),
        ("project_id", |event| who(event).project_id = "other".to_owned()),
        ("team_id", |event| who(event).team_id = "other".to_owned()),
        ("customer_id", |event| who(event).customer_id = "other".to_owned()),
        ("customer_tier", |event| who(event).customer_tier = "other".to_owned()),
        ("user_id", |event| who(event).user_id = "other".to_owned()),
        ("environment", |event| who(event).environment = "other".to_owned()),
        ("session_id", |event| who(event).session_id = "other".to_owned()),
        ("parent_session_id", |event| who(event).parent_session_id.clear()),
        ("root_session_id", |event| who(event).root_session_id.clear()),
        ("thread_id", |event| who(event).thread_id = "other".to_owned()),
        ("room_id", |event| who(event).room_id = "other".to_owned()),
        ("instance_id", |event| who(event).instance_id = "other".to_owned()),
        ("service_type", |event| who(event).service_type = "other".to_owned()),
        ("service_id", |event| who(event).service_id = "other".to_owned()),
        ("service_name", |event| who(event).service_name = "other".to_owned()),
        ("agent_id", |event| who(event).agent_id = "other".to_owned()),
        ("agent_name", |event| who(event).agent_name = "other".to_owned()),
        ("agent_tier", |event| who(event).agent_tier = "other".to_owned()),
        ("agent_role", |event| who(event).agent_role = "other".to_owned()),
        ("workflow_step", |event| who(event).workflow_step = None),
        ("workflow_step_name", |event| who(event).workflow_step_name = "other".to_owned()),
        ("panel_position", |event| who(event).panel_position = Some(0)),
        ("panel_size", |event| who(event).panel_size = Some(4)),
        ("task_name", |event| who(event).task_name = "other".to_owned()),
        ("task_id", |event| who(event).task_id = "other".to_owned()),
    ];
    for (field, change) in changes {
        let mut other = first.clone();
        change(&mut other);
        let refused = send(&server, other).await.unwrap_err();
        assert_eq!(Refusal::of(&refused), Refusal::new(Code::FailedPrecondition, "EVENT_ID_REUSED", &[]), "{field}");
        assert_eq!(metadata(&refused, "fields").as_deref(), Some(field));
        assert!(refused.message().contains(field), "{}", refused.message());
    }
    let mut other = first.clone();
    who(&mut other).user_id.clear();
    other.outcome = v1::CallOutcome::Error.into();
    let refused = send(&server, other).await.unwrap_err();
    assert_eq!(metadata(&refused, "fields").as_deref(), Some("outcome,user_id"));

    let kept = get(&server, v1::get_usage_request::Key::EventId(id_of(&first))).await;
    assert_eq!(kept.event, Some(first), "the first write stands");
    server.assert_audit_holds().await;
}

fn who(event: &mut v1::UsageEvent) -> &mut v1::Dimensions {
    event.dimensions.get_or_insert_default()
}

#[tokio::test]
async fn decision_7_what_is_not_content_may_differ_and_the_first_result_is_returned() {
    let server = TestServer::start().await;
    server.budgets.clone().create_budget(create(budget("b", "0.001"))).await.unwrap();
    let first = event(session("s1"), 1_000, 1_000);
    let answer = send(&server, first.clone()).await.unwrap();
    assert_eq!(answer.result(), v1::RecordResult::Recorded);
    assert_eq!(answer.notices, ["UNRESERVED", "OVERRUN"]);
    assert_eq!(answer.cost.as_ref().unwrap().usd, "0.0125");
    let retries: [fn(&mut v1::UsageEvent); 8] = [
        |_| {},
        |event| who(event).labels = HashMap::from([("tier".to_owned(), "gold".to_owned())]),
        |event| event.end_time = Some(seconds_from_now(60)),
        |event| event.time_to_first_token = Some(milliseconds(7)),
        |event| event.trace_id = "trace".to_owned(),
        |event| event.span_id = "span".to_owned(),
        |event| event.metadata_json = "{}".to_owned(),
        |event| {
            // Below a microsecond, and what is meant where nothing is said.
            let start = event.start_time.as_mut().unwrap();
            start.nanos = start.nanos / 1_000 * 1_000;
            event.attempt = 1;
            event.accounting = v1::Accounting::Enforced.into();
            event.origin = v1::Origin::Live.into();
        },
    ];
    for retry in retries {
        let mut again = first.clone();
        retry(&mut again);
        let again = send(&server, again).await.unwrap();
        assert_eq!(again.result(), v1::RecordResult::Duplicate);
        assert_eq!(
            (&again.event_id, &again.cost, &again.charge_time, &again.notices),
            (&answer.event_id, &answer.cost, &answer.charge_time, &answer.notices),
        );
        assert_eq!(again.session_totals.unwrap().attempts, 1);
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_7_a_settled_event_sent_again_charges_nothing_more() {
    let server = TestServer::start().await;
    server.budgets.clone().create_budget(create(budget("b", "1"))).await.unwrap();
    let check = reserve(session("s1"), 10_000, 10_000);
    let reservation = check.reservation_id.clone();
    server.budgets.clone().check_budget(check).await.unwrap();
    let first = settling(event(session("other"), 1_000, 1_000), &reservation);
    let recorded = send(&server, first.clone()).await.unwrap();
    let again = send(&server, first.clone()).await.unwrap();
    assert_eq!((recorded.result(), again.result()), (v1::RecordResult::Recorded, v1::RecordResult::Duplicate));
    assert_eq!((again.cost, again.charge_time, again.notices), (recorded.cost, recorded.charge_time, recorded.notices));
    let other = used(first, tokens(1_000, 1_001));
    let refused = send(&server, other).await.unwrap_err();
    assert_eq!(metadata(&refused, "fields").as_deref(), Some("usage"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_retry_storm_of_one_event_over_two_replicas_counts_once() {
    let server = TestServer::start().await;
    let replica = server.replica().await;
    server.budgets.clone().create_budget(create(budget("b", "1000"))).await.unwrap();
    let event = event(session("s1"), 1_000, 1_000);
    let sends = (0..200).map(|number| send(if number % 2 == 0 { &server } else { &replica }, event.clone()));
    let answers: Vec<v1::RecordUsageResponse> = join_all(sends).await.into_iter().collect::<Result<_, _>>().unwrap();
    let recorded = answers.iter().filter(|answer| answer.result() == v1::RecordResult::Recorded).count();
    assert_eq!(recorded, 1);
    for answer in &answers {
        assert_eq!((&answer.cost, &answer.charge_time), (&answers[0].cost, &answers[0].charge_time));
    }
    let last = send(&server, event).await.unwrap().session_totals.unwrap();
    assert_eq!((last.attempts, last.usd.as_str()), (1, "0.0125"));
    let states = server.budgets.clone().list_budget_states(v1::ListBudgetStatesRequest::default()).await.unwrap();
    assert_eq!(states.into_inner().states[0].spent, "0.0125");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn the_same_event_within_one_batch_counts_once() {
    let server = TestServer::start().await;
    let first = event(session("s1"), 1_000, 1_000);
    let other = used(first.clone(), tokens(1_000, 1_001));
    let key = external("litellm", "k1");
    let imported = externally(event(session("s1"), 1_000, 1_000), key);
    let alone = event(session("s1"), 1_000, 1_000);
    let events = vec![first.clone(), first, other, alone, imported.clone(), imported];
    let batch = v1::BatchRecordUsageRequest { events, view: v1::ResponseView::Cost.into() };
    let answer = server.usage.clone().batch_record_usage(batch).await.unwrap().into_inner();
    let results: Vec<String> = answer
        .items
        .into_iter()
        .map(|item| match item.item.unwrap() {
            Item::Ok(one) => one.result().as_str_name().to_owned(),
            Item::Error(error) => error.reason,
        })
        .collect();
    let (recorded, duplicate) = ("RECORD_RESULT_RECORDED", "RECORD_RESULT_DUPLICATE");
    assert_eq!(results, [recorded, duplicate, "EVENT_ID_REUSED", recorded, recorded, duplicate]);
    let last = send(&server, event(session("s1"), 0, 0)).await.unwrap().session_totals.unwrap();
    assert_eq!((last.attempts, last.usd.as_str()), (4, "0.0375"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn an_external_key_counts_once_and_finds_its_event() {
    let server = TestServer::start().await;
    let replica = server.replica().await;
    let sent = externally(event(session("s1"), 1_000, 1_000), external("litellm", "k1"));
    let sends = (0..40).map(|number| send(if number % 2 == 0 { &server } else { &replica }, sent.clone()));
    let answers: Vec<v1::RecordUsageResponse> = join_all(sends).await.into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.result() == v1::RecordResult::Recorded).count(), 1);
    assert!(answers.iter().all(|answer| answer.event_id == answers[0].event_id));

    let by_key = get(&server, v1::get_usage_request::Key::ExternalKey(external("litellm", "k1"))).await;
    let by_id = get(&replica, v1::get_usage_request::Key::EventId(answers[0].event_id.clone())).await;
    assert_eq!(by_key, by_id);
    assert_eq!(by_key.event.unwrap().key, sent.key);

    let mut later = sent.clone();
    later.start_time = Some(seconds_from_now(5));
    let refused = send(&server, later).await.unwrap_err();
    assert_eq!(reason(&refused), "EVENT_ID_REUSED", "an external key stays with its event");
    assert_eq!(metadata(&refused, "fields").as_deref(), Some("start_time"));

    let elsewhere = externally(sent, external("otlp", "k1"));
    assert_eq!(send(&server, elsewhere).await.unwrap().result(), v1::RecordResult::Recorded);
    let unknown = v1::get_usage_request::Key::ExternalKey(external("litellm", "k2"));
    let missing = server.usage.clone().get_usage(v1::GetUsageRequest { key: Some(unknown) }).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "EVENT_NOT_FOUND"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_8_an_id_is_accepted_for_400_days_and_48_hours_ahead() {
    let server = TestServer::start().await;
    let minted = |seconds: i64| {
        let mut event = event(session("s1"), 1_000, 1_000);
        event.key = Some(v1::usage_event::Key::EventId(id_at(&seconds_from_now(seconds))));
        event
    };
    for seconds in [-399 * DAY, -200 * DAY, -31 * DAY, -DAY, 0, 47 * 3_600] {
        let answer = send(&server, minted(seconds)).await.unwrap();
        assert_eq!(answer.result(), v1::RecordResult::Recorded, "{seconds}");
        assert_eq!(send(&server, minted(seconds)).await.unwrap().result(), v1::RecordResult::Recorded);
    }
    let old = send(&server, minted(-401 * DAY)).await.unwrap_err();
    assert_eq!((old.code(), reason(&old).as_str()), (Code::FailedPrecondition, "EVENT_TOO_OLD"));
    let oldest: jiff::Timestamp = metadata(&old, "oldest").unwrap().parse().unwrap();
    assert!(oldest < jiff::Timestamp::now());
    let ahead = send(&server, minted(49 * 3_600)).await.unwrap_err();
    assert_eq!((ahead.code(), reason(&ahead).as_str()), (Code::FailedPrecondition, "EVENT_TOO_FAR_AHEAD"));

    let mut imported = externally(event(session("s1"), 1, 1), external("import", "old"));
    imported.start_time = Some(seconds_from_now(-401 * DAY));
    assert_eq!(reason(&send(&server, imported).await.unwrap_err()), "EVENT_TOO_OLD");
    let listed = server.usage.clone().list_usage(v1::ListUsageRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.records.len(), 12);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_1_the_charge_time_is_the_start_and_at_most_now() {
    let server = TestServer::start().await;
    let mut past = event(session("s1"), 1, 1);
    past.start_time = Some(at("2026-02-03T04:05:06.789012Z"));
    let answer = send(&server, past.clone()).await.unwrap();
    assert_eq!(answer.charge_time, past.start_time);
    let mut ahead = event(session("s1"), 1, 1);
    ahead.start_time = Some(seconds_from_now(3_600));
    let answer = send(&server, ahead).await.unwrap();
    assert!(from_wire(&answer.charge_time.unwrap()) <= jiff::Timestamp::now());
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_16_a_response_cache_hit_is_charged_nothing_and_its_price_is_kept_as_saved() {
    let server = TestServer::start().await;
    server.budgets.clone().create_budget(create(budget("b", "1"))).await.unwrap();
    let mut hit = event(session("s1"), 1_000, 1_000);
    hit.response_cache_hit = true;
    let answer = send(&server, hit.clone()).await.unwrap();
    let cost = answer.cost.unwrap();
    assert_eq!((cost.usd.as_str(), cost.saved_usd.as_str(), cost.state()), ("0", "0.0125", v1::PriceState::Priced));
    assert_eq!(answer.budgets[0].spent, "0");
    let totals = answer.session_totals.unwrap();
    assert_eq!((totals.calls, totals.usd.as_str()), (1, "0"));
    let kept = get(&server, v1::get_usage_request::Key::EventId(id_of(&hit))).await;
    assert_eq!(kept.cost.unwrap(), cost);
    let other = send(&server, event(session("s1"), 1_000, 1_000)).await.unwrap().cost.unwrap();
    assert_eq!((other.usd.as_str(), other.saved_usd.as_str()), ("0.0125", ""), "unset for other calls");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_15_memo_accounting_is_shown_and_charges_no_budget() {
    let server = TestServer::start().await;
    server.budgets.clone().create_budget(create(budget("b", "0.001"))).await.unwrap();
    let mut memo = event(session("s1"), 1_000, 1_000);
    memo.accounting = v1::Accounting::Memo.into();
    let answer = send(&server, memo).await.unwrap();
    assert_eq!((answer.cost.unwrap().usd.as_str(), answer.notices.len(), answer.budgets.len()), ("0.0125", 0, 0));
    let totals = answer.session_totals.unwrap();
    assert_eq!((totals.calls, totals.usd.as_str(), totals.memo_usd.as_str()), (1, "0", "0.0125"));
    let counted = totals.tokens.unwrap();
    assert_eq!((counted.total_input_tokens, counted.total_output_tokens), (1_000, 1_000));
    let states = server.budgets.clone().list_budget_states(v1::ListBudgetStatesRequest::default()).await.unwrap();
    assert!(states.into_inner().states.iter().all(|state| state.spent == "0"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn unpriced_is_not_free_and_partial_is_a_lower_bound() {
    let server = TestServer::start().await;
    let unpriced = answered_by(event(session("s1"), 1_000, 1_000), model("openai", "gpt-17"));
    let free = answered_by(event(session("s1"), 1_000, 1_000), model("ollama", "llama3"));
    let mut partial = event(session("s1"), 1_000, 1_000);
    partial.units = vec![v1::UnitCount { unit: "rerank_search".to_owned(), quantity: "2".to_owned() }];
    let nothing = event(session("s1"), 0, 0);
    let cases = [
        (unpriced, v1::PriceState::Unpriced, "0", 0),
        (free, v1::PriceState::Free, "0", 2),
        (partial, v1::PriceState::Partial, "0.0125", 2),
        (nothing, v1::PriceState::Priced, "0", 0),
    ];
    for (event, state, usd, lines) in cases {
        let cost = send(&server, event).await.unwrap().cost.unwrap();
        assert_eq!((cost.state(), cost.usd.as_str(), cost.lines.len()), (state, usd, lines), "{cost:?}");
        assert_eq!(cost.catalog_version.is_empty(), state == v1::PriceState::Unpriced);
    }
    let last = send(&server, event(session("s1"), 0, 0)).await.unwrap().session_totals.unwrap();
    assert_eq!((last.attempts, last.unpriced, last.usd.as_str()), (5, 2, "0.0125"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_16_a_reported_cost_never_replaces_an_unpriced_one() {
    let server = TestServer::start().await;
    server.budgets.clone().create_budget(create(budget("b", "1"))).await.unwrap();
    let mut event = answered_by(event(session("s1"), 1_000, 1_000), model("openai", "gpt-17"));
    (event.reported_cost, event.reported_currency) = ("0.5".to_owned(), "USD".to_owned());
    let answer = send(&server, event.clone()).await.unwrap();
    let cost = answer.cost.unwrap();
    assert_eq!((cost.state(), cost.usd.as_str()), (v1::PriceState::Unpriced, "0"));
    assert_eq!(answer.budgets[0].spent, "0");
    let kept = get(&server, v1::get_usage_request::Key::EventId(id_of(&event))).await.event.unwrap();
    assert_eq!((kept.reported_cost.as_str(), kept.reported_currency.as_str()), ("0.5", "USD"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn the_greatest_reported_costs_do_not_keep_later_events_out() {
    let server = TestServer::start().await;
    for _ in 0..50 {
        let mut event = event(session("s1"), 1_000, 1_000);
        (event.reported_cost, event.reported_currency) = ("1000000000".to_owned(), "USD".to_owned());
        send(&server, event).await.unwrap();
    }
    send(&server, event(session("s1"), 1_000, 1_000)).await.unwrap();
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn every_class_has_its_own_price() {
    let server = TestServer::start().await;
    let usage = v1::TokenUsage {
        parts: vec![
            part(v1::TokenClass::CacheRead, 6_000, None),
            part(v1::TokenClass::CacheWrite, 2_000, None),
            part(v1::TokenClass::CacheWrite, 1_000, Some(3_600)),
            part(v1::TokenClass::Reasoning, 200, None),
        ],
        ..tokens(10_000, 500)
    };
    let mut event = used(event(session("s1"), 0, 0), usage);
    event.request_model = Some(model("anthropic", "claude-3-5-sonnet-20241022"));
    let answer = send(&server, event.clone()).await.unwrap();
    let cost = answer.cost.unwrap();
    let lines: Vec<(&str, &str, &str, &str)> = cost
        .lines
        .iter()
        .map(|line| (line.line.as_str(), line.quantity.as_str(), line.unit_price_usd.as_str(), line.usd.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            ("input", "1000", "0.000003", "0.003"),
            ("output", "300", "0.000015", "0.0045"),
            ("cache_read", "6000", "0.0000003", "0.0018"),
            ("cache_write", "2000", "0.00000375", "0.0075"),
            ("cache_write_3600s", "1000", "0.000006", "0.006"),
            ("reasoning", "200", "0.000015", "0.003"),
        ]
    );
    assert_eq!((cost.usd.as_str(), cost.state()), ("0.0258", v1::PriceState::Priced));
    assert!(cost.lines.iter().all(|line| line.model == "claude-3-5-sonnet" && !line.price_id.is_empty()));
    let kept = get(&server, v1::get_usage_request::Key::EventId(id_of(&event))).await;
    assert_eq!(kept.cost.unwrap(), cost);
    let totals = answer.session_totals.unwrap().tokens.unwrap();
    let classes: Vec<(v1::TokenClass, i64)> =
        totals.parts.iter().map(|part| (part.token_class(), part.tokens)).collect();
    assert_eq!(
        classes,
        [(v1::TokenClass::CacheRead, 6_000), (v1::TokenClass::CacheWrite, 3_000), (v1::TokenClass::Reasoning, 200),]
    );
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_3_a_call_is_counted_by_its_first_attempt() {
    let server = TestServer::start().await;
    let attempt = |number: i32, outcome: v1::CallOutcome| {
        let mut event = event(session("s1"), 100, 100);
        event.call_id = "call-1".to_owned();
        (event.attempt, event.outcome) = (number, outcome.into());
        event
    };
    send(&server, attempt(1, v1::CallOutcome::Absorbed)).await.unwrap();
    send(&server, attempt(2, v1::CallOutcome::Error)).await.unwrap();
    let totals = send(&server, attempt(3, v1::CallOutcome::Ok)).await.unwrap().session_totals.unwrap();
    assert_eq!((totals.calls, totals.attempts, totals.errors), (1, 3, 2));
    assert_eq!(totals.usd, "0.00375", "what failed is charged all the same");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_call_is_priced_at_its_start() {
    let server = TestServer::start().await;
    let cases = [
        ("2025-06-09T23:59:59.999999Z", "0.05", "openai/o3"),
        ("2025-06-10T00:00:00Z", "0.01", "openai/o3@2025-06-10"),
    ];
    for (start, usd, price) in cases {
        let mut event = answered_by(event(session("s1"), 1_000, 1_000), model("openai", "o3"));
        event.start_time = Some(at(start));
        let cost = send(&server, event).await.unwrap().cost.unwrap();
        assert_eq!((cost.usd.as_str(), cost.lines[0].price_id.as_str()), (usd, price));
    }
    server.assert_audit_holds().await;
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
