//! The same event counts once, however often and in whatever way it is sent.

use std::collections::HashMap;

use futures::future::join_all;
use tollgate_proto::v1;
use tollgate_proto::v1::batch_record_usage_response::item::Item;
use tonic::Code;

use super::{Change, DAY, complete, external, externally, get, id_of, send, used};
use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, id, reserve, session, settling, tokens};
use crate::harness::refusal::{Refusal, metadata, reason};
use crate::harness::time::{at, id_at, milliseconds, seconds_from_now};

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
