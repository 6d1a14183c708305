//! What budgets tell when they begin to be in force or change.

use tollgate_server::config::LedgerConfig;

use super::*;
use crate::harness::build::{id, key, user};

async fn spend_as(server: &TestServer, user_id: &str, calls: usize) {
    for _ in 0..calls {
        server.usage.clone().record_usage(record(event(user(user_id), CALL.0, CALL.1))).await.unwrap();
    }
}

#[tokio::test]
async fn a_budget_that_counted_back_tells_once_what_it_finds_when_it_is_in_force() {
    let ledger = LedgerConfig { count_at_once: 3, ..LedgerConfig::default() };
    let server = TestServer::configured(&Config { ledger, ..Config::default() }).await;
    spend_as(&server, "ann", 6).await;
    keep(&server, with_rules("back", "0.1", vec![on_spent("0.5"), on_spent("0.9")])).await;
    until("the budget is in force", || async {
        let request = v1::GetBudgetRequest { budget_id: "back".to_owned() };
        let found = server.budgets.clone().get_budget(request).await.unwrap().into_inner().budget.unwrap();
        (found.state() == v1::budget::State::Active).then_some(())
    })
    .await;
    assert_eq!(counted(&all(&server).await), once(["RULE_FIRED back 0.5 SPENT ALERT"]));
    spend_as(&server, "ann", 2).await;
    let expected = once(["RULE_FIRED back 0.5 SPENT ALERT", "RULE_FIRED back 0.9 SPENT ALERT"]);
    assert_eq!(counted(&all(&server).await), expected);
}

#[tokio::test]
async fn a_changed_budget_finds_counters_with_a_lower_limit_of_their_own() {
    let server = TestServer::start().await;
    keep(&server, v1::Budget { per: vec![key("user_id")], ..with_rules("b", "1", vec![on_spent("3")]) }).await;
    let own = v1::BudgetOverride {
        budget_id: "b".to_owned(),
        per_values: [("user_id".to_owned(), "ann".to_owned())].into(),
        limit: "0.05".to_owned(),
        ..Default::default()
    };
    let request = v1::SetBudgetOverrideRequest { budget_override: Some(own), validate_only: false };
    server.budgets.clone().set_budget_override(request).await.unwrap();
    spend_as(&server, "ann", 3).await;
    spend_as(&server, "ben", 3).await;
    assert!(all(&server).await.is_empty());
    let changed = v1::Budget { budget_id: "b".to_owned(), rules: vec![on_spent("0.5")], ..Default::default() };
    let request = v1::UpdateBudgetRequest {
        budget: Some(changed),
        update_mask: Some(prost_types::FieldMask { paths: vec!["rules".to_owned()] }),
        request_id: id(),
        validate_only: false,
    };
    server.budgets.clone().update_budget(request).await.unwrap();
    assert_eq!(counted(&all(&server).await), once(["RULE_FIRED b ann 0.5 SPENT ALERT"]));
}

#[tokio::test]
async fn a_limit_of_its_own_that_a_counter_stands_above_is_told_at_once() {
    let server = TestServer::start().await;
    let budget = with_rules("b", "1", vec![on_spent("0.5"), rule("1", v1::Action::Block)]);
    keep(&server, v1::Budget { per: vec![key("user_id")], ..budget }).await;
    spend_as(&server, "ann", 3).await;
    spend_as(&server, "ben", 3).await;
    assert!(all(&server).await.is_empty());
    let own = v1::BudgetOverride {
        budget_id: "b".to_owned(),
        per_values: [("user_id".to_owned(), "ann".to_owned())].into(),
        limit: "0.025".to_owned(),
        ..Default::default()
    };
    for validate_only in [true, false, false] {
        let request = v1::SetBudgetOverrideRequest { budget_override: Some(own.clone()), validate_only };
        server.budgets.clone().set_budget_override(request).await.unwrap();
        if validate_only {
            assert!(all(&server).await.is_empty());
        }
    }
    // The window still has the limit that it began with as its highest: nothing of it is an overrun.
    assert_eq!(
        counted(&all(&server).await),
        once(["RULE_FIRED b ann 0.5 SPENT ALERT", "RULE_FIRED b ann 1 COMMITTED BLOCK"])
    );
}
