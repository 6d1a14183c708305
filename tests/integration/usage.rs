//! RecordUsage, GetUsage and ListUsage.

use tollgate_proto::v1;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, record, reserve, session, settling};

#[tokio::test]
async fn a_known_sum_is_exact_to_the_last_digit() {
    let mut server = TestServer::start().await;
    let answer = server.usage.record_usage(record(event(session("s1"), 45_230, 12_890))).await.unwrap().into_inner();
    assert_eq!(answer.result(), v1::RecordResult::Recorded);
    assert_eq!(answer.cost.unwrap().usd, "0.241975");
    let totals = answer.session_totals.unwrap();
    assert_eq!((totals.usd.as_str(), totals.calls), ("0.241975", 1));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_hold_is_settled_and_the_rest_is_freed() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "1"))).await.unwrap();
    let check = reserve(session("s1"), 10_000, 10_000);
    let id = check.reservation_id.clone();
    let answer = server.budgets.check_budget(check).await.unwrap().into_inner();
    assert_eq!(answer.decision(), v1::Decision::Allowed);
    assert_eq!(answer.budgets[0].held, "0.125");
    let answer = server
        .usage
        .record_usage(record(settling(event(session("other"), 1_000, 1_000), &id)))
        .await
        .unwrap()
        .into_inner();
    let state = &answer.budgets[0];
    assert_eq!((state.spent.as_str(), state.held.as_str()), ("0.0125", "0"));
    assert_eq!(answer.reservation.unwrap().state(), v1::reservation::State::Settled);
    server.assert_audit_holds().await;
}
