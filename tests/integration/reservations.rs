//! What becomes of holds.

mod orphans;

use tollgate_proto::v1;
use tonic::Code;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, model, record, reserve, session, settling, tokens};
use crate::harness::wait::until;

async fn held(server: &TestServer, request: v1::CheckBudgetRequest) -> String {
    let id = request.reservation_id.clone();
    let answer = server.budgets.clone().check_budget(request).await.unwrap().into_inner();
    assert_eq!(answer.decision(), v1::Decision::Allowed, "{}", answer.explanation);
    id
}

async fn reservation(server: &TestServer, id: &str) -> v1::Reservation {
    let request = v1::GetReservationRequest { reservation_id: id.to_owned() };
    server.budgets.clone().get_reservation(request).await.unwrap().into_inner().reservation.unwrap()
}

async fn state(server: &TestServer, budget_id: &str) -> v1::BudgetState {
    let request = v1::ListBudgetStatesRequest { budget_id: budget_id.to_owned(), ..Default::default() };
    server.budgets.clone().list_budget_states(request).await.unwrap().into_inner().states.remove(0)
}

fn release(id: &str) -> v1::ReleaseReservationRequest {
    v1::ReleaseReservationRequest { reservation_id: id.to_owned(), reason: "not needed".to_owned() }
}

/// Sets the time of a hold back, as if it had been made before: nobody waits for it to run out.
async fn run_out(server: &TestServer, id: &str) {
    let statement =
        format!("UPDATE reservation SET expire_time = now() - interval '1 s' WHERE reservation_id = '{id}'");
    server.execute(statement).await;
    until("the reservation expires", || async {
        (reservation(server, id).await.state() == v1::reservation::State::Expired).then_some(())
    })
    .await;
}

#[tokio::test]
async fn decision_3_one_reservation_spans_many_attempts() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "1"))).await.unwrap();
    let id = held(&server, reserve(session("s"), 10_000, 10_000)).await;
    for attempt in 1..=3 {
        let mut failed = settling(event(session("s"), 1_000, 100), &id);
        failed.attempt = attempt;
        failed.call_id = "call".to_owned();
        failed.reservation.as_mut().unwrap().keep_open = attempt < 3;
        failed.outcome = if attempt < 3 { v1::CallOutcome::Absorbed } else { v1::CallOutcome::Ok }.into();
        let answer = server.usage.record_usage(record(failed)).await.unwrap().into_inner();
        assert!(answer.notices.is_empty(), "{:?}", answer.notices);
    }
    let ended = reservation(&server, &id).await;
    assert_eq!((ended.state(), ended.event_ids.len()), (v1::reservation::State::Settled, 3));
    let state = state(&server, "b").await;
    assert_eq!((state.spent.as_str(), state.held.as_str()), ("0.0105", "0"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_2_a_settle_charges_what_was_held_whatever_the_event_says() {
    let mut server = TestServer::start().await;
    let per_user = v1::Budget { per: vec![crate::harness::build::key("user_id")], ..budget("b", "1") };
    server.budgets.create_budget(create(per_user)).await.unwrap();
    let checked = v1::Dimensions { user_id: "u1".to_owned(), ..session("s") };
    let id = held(&server, reserve(checked, 1_000, 1_000)).await;
    let claimed = v1::Dimensions { user_id: "u2".to_owned(), ..session("other") };
    let answer = server.usage.record_usage(record(settling(event(claimed, 1_000, 500), &id))).await.unwrap();
    let answer = answer.into_inner();
    assert_eq!(answer.budgets[0].per_values["user_id"], "u1");
    let request = v1::GetUsageRequest { key: Some(v1::get_usage_request::Key::EventId(answer.event_id)) };
    let stored = server.usage.get_usage(request).await.unwrap().into_inner().record.unwrap();
    assert_eq!(stored.event.unwrap().dimensions.unwrap().user_id, "u1");
    assert_eq!(stored.charge_time, reservation(&server, &id).await.create_time);

    let early = id_held_before_budget(&server).await;
    let answer = server.usage.record_usage(record(settling(event(session("s"), 10, 10), &early))).await.unwrap();
    assert!(answer.into_inner().notices.contains(&"NOT_HELD".to_owned()));
    server.assert_audit_holds().await;
}

async fn id_held_before_budget(server: &TestServer) -> String {
    let dimensions = v1::Dimensions { user_id: "u3".to_owned(), ..session("s") };
    let id = held(server, reserve(dimensions, 10, 10)).await;
    server.budgets.clone().create_budget(create(budget("latest", "1"))).await.unwrap();
    id
}

#[tokio::test]
async fn decision_4_a_hard_budget_presumes_and_a_late_settle_reverses() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "1"))).await.unwrap();
    let id = held(&server, reserve(session("s"), 1_000, 1_000)).await;
    run_out(&server, &id).await;
    let presumed = state(&server, "b").await;
    assert_eq!((presumed.held.as_str(), presumed.presumed.as_str(), presumed.spent.as_str()), ("0", "0.0125", "0"));
    server.assert_audit_holds().await;
    let late = settling(event(session("s"), 1_000, 500), &id);
    let answer = server.usage.record_usage(record(late.clone())).await.unwrap().into_inner();
    assert_eq!(answer.notices, ["LATE"]);
    assert_eq!(reservation(&server, &id).await.state(), v1::reservation::State::SettledLate);
    for _ in 0..5 {
        let again = server.usage.record_usage(record(late.clone())).await.unwrap().into_inner();
        assert_eq!(again.result(), v1::RecordResult::Duplicate);
    }
    let settled = state(&server, "b").await;
    assert_eq!((settled.presumed.as_str(), settled.spent.as_str()), ("0", "0.0075"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_4_a_soft_budget_frees_and_an_explicit_release_reverses_what_is_presumed() {
    let mut server = TestServer::start().await;
    let soft = v1::Budget { rules: vec![crate::harness::build::rule("0.8", v1::Action::Alert)], ..budget("soft", "1") };
    server.budgets.create_budget(create(soft)).await.unwrap();
    server.budgets.create_budget(create(budget("hard", "1"))).await.unwrap();
    let id = held(&server, reserve(session("s"), 1_000, 1_000)).await;
    run_out(&server, &id).await;
    assert_eq!(state(&server, "soft").await.presumed, "0");
    assert_eq!(state(&server, "hard").await.presumed, "0.0125");
    let released = server.budgets.release_reservation(release(&id)).await.unwrap().into_inner();
    assert_eq!(released.reservation.unwrap().state(), v1::reservation::State::Released);
    assert_eq!(state(&server, "hard").await.presumed, "0");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_5_ending_what_was_never_seen_refuses_the_check_that_comes_later() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "1"))).await.unwrap();
    let request = reserve(session("s"), 1_000, 1_000);
    let released = server.budgets.release_reservation(release(&request.reservation_id)).await.unwrap().into_inner();
    assert_eq!(released.reservation.unwrap().state(), v1::reservation::State::Void);
    let answer = server.budgets.check_budget(request).await.unwrap().into_inner();
    assert_eq!((answer.decision(), answer.reason.as_str()), (v1::Decision::Denied, "CLOSED"));

    let request = reserve(session("s"), 1_000, 1_000);
    let settled = settling(event(session("s"), 1_000, 1_000), &request.reservation_id);
    let answer = server.usage.record_usage(record(settled)).await.unwrap().into_inner();
    assert_eq!(answer.notices, ["UNRESERVED"]);
    let answer = server.budgets.check_budget(request).await.unwrap().into_inner();
    assert_eq!((answer.decision(), answer.reason.as_str()), (v1::Decision::Denied, "CLOSED"));
    let state = state(&server, "b").await;
    assert_eq!((state.held.as_str(), state.spent.as_str()), ("0", "0.0125"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn an_overrun_is_charged_in_full_and_counted_with_its_cause() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "0.0125"))).await.unwrap();
    let id = held(&server, reserve(session("s"), 1_000, 1_000)).await;
    let dearer = settling(event(session("s"), 1_000, 2_000), &id);
    let answer = server.usage.record_usage(record(dearer.clone())).await.unwrap().into_inner();
    assert_eq!(answer.notices, ["OVERRUN"]);
    let state = state(&server, "b").await;
    assert_eq!((state.spent.as_str(), state.overrun.as_str(), state.available.as_str()), ("0.0225", "0.01", "-0.01"));
    let again = server.usage.record_usage(record(dearer)).await.unwrap().into_inner();
    assert_eq!(again.notices, ["OVERRUN"], "a duplicate answers with the first notices");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn extensions_lead_from_now_raise_the_hold_or_stop_the_stream() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "0.03"))).await.unwrap();
    let id = held(&server, reserve(session("s"), 1_000, 1_000)).await;
    let extend = |sequence: i64, output: i64| v1::ExtendReservationRequest {
        reservation_id: id.clone(),
        ttl: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
        sequence,
        running_usage: Some(tokens(1_000, output)),
        ..Default::default()
    };
    let before = reservation(&server, &id).await.expire_time.unwrap();
    let first = server.budgets.extend_reservation(extend(1, 500)).await.unwrap().into_inner();
    assert_eq!(first.decision(), v1::Decision::Allowed);
    assert!(first.reservation.as_ref().unwrap().expire_time.unwrap().seconds > before.seconds + 3_000);
    assert_eq!(first.budgets[0].held, "0.0125", "running usage within the hold changes nothing");
    let second = server.budgets.extend_reservation(extend(2, 2_000)).await.unwrap().into_inner();
    assert_eq!((second.decision(), second.budgets[0].held.as_str()), (v1::Decision::Allowed, "0.0225"));
    let stale = server.budgets.extend_reservation(extend(1, 2_500)).await.unwrap().into_inner();
    assert_eq!(stale.budgets[0].held, "0.0225", "a lower sequence is ignored");
    let third = server.budgets.extend_reservation(extend(3, 9_000)).await.unwrap().into_inner();
    assert_eq!((third.decision(), third.budgets[0].held.as_str()), (v1::Decision::Denied, "0.0225"));
    let raised = v1::ExtendReservationRequest {
        reservation_id: id.clone(),
        sequence: 4,
        raise_to: Some(v1::Estimate {
            input_tokens: Some(1_000),
            max_output_tokens: Some(2_700),
            ..Default::default()
        }),
        ..Default::default()
    };
    let raised = server.budgets.extend_reservation(raised).await.unwrap().into_inner();
    assert_eq!((raised.decision(), raised.budgets[0].held.as_str()), (v1::Decision::Allowed, "0.0295"));
    server.assert_audit_holds().await;

    server.budgets.release_reservation(release(&id)).await.unwrap();
    let ended = server.budgets.extend_reservation(extend(5, 1)).await.unwrap_err();
    assert_eq!(ended.code(), Code::FailedPrecondition);
    let unknown = v1::ExtendReservationRequest { reservation_id: crate::harness::build::id(), ..extend(1, 1) };
    assert_eq!(server.budgets.extend_reservation(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn unknown_usage_is_charged_as_running_or_as_held() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "1"))).await.unwrap();
    let unknown = |id: &str| {
        let mut unknown = settling(event(session("s"), 0, 0), id);
        unknown.usage = Some(v1::usage_event::Usage::Tokens(v1::TokenUsage {
            quality: v1::UsageQuality::Unknown.into(),
            ..Default::default()
        }));
        unknown
    };
    let id = held(&server, reserve(session("s"), 1_000, 1_000)).await;
    let answer = server.usage.record_usage(record(unknown(&id))).await.unwrap().into_inner();
    assert_eq!(answer.cost.unwrap().usd, "0.0125");
    let id = held(&server, reserve(session("s"), 1_000, 1_000)).await;
    let running = v1::ExtendReservationRequest {
        reservation_id: id.clone(),
        sequence: 1,
        running_usage: Some(tokens(1_000, 100)),
        ..Default::default()
    };
    server.budgets.extend_reservation(running).await.unwrap();
    let answer = server.usage.record_usage(record(unknown(&id))).await.unwrap().into_inner();
    assert_eq!(answer.cost.unwrap().usd, "0.0035");
    assert_eq!(answer.session_totals.unwrap().estimated, 2);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn unknown_usage_of_several_calls_is_charged_as_they_were_held() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "10"))).await.unwrap();
    // Two calls of 150,000 tokens: neither is above the threshold of 200,000, their sum is. Ten calls: ten fees.
    for (provider, name, input, output, calls) in
        [("google", "gemini-2.5-pro", 150_000, 1_000, 2), ("perplexity", "sonar", 100, 10, 10)]
    {
        let mut check = reserve(session("s"), input, output);
        check.model = Some(model(provider, name));
        check.estimate.as_mut().unwrap().calls = calls;
        let id = check.reservation_id.clone();
        let answer = server.budgets.check_budget(check).await.unwrap().into_inner();
        let held = answer.estimate.unwrap().usd;
        let mut unknown = settling(event(session("s"), 0, 0), &id);
        unknown.request_model = Some(model(provider, name));
        unknown.usage = Some(v1::usage_event::Usage::Tokens(v1::TokenUsage {
            quality: v1::UsageQuality::Unknown.into(),
            ..Default::default()
        }));
        let event_id = v1::get_usage_request::Key::EventId(match unknown.key.clone() {
            Some(v1::usage_event::Key::EventId(id)) => id,
            other => panic!("{other:?}"),
        });
        let charged = server.usage.record_usage(record(unknown)).await.unwrap().into_inner().cost.unwrap();
        assert_eq!(charged.usd, held, "{name}");
        let kept = server.usage.get_usage(v1::GetUsageRequest { key: Some(event_id) }).await.unwrap().into_inner();
        assert_eq!(kept.record.unwrap().cost.unwrap(), charged, "recomputed from what was kept");
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_settle_retried_a_hundred_times_through_two_replicas_charges_once() {
    let mut server = TestServer::start().await;
    let replica = server.replica().await;
    server.budgets.create_budget(create(budget("b", "1"))).await.unwrap();
    let id = held(&server, reserve(session("s"), 1_000, 1_000)).await;
    let settled = settling(event(session("s"), 1_000, 1_000), &id);
    let calls = (0..100).map(|number| {
        let mut usage = if number % 2 == 0 { server.usage.clone() } else { replica.usage.clone() };
        let settled = settled.clone();
        async move { usage.record_usage(record(settled)).await.unwrap().into_inner().result() }
    });
    let results = futures::future::join_all(calls).await;
    assert_eq!(results.iter().filter(|result| **result == v1::RecordResult::Recorded).count(), 1);
    let state = state(&server, "b").await;
    assert_eq!((state.spent.as_str(), state.held.as_str()), ("0.0125", "0"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn reservations_are_listed_by_state_budget_and_dimension() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "1"))).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(held(&server, reserve(session(&format!("s{}", number % 2)), 10, 10)).await);
    }
    server.budgets.release_reservation(release(&ids[0])).await.unwrap();
    let list = |request: v1::ListReservationsRequest| {
        let mut budgets = server.budgets.clone();
        async move { budgets.list_reservations(request).await.unwrap().into_inner() }
    };
    let pending = v1::ListReservationsRequest {
        states: vec![v1::reservation::State::Pending.into()],
        budget_id: "b".to_owned(),
        page_size: 3,
        ..Default::default()
    };
    let first = list(pending.clone()).await;
    assert_eq!(first.reservations.len(), 3);
    let second = list(v1::ListReservationsRequest { page_token: first.next_page_token.clone(), ..pending }).await;
    assert_eq!(second.reservations.len(), 1);
    let of_session = v1::ListReservationsRequest {
        filter: vec![v1::DimensionMatch {
            key: Some(crate::harness::build::key("session_id")),
            values: vec!["s1".to_owned()],
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(list(of_session).await.reservations.len(), 2);
}

#[tokio::test]
async fn decision_11_an_extension_that_is_retried_gets_the_same_answer() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "0.02"))).await.unwrap();
    let id = held(&server, reserve(session("s"), 1_000, 1_000)).await;
    let extension = v1::ExtendReservationRequest {
        reservation_id: id,
        sequence: 7,
        running_usage: Some(tokens(1_000, 9_000)),
        ..Default::default()
    };
    for _ in 0..2 {
        let answer = server.budgets.extend_reservation(extension.clone()).await.unwrap().into_inner();
        assert_eq!(answer.decision(), v1::Decision::Denied);
    }
}

#[tokio::test]
async fn a_raise_to_a_dearer_model_meets_all_of_its_budgets_and_stays() {
    let mut server = TestServer::start().await;
    let of_model = |budget_id: &str, limit: &str, name: &str| v1::Budget {
        models: vec![model("", name)],
        ..budget(budget_id, limit)
    };
    server.budgets.create_budget(create(of_model("full", "0.001", "claude-3-5-sonnet-20241022"))).await.unwrap();
    server.budgets.create_budget(create(of_model("open", "1", "gpt-4o"))).await.unwrap();
    let cheap =
        v1::CheckBudgetRequest { model: Some(model("openai", "gpt-4o-mini")), ..reserve(session("s"), 1_000, 1_000) };
    let id = held(&server, cheap).await;
    let raise = |sequence: i64, to: v1::ModelRef| v1::ExtendReservationRequest {
        reservation_id: id.clone(),
        sequence,
        raise_to: Some(v1::Estimate {
            input_tokens: Some(1_000),
            max_output_tokens: Some(1_000),
            ..Default::default()
        }),
        model: Some(to),
        ..Default::default()
    };
    let refused = raise(1, model("anthropic", "claude-3-5-sonnet-20241022"));
    let refused = server.budgets.extend_reservation(refused).await.unwrap().into_inner();
    assert_eq!(refused.decision(), v1::Decision::Denied, "its budget was not held, and has no room");
    let allowed = server.budgets.extend_reservation(raise(2, model("openai", "gpt-4o"))).await.unwrap().into_inner();
    assert_eq!(allowed.decision(), v1::Decision::Allowed);
    let stored = reservation(&server, &id).await;
    assert_eq!(stored.model.unwrap().model, "gpt-4o");
    let held: Vec<(&str, &str)> =
        stored.parts.iter().map(|part| (part.budget_id.as_str(), part.held.as_str())).collect();
    assert_eq!(held, [("open", "0.0125")]);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn unknown_usage_of_many_attempts_is_charged_what_was_held_once() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "10"))).await.unwrap();
    let unknown = |id: &str, keep_open: bool| {
        let mut unknown = settling(event(session("s"), 0, 0), id);
        unknown.reservation.as_mut().unwrap().keep_open = keep_open;
        unknown.usage = Some(v1::usage_event::Usage::Tokens(v1::TokenUsage {
            quality: v1::UsageQuality::Unknown.into(),
            ..Default::default()
        }));
        unknown
    };
    let mut many = reserve(session("s"), 1_000, 1_000);
    many.estimate.as_mut().unwrap().calls = 4;
    let id = held(&server, many).await;
    let sends = (0..4).map(|number| {
        let mut usage = server.usage.clone();
        let event = unknown(&id, number < 3);
        async move { usage.record_usage(record(event)).await.unwrap() }
    });
    futures::future::join_all(sends).await;
    assert_eq!(state(&server, "b").await.spent, "0.05");

    let mut stated = reserve(session("s"), 0, 0);
    stated.estimate = Some(v1::Estimate { amount_usd: "5".to_owned(), ..Default::default() });
    let id = held(&server, stated).await;
    let answer = server.usage.record_usage(record(unknown(&id, false))).await.unwrap().into_inner();
    assert_eq!(answer.cost.unwrap().usd, "5");
    assert_eq!(state(&server, "b").await.spent, "5.05");
    server.assert_audit_holds().await;
}
