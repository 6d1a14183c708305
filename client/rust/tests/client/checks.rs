//! Checks, and what goes for calls when Tollgate is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tollgate_client::{CheckOutcome, CheckRequest, Choice, Client, Decision, Error, v1};
use tonic::Status;

use crate::fake::{Fake, Log, Reply, eventually, quick, serve};

fn peek() -> CheckRequest {
    CheckRequest::peek(("openai", "gpt-4o")).user("u")
}

#[tokio::test]
async fn a_refusal_by_a_budget_is_an_answer() {
    let seen = Log::new();
    let log = seen.clone();
    let check = move |request: v1::CheckBudgetRequest| {
        log.add(request.reservation_id);
        Reply::Answer(v1::CheckBudgetResponse {
            decision: v1::Decision::Denied.into(),
            reason: "BUDGET_EXCEEDED".into(),
            budgets: vec![
                v1::BudgetState { budget_id: "fine".into(), ..Default::default() },
                v1::BudgetState { budget_id: "spent".into(), refused: true, ..Default::default() },
            ],
            ..Default::default()
        })
    };
    let server = serve(Fake { check: Some(Box::new(check)), ..Fake::default() }).await;
    let client = server.client().await;
    let outcome = client.check(&peek()).await.unwrap();
    assert!(!outcome.may_run());
    assert_eq!(outcome.answer().unwrap().decision(), Decision::Denied);

    let Err(Error::NotAllowed(answer)) = client.reserve(CheckRequest::reserve(("openai", "gpt-4o"))).await else {
        panic!("reserved against a refusal")
    };
    assert_eq!(answer.refusing_budgets().map(|budget| budget.budget_id.as_str()).collect::<Vec<_>>(), ["spent"]);
    assert_eq!(seen.len(), 2, "a refusal is not retried");
    assert!(matches!(client.reserve(peek()).await, Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn a_decision_from_the_future_is_a_denial() {
    let check = |_| Reply::Answer(v1::CheckBudgetResponse { decision: 99, ..Default::default() });
    let server = serve(Fake { check: Some(Box::new(check)), ..Fake::default() }).await;
    assert!(!server.client().await.check(&peek()).await.unwrap().may_run());
}

#[tokio::test]
async fn away_tollgate_is_taken_at_its_last_word() {
    let away = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&away);
    let check = move |_| {
        if gate.load(Ordering::SeqCst) {
            return Reply::Fail(Status::unavailable("away"));
        }
        Reply::Answer(v1::CheckBudgetResponse {
            decision: v1::Decision::Allowed.into(),
            when_unreachable: v1::Choice::Allow.into(),
            when_unreachable_ttl: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
            ..Default::default()
        })
    };
    let server = serve(Fake { check: Some(Box::new(check)), ..Fake::default() }).await;
    let client = server.client().await;
    client.check(&peek().session("first")).await.unwrap();
    away.store(true, Ordering::SeqCst);

    let known = client.check(&peek().session("second")).await.unwrap();
    assert!(matches!(known, CheckOutcome::Unreachable { choice: Choice::Allow, remembered: true, .. }), "{known:?}");
    let unknown = client.check(&peek().user("stranger")).await.unwrap();
    assert!(
        matches!(unknown, CheckOutcome::Unreachable { choice: Choice::Deny, remembered: false, .. }),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn without_a_last_word_the_default_goes() {
    let released = Log::new();
    let log = released.clone();
    let check = |_| Reply::Fail(Status::unavailable("away"));
    let release = move |request: v1::ReleaseReservationRequest| {
        log.add(request.reservation_id);
        Reply::Answer(v1::ReleaseReservationResponse {
            reservation: Some(v1::Reservation::default()),
            ..Default::default()
        })
    };
    let server =
        serve(Fake { check: Some(Box::new(check)), release: Some(Box::new(release)), ..Fake::default() }).await;
    let open = Client::builder(server.url()).retry(quick()).when_unreachable(Choice::Allow).connect_lazy().unwrap();
    let reserved = open.reserve(CheckRequest::reserve(("openai", "gpt-4o"))).await.unwrap();
    assert!(reserved.answer().is_none());
    let _ = reserved.detach();

    let request = CheckRequest::reserve(("openai", "gpt-4o"));
    let id = request.reservation_id().to_owned();
    let error = server.client().await.reserve(request).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    eventually("a hold whose answer was lost is released", || released.all() == [id.clone()]).await;
}
