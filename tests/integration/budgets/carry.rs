//! What one window hands to the next.

use tollgate_proto::v1;
use tollgate_proto::v1::budget::Carry;

use super::{check, per_user, states};
use crate::harness::TestServer;
use crate::harness::build::{create, event, event_at, record, reserve, settling, user};
use crate::harness::time::seconds_from_now;

const DAY: i64 = 86_400;

/// A daily budget of two calls for each user, which has counted for ten days.
fn carrying(carry: Carry) -> v1::Budget {
    v1::Budget { carry: carry.into(), count_from: Some(seconds_from_now(-10 * DAY)), ..per_user("b", "0.025") }
}

/// Some calls of 0.0125 USD, so many days ago.
async fn used(server: &TestServer, user_id: &str, days_ago: i64, calls: usize) {
    for _ in 0..calls {
        let event = event_at(seconds_from_now(-days_ago * DAY), user(user_id), 1_000, 1_000);
        server.usage.clone().record_usage(record(event)).await.unwrap();
    }
}

async fn peeked(server: &TestServer, user_id: &str) -> v1::CheckBudgetResponse {
    let peek = v1::CheckBudgetRequest {
        mode: v1::CheckMode::Peek.into(),
        reservation_id: String::new(),
        ..reserve(user(user_id), 1_000, 1_000)
    };
    check(server, peek).await
}

/// The effective limit of today, as a peek foresees it and as the first call of the day makes it.
async fn effective(server: &TestServer, user_id: &str) -> String {
    let foreseen = peeked(server, user_id).await.budgets[0].effective_limit.clone();
    let made = check(server, reserve(user(user_id), 0, 0)).await.budgets[0].effective_limit.clone();
    assert_eq!(foreseen, made, "{user_id}");
    made
}

#[tokio::test]
async fn every_rule_hands_on_what_it_says() {
    let rules = [
        (Carry::None, ["0.025", "0.025", "0.025", "0.025"]),
        (Carry::Overrun, ["0.0125", "0.025", "0.025", "0.025"]),
        (Carry::Rest, ["0.025", "0.0375", "0.025", "0.05"]),
        (Carry::Both, ["0.0125", "0.0375", "0.025", "0.05"]),
    ];
    for (carry, expected) in rules {
        let mut server = TestServer::start().await;
        server.budgets.create_budget(create(carrying(carry))).await.unwrap();
        used(&server, "over", 1, 3).await;
        used(&server, "under", 1, 1).await;
        used(&server, "idle", 5, 2).await;
        let mut found = Vec::new();
        for user_id in ["over", "under", "new", "idle"] {
            found.push(effective(&server, user_id).await);
        }
        assert_eq!(found, expected, "{carry:?}");
        server.assert_audit_holds().await;
    }
}

#[tokio::test]
async fn what_is_carried_is_decided_once_and_bounds_what_is_admitted() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(carrying(Carry::Both))).await.unwrap();
    used(&server, "u", 1, 1).await;
    // One limit and what yesterday left: three calls.
    let answers = futures::future::join_all((0..8).map(|_| check(&server, reserve(user("u"), 1_000, 1_000)))).await;
    let allowed = answers.iter().filter(|answer| answer.decision() == v1::Decision::Allowed).count();
    assert_eq!(allowed, 3);
    // Yesterday is charged late: what today took over stays.
    used(&server, "u", 1, 4).await;
    let today = peeked(&server, "u").await.budgets.remove(0);
    assert_eq!((today.limit.as_str(), today.effective_limit.as_str()), ("0.025", "0.0375"));
    for answer in answers.iter().filter_map(|answer| answer.reservation.as_ref()) {
        let used = settling(event(user("u"), 1_000, 1_000), &answer.reservation_id);
        server.usage.record_usage(record(used)).await.unwrap();
    }
    let today = states(&server, "b").await.remove(0);
    assert_eq!((today.spent.as_str(), today.overrun.as_str(), today.available.as_str()), ("0.0375", "0", "0"));
    // Another limit is one with what is carried, too.
    let raised = v1::BudgetOverride {
        budget_id: "b".to_owned(),
        per_values: today.per_values.clone(),
        limit: "1".to_owned(),
        ..Default::default()
    };
    let request = v1::SetBudgetOverrideRequest { budget_override: Some(raised), validate_only: false };
    server.budgets.set_budget_override(request).await.unwrap();
    assert_eq!(states(&server, "b").await[0].effective_limit, "1.0125");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_new_budget_carries_through_the_windows_that_it_counts_back() {
    let mut server = TestServer::start().await;
    for (days_ago, calls) in [(4, 3), (3, 1), (1, 4)] {
        used(&server, "u", days_ago, calls).await;
    }
    server.budgets.create_budget(create(carrying(Carry::Both))).await.unwrap();
    // Four days ago 3 of 2 calls; then 1 of 1, 0 of 2, 4 of 4.
    let mut request = v1::ListBudgetStatesRequest { budget_id: "b".to_owned(), ..Default::default() };
    let mut found = Vec::new();
    for days_ago in [4, 3, 1] {
        request.at = Some(seconds_from_now(-days_ago * DAY));
        let state = server.budgets.list_budget_states(request.clone()).await.unwrap().into_inner().states.remove(0);
        found.push((state.effective_limit, state.overrun));
    }
    let expected = [("0.025", "0.0125"), ("0.0125", "0"), ("0.05", "0")];
    assert_eq!(found, expected.map(|(limit, overrun)| (limit.to_owned(), overrun.to_owned())));
    assert_eq!(effective(&server, "u").await, "0.025", "nothing is left of yesterday");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_debt_that_was_carried_does_not_mean_that_a_call_never_fits() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(carrying(Carry::Overrun))).await.unwrap();
    used(&server, "u", 1, 4).await;
    let answer = peeked(&server, "u").await;
    assert_eq!((answer.decision(), answer.never_fits), (v1::Decision::Denied, false));
    assert_eq!(answer.budgets[0].effective_limit, "0");
    server.assert_audit_holds().await;
}
