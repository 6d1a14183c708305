//! Revisions, request ids, trying out, and the rules of the fields.

use tollgate_proto::v1;
use tollgate_proto::v1::amend_usage_request::Change;
use tonic::Code;

use super::*;
use crate::harness::build::tokens;
use crate::harness::refusal::{Refusal, metadata};

#[tokio::test]
async fn revisions_rise_by_one_and_another_one_than_expected_is_refused() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1")]).await;
    let told = by_ada();
    send(&server, &told).await;
    let more = |input: i64| v1::UsageEvent {
        usage: Some(v1::usage_event::Usage::Tokens(tokens(input, 1_000))),
        ..told.clone()
    };
    amend(&server, amendment(&told, 1, Change::Replacement(more(2_000)))).await;
    let refused = try_amend(&server, amendment(&told, 1, Change::Replacement(more(9_000)))).await.unwrap_err();
    assert_eq!(Refusal::of(&refused), Refusal::new(Code::Aborted, "REVISION_MISMATCH", &[]));
    assert_eq!(metadata(&refused, "revision").as_deref(), Some("2"));
    assert_eq!(amend(&server, amendment(&told, 2, Change::Replacement(more(3_000)))).await.revision, 3);
    assert_eq!(costs(&get(&server, &told).await), (3, "0.0125", "0.0175"));
    let unknown = try_amend(&server, amendment(&by_ada(), 1, Change::Cancel(true))).await.unwrap_err();
    assert_eq!(Refusal::of(&unknown), Refusal::new(Code::NotFound, "EVENT_NOT_FOUND", &[]));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn the_same_request_again_gets_its_first_answer_and_other_content_is_refused() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1")]).await;
    let (told, other) = (by_ada(), by_ada());
    send(&server, &told).await;
    send(&server, &other).await;
    let request = amendment(&told, 1, Change::Reattribute(who("bob", "s2", "writer")));
    let mut first = amend(&server, request.clone()).await;
    amend(&server, amendment(&told, 2, Change::Cancel(true))).await;
    let replica = server.replica().await;
    for server in [&server, &replica] {
        let mut again = amend(server, request.clone()).await;
        // The time that is left moves by itself.
        again.budgets.iter_mut().chain(&mut first.budgets).for_each(|state| state.resets_in = None);
        assert_eq!(again, first);
    }
    let changed: Vec<v1::AmendUsageRequest> = vec![
        v1::AmendUsageRequest { change: Some(Change::Cancel(true)), ..request.clone() },
        v1::AmendUsageRequest { reason: "another".to_owned(), ..request.clone() },
        v1::AmendUsageRequest { event_id: id_of(&other), ..request.clone() },
        v1::AmendUsageRequest { expected_revision: 3, ..request.clone() },
    ];
    for changed in changed {
        let refused = try_amend(&server, changed).await.unwrap_err();
        assert_eq!(Refusal::of(&refused), Refusal::new(Code::FailedPrecondition, "REQUEST_ID_REUSED", &[]));
    }
    assert_eq!(get(&server, &told).await.revision, 3);
    assert_eq!(get(&server, &other).await.revision, 1);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn what_is_only_validated_changes_nothing_and_answers_what_would_be() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1")]).await;
    let told = by_ada();
    send(&server, &told).await;
    let before = get(&server, &told).await;
    let tried = v1::AmendUsageRequest {
        validate_only: true,
        ..amendment(&told, 1, Change::Reattribute(who("bob", "s2", "never seen")))
    };
    for _ in 0..2 {
        let answer = amend(&server, tried.clone()).await;
        assert_eq!((answer.revision, answer.budgets.len()), (2, 2));
    }
    assert_eq!(get(&server, &told).await, before);
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0.0125", "0")]));
    assert_eq!(session_total(&server, "s1").await, (1, "0.0125".to_owned()));
    // It says what refuses it as well, and leaves its request id free.
    let wrong = v1::AmendUsageRequest { expected_revision: 7, request_id: id(), ..tried.clone() };
    assert_eq!(try_amend(&server, wrong).await.unwrap_err().code(), Code::Aborted);
    let applied = amend(&server, v1::AmendUsageRequest { validate_only: false, ..tried }).await;
    assert_eq!(applied.revision, 2);
    // What was only tried out left no number behind that does not exist.
    send(&server, &event_at("2026-05-04T11:20:00Z", who("bob", "s2", "never seen"), ONE_CALL)).await;
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0", "0"), ("bob", "0.025", "0")]));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn every_broken_field_is_named() {
    let server = with_budgets(Vec::new()).await;
    let told = by_ada();
    send(&server, &told).await;
    let good = amendment(&told, 1, Change::Cancel(true));
    let unknown = v1::TokenUsage { quality: v1::UsageQuality::Unknown.into(), ..Default::default() };
    let unknown = v1::UsageEvent { usage: Some(v1::usage_event::Usage::Tokens(unknown)), ..told.clone() };
    let nameless = v1::UsageEvent { request_model: None, start_time: None, ..told.clone() };
    let long = v1::Dimensions { user_id: "x".repeat(257), ..Default::default() };
    let cases: Vec<(v1::AmendUsageRequest, &[&str])> = vec![
        (v1::AmendUsageRequest::default(), &["request_id", "event_id", "expected_revision", "reason", "cancel"]),
        (v1::AmendUsageRequest { change: Some(Change::Cancel(false)), ..good.clone() }, &["cancel"]),
        (v1::AmendUsageRequest { reason: "x".repeat(513), ..good.clone() }, &["reason"]),
        (v1::AmendUsageRequest { change: Some(Change::Reattribute(long)), ..good.clone() }, &["reattribute.user_id"]),
        (
            v1::AmendUsageRequest { change: Some(Change::Replacement(nameless)), ..good.clone() },
            &["replacement.request_model.model", "replacement.start_time"],
        ),
        (
            v1::AmendUsageRequest { change: Some(Change::Replacement(unknown)), ..good.clone() },
            &["replacement.tokens.quality"],
        ),
    ];
    for (request, fields) in cases {
        let refused = try_amend(&server, request.clone()).await.unwrap_err();
        let expected = Refusal::new(Code::InvalidArgument, "INVALID_FIELD", fields);
        assert_eq!(Refusal::of(&refused), expected, "{request:?}");
    }
    assert_eq!(amend(&server, v1::AmendUsageRequest { reason: "x".repeat(512), ..good }).await.revision, 2);
}
