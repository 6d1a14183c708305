//! Races that chance meets too seldom, many times over.

use futures::future::join_all;
use tollgate_proto::v1;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, key, record, reserve, settling, user};

const ROUNDS: usize = 15;

async fn two_replicas() -> [TestServer; 2] {
    let first = TestServer::start().await;
    let per_user = v1::Budget { per: vec![key("user_id")], ..budget("b", "0.05") };
    first.budgets.clone().create_budget(create(per_user)).await.unwrap();
    let second = first.replica().await;
    [first, second]
}

async fn states(server: &TestServer) -> Vec<v1::BudgetState> {
    let request = v1::ListBudgetStatesRequest { budget_id: "b".to_owned(), ..Default::default() };
    server.budgets.clone().list_budget_states(request).await.unwrap().into_inner().states
}

#[tokio::test]
async fn first_calls_of_new_users_through_two_replicas_hold_what_fits() {
    let servers = two_replicas().await;
    for round in 0..ROUNDS {
        let name = format!("user {round}");
        let checks = (0..10).map(|number| {
            let mut budgets = servers[number % 2].budgets.clone();
            let request = reserve(user(&name), 1_000, 1_000);
            async move { budgets.check_budget(request).await.unwrap().into_inner().decision() }
        });
        let decisions = join_all(checks).await;
        let allowed = decisions.iter().filter(|decision| **decision == v1::Decision::Allowed).count();
        assert_eq!(allowed, 4, "{decisions:?}");
    }
    let states = states(&servers[0]).await;
    assert_eq!(states.len(), ROUNDS, "a counter for each user");
    for state in states {
        assert_eq!(state.held, "0.05", "{state:?}");
    }
    servers[0].assert_audit_holds().await;
}

#[tokio::test]
async fn a_reservation_ends_once_whichever_replica_is_first() {
    let mut servers = two_replicas().await;
    for round in 0..ROUNDS {
        let name = format!("user {round}");
        let request = reserve(user(&name), 1_000, 1_000);
        let id = request.reservation_id.clone();
        servers[0].budgets.check_budget(request).await.unwrap();
        let ends = (0..6).map(|number| {
            let server = &servers[number % 2];
            let (mut budgets, mut usage) = (server.budgets.clone(), server.usage.clone());
            let used = settling(event(user(&name), 1_000, 100), &id);
            let release = v1::ReleaseReservationRequest { reservation_id: id.clone(), reason: "done".to_owned() };
            async move {
                if number < 3 {
                    drop(usage.record_usage(record(used)).await.unwrap());
                } else {
                    drop(budgets.release_reservation(release).await.unwrap());
                }
            }
        });
        join_all(ends).await;
    }
    let states = states(&servers[0]).await;
    assert_eq!(states.len(), ROUNDS);
    for state in states {
        assert_eq!((state.held.as_str(), state.spent.as_str()), ("0", "0.0105"), "{state:?}");
    }
    servers[0].assert_audit_holds().await;
}

/// Only checks: events of one shape wait for each other at their totals, before they come to the counter.
#[tokio::test]
async fn a_counter_that_two_replicas_move_at_once_loses_nothing() {
    let servers = two_replicas().await;
    servers[0].budgets.clone().create_budget(create(budget("wide", "100"))).await.unwrap();
    for round in 1..=ROUNDS {
        let checks = (0..16).map(|number| {
            let mut budgets = servers[number % 2].budgets.clone();
            // One call of each user fits into the narrow budget.
            let request = reserve(user(&format!("user {round} {number}")), 1_000, 1_000);
            async move { budgets.check_budget(request).await.unwrap().into_inner().decision() }
        });
        assert_eq!(join_all(checks).await, [v1::Decision::Allowed; 16]);
        let request = v1::ListBudgetStatesRequest { budget_id: "wide".to_owned(), ..Default::default() };
        let mut found = servers[0].budgets.clone().list_budget_states(request).await.unwrap().into_inner().states;
        let held: rust_decimal::Decimal = found.remove(0).held.parse().unwrap();
        assert_eq!(held, rust_decimal::Decimal::new(125, 4) * rust_decimal::Decimal::from(16 * round));
    }
    servers[0].assert_audit_holds().await;
}
