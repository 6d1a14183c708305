//! CheckBudget and the budgets' own calls.

mod backfilling;
mod carry;
mod overrides;
mod periods;

use std::collections::HashMap;

use futures::future::join_all;
use tollgate_proto::v1;
use tollgate_server::store::ledger::{begin_batch, begin_budget_upkeep, roll_back};
use tollgate_server::tenant::TenantId;
use tonic::Code;

use crate::harness::TestServer;
use crate::harness::build::{
    block, budget, create, event, event_at, gpt_4o, id, key, model, record, reserve, rule, session, settling, user,
};
use crate::harness::time::seconds_from_now;

/// 0.0125 USD: 1,000 tokens in, 1,000 out, on gpt-4o.
const ONE_CALL: &str = "0.0125";

fn per_user(budget_id: &str, limit: &str) -> v1::Budget {
    v1::Budget { per: vec![key("user_id")], ..budget(budget_id, limit) }
}

async fn check(server: &TestServer, request: v1::CheckBudgetRequest) -> v1::CheckBudgetResponse {
    server.budgets.clone().check_budget(request).await.unwrap().into_inner()
}

async fn states(server: &TestServer, budget_id: &str) -> Vec<v1::BudgetState> {
    let request = v1::ListBudgetStatesRequest { budget_id: budget_id.to_owned(), ..Default::default() };
    server.budgets.clone().list_budget_states(request).await.unwrap().into_inner().states
}

#[tokio::test]
async fn sixty_four_first_calls_of_a_never_seen_user_admit_exactly_what_fits() {
    let mut server = TestServer::start().await;
    // Ten calls fit, and a little more that no call fits into.
    server.budgets.create_budget(create(per_user("b", "0.13"))).await.unwrap();
    let checks = (0..64).map(|_| check(&server, reserve(user("new"), 1_000, 1_000)));
    let decisions: Vec<v1::Decision> = join_all(checks).await.iter().map(v1::CheckBudgetResponse::decision).collect();
    let allowed = decisions.iter().filter(|decision| **decision == v1::Decision::Allowed).count();
    let denied = decisions.iter().filter(|decision| **decision == v1::Decision::Denied).count();
    assert_eq!((allowed, denied), (10, 54));
    let states = states(&server, "b").await;
    assert_eq!((states.len(), states[0].held.as_str(), states[0].available.as_str()), (1, "0.125", "0.005"));
    assert_eq!(states[0].per_values, HashMap::from([("user_id".to_owned(), "new".to_owned())]));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn two_replicas_on_one_budget_never_overspend() {
    let mut first = TestServer::start().await;
    let second = first.replica().await;
    first.budgets.create_budget(create(budget("b", "0.5"))).await.unwrap();
    let calls = (0..120).map(|number| {
        let server = if number % 2 == 0 { &first } else { &second };
        async move {
            let request = reserve(session("s"), 1_000, 1_000);
            let id = request.reservation_id.clone();
            let answer = check(server, request).await;
            if answer.decision() != v1::Decision::Allowed {
                return 0;
            }
            // Half of what was held: the rest must become available to others.
            let used = settling(event(session("s"), 1_000, 375), &id);
            server.usage.clone().record_usage(record(used)).await.unwrap();
            1
        }
    });
    let admitted: i32 = join_all(calls).await.into_iter().sum();
    let state = states(&first, "b").await.remove(0);
    let spent: rust_decimal::Decimal = state.spent.parse().unwrap();
    assert!(spent <= "0.5".parse().unwrap(), "{state:?}");
    assert_eq!((state.held.as_str(), state.overrun.as_str()), ("0", "0"));
    // Whoever was refused found no room for a whole call at that time, so most of the limit is used.
    assert!(admitted >= 40, "{admitted} of 120");
    first.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_10_an_unset_mode_is_refused_and_a_peek_holds_nothing() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", ONE_CALL))).await.unwrap();
    let unset = v1::CheckBudgetRequest { mode: 0, ..reserve(session("s"), 1, 1) };
    let error = server.budgets.check_budget(unset).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    for _ in 0..3 {
        let peek = v1::CheckBudgetRequest {
            mode: v1::CheckMode::Peek.into(),
            reservation_id: String::new(),
            ..reserve(session("s"), 1_000, 1_000)
        };
        let answer = check(&server, peek).await;
        assert_eq!((answer.decision(), answer.reservation.is_none()), (v1::Decision::Allowed, true));
    }
    assert!(states(&server, "b").await.is_empty());
}

#[tokio::test]
async fn decision_6_only_a_hold_consumes_its_id() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "0.001"))).await.unwrap();
    let request = reserve(session("s"), 1_000, 1_000);
    assert_eq!(check(&server, request.clone()).await.decision(), v1::Decision::Denied);
    let raised = v1::UpdateBudgetRequest {
        budget: Some(v1::Budget { limit: "1".to_owned(), budget_id: "b".to_owned(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["limit".to_owned()] }),
        ..Default::default()
    };
    server.budgets.update_budget(raised).await.unwrap();
    let allowed = check(&server, request.clone()).await;
    assert_eq!(allowed.decision(), v1::Decision::Allowed);
    let repeated = check(&server, request.clone()).await;
    assert_eq!(repeated.decision(), v1::Decision::Allowed);
    assert_eq!(states(&server, "b").await[0].held, ONE_CALL, "the second asking holds nothing more");
    let other = v1::CheckBudgetRequest { dimensions: Some(session("other")), ..request };
    let error = server.budgets.check_budget(other).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_9_rules_alert_downgrade_throttle_and_block() {
    let mut server = TestServer::start().await;
    let downgrade =
        v1::Rule { downgrade_to: vec![model("openai", "gpt-4o-mini")], ..rule("0.6", v1::Action::Downgrade) };
    let rules = vec![rule("0.3", v1::Action::Alert), downgrade, block()];
    server.budgets.create_budget(create(v1::Budget { rules, ..budget("b", "0.03") })).await.unwrap();
    let first = check(&server, reserve(session("s"), 1_000, 1_000)).await;
    assert_eq!((first.decision(), first.budgets[0].fired()), (v1::Decision::Allowed, v1::Action::Alert));
    let second = check(&server, reserve(session("s"), 1_000, 1_000)).await;
    assert_eq!(second.decision(), v1::Decision::Downgraded);
    assert_eq!(second.use_model.unwrap().model, "gpt-4o-mini");
    assert_eq!(second.reservation.unwrap().parts[0].held, "0.00075");
    let far = check(&server, reserve(session("s"), 1_000, 100_000)).await;
    assert_eq!((far.decision(), far.reason.as_str()), (v1::Decision::Denied, "BUDGET_EXCEEDED"));
    assert!(far.never_fits && far.explanation.contains("budget b"), "{}", far.explanation);

    let delete = v1::DeleteBudgetRequest { budget_id: "b".to_owned(), ..Default::default() };
    server.budgets.delete_budget(delete).await.unwrap();
    let throttling = v1::Budget { rules: vec![rule("0.5", v1::Action::Throttle)], ..budget("t", ONE_CALL) };
    server.budgets.create_budget(create(throttling)).await.unwrap();
    let throttled = check(&server, reserve(session("s"), 1_000, 100)).await;
    assert_eq!(throttled.decision(), v1::Decision::Allowed);
    let throttled = check(&server, reserve(session("s"), 1_000, 500)).await;
    assert_eq!(throttled.decision(), v1::Decision::Throttled);
    assert!(throttled.retry_after.is_some_and(|after| after.seconds > 0 && after.seconds <= 86_400));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_10_fallbacks_hold_the_dearest_and_free_models_pass() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", ONE_CALL))).await.unwrap();
    let mini = v1::CheckBudgetRequest {
        model: Some(model("openai", "gpt-4o-mini")),
        fallbacks: vec![gpt_4o()],
        ..reserve(session("s"), 1_000, 1_000)
    };
    assert_eq!(check(&server, mini.clone()).await.reservation.unwrap().parts[0].held, ONE_CALL);
    let free = v1::CheckBudgetRequest {
        model: Some(model("ollama", "llama3")),
        fallbacks: Vec::new(),
        reservation_id: id(),
        ..mini.clone()
    };
    assert_eq!(check(&server, free).await.decision(), v1::Decision::Allowed);
    let unknown = v1::CheckBudgetRequest {
        model: Some(model("nobody", "unknown")),
        fallbacks: Vec::new(),
        reservation_id: id(),
        ..mini
    };
    let refused = check(&server, unknown).await;
    assert_eq!((refused.decision(), refused.reason.as_str()), (v1::Decision::Denied, "UNPRICED"));
    assert_eq!(refused.estimate.unwrap().state(), v1::PriceState::Unpriced);
}

#[tokio::test]
async fn a_new_budget_counts_what_the_ledger_holds() {
    let mut server = TestServer::start().await;
    for (person, output) in [("u1", 1_000), ("u1", 1_000), ("u2", 500)] {
        server.usage.record_usage(record(event(user(person), 1_000, output))).await.unwrap();
    }
    server.budgets.create_budget(create(per_user("b", "0.02"))).await.unwrap();
    let mut found: Vec<(String, String, String)> = states(&server, "b")
        .await
        .into_iter()
        .map(|state| (state.per_values["user_id"].clone(), state.spent, state.overrun))
        .collect();
    found.sort();
    let expected = [("u1", "0.025", "0.005"), ("u2", "0.0075", "0")];
    assert_eq!(found, expected.map(|(user, spent, overrun)| (user.to_owned(), spent.to_owned(), overrun.to_owned())));
    assert_eq!(check(&server, reserve(user("u1"), 1, 1)).await.decision(), v1::Decision::Denied);
    assert_eq!(check(&server, reserve(user("u2"), 1_000, 900)).await.decision(), v1::Decision::Allowed);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn budgets_are_created_read_changed_and_deleted() {
    let mut server = TestServer::start().await;
    let request = v1::CreateBudgetRequest { request_id: "r1".to_owned(), ..create(budget("b", "1")) };
    let made = server.budgets.create_budget(request.clone()).await.unwrap().into_inner().budget.unwrap();
    assert_eq!((made.state(), made.per_absent()), (v1::budget::State::Active, v1::Choice::Deny));
    let again = server.budgets.create_budget(request).await.unwrap().into_inner().budget.unwrap();
    assert_eq!(again.etag, made.etag, "the same request answers with the budget that it made");
    let error = server.budgets.create_budget(create(budget("b", "1"))).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists);
    let dry = v1::CreateBudgetRequest { validate_only: true, ..create(budget("dry", "1")) };
    server.budgets.create_budget(dry).await.unwrap();
    let missing = server.budgets.get_budget(v1::GetBudgetRequest { budget_id: "dry".to_owned() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);

    let update = |limit: &str, etag: &str, paths: &[&str]| v1::UpdateBudgetRequest {
        budget: Some(v1::Budget {
            budget_id: "b".to_owned(),
            limit: limit.to_owned(),
            etag: etag.to_owned(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
        ..Default::default()
    };
    let changed =
        server.budgets.update_budget(update("2", &made.etag, &["limit"])).await.unwrap().into_inner().budget.unwrap();
    assert_eq!(changed.limit, "2");
    let stale = server.budgets.update_budget(update("3", &made.etag, &["limit"])).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let fixed = server.budgets.update_budget(update("3", "", &["unit"])).await.unwrap_err();
    assert_eq!(fixed.code(), Code::InvalidArgument);

    let delete = v1::DeleteBudgetRequest { budget_id: "b".to_owned(), ..Default::default() };
    server.budgets.delete_budget(delete.clone()).await.unwrap();
    let again = server.budgets.delete_budget(delete).await.unwrap().into_inner().budget.unwrap();
    assert_eq!(again.state(), v1::budget::State::Deleted, "deleting again is safe");
    let list = server.budgets.list_budgets(v1::ListBudgetsRequest::default()).await.unwrap().into_inner();
    assert!(list.budgets.is_empty());
    let all = v1::ListBudgetsRequest { show_deleted: true, ..Default::default() };
    assert_eq!(server.budgets.list_budgets(all).await.unwrap().into_inner().budgets.len(), 1);
    let answer = check(&server, reserve(session("s"), 1_000_000, 1_000_000)).await;
    assert_eq!(answer.decision(), v1::Decision::Allowed, "a deleted budget decides no more");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_budget_over_all_time_is_changed_like_any_other() {
    let mut server = TestServer::start().await;
    let window = v1::Window { kind: v1::window::Kind::Lifetime.into(), ..Default::default() };
    let made = server.budgets.create_budget(create(v1::Budget { window: Some(window), ..budget("b", "1") })).await;
    let made = made.unwrap().into_inner().budget.unwrap();
    assert_eq!(made.count_from, None, "all time has no beginning");
    let masked = v1::UpdateBudgetRequest {
        budget: Some(v1::Budget { limit: "2".to_owned(), budget_id: "b".to_owned(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["limit".to_owned()] }),
        ..Default::default()
    };
    let changed = server.budgets.update_budget(masked).await.unwrap().into_inner().budget.unwrap();
    assert_eq!(changed.limit, "2");
    let whole = v1::Budget { limit: "3".to_owned(), ..changed };
    let whole = v1::UpdateBudgetRequest { budget: Some(whole), ..Default::default() };
    assert_eq!(server.budgets.update_budget(whole).await.unwrap().into_inner().budget.unwrap().limit, "3");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_limit_that_is_raised_later_makes_no_room_in_a_window_that_has_ended() {
    let mut server = TestServer::start().await;
    let yesterday = seconds_from_now(-86_400);
    let counting = v1::Budget { count_from: Some(seconds_from_now(-3 * 86_400)), ..budget("b", "0.02") };
    server.budgets.create_budget(create(counting)).await.unwrap();
    let late = || event_at(yesterday, session("s"), 1_000, 1_000);
    server.usage.record_usage(record(late())).await.unwrap();
    let raised = v1::UpdateBudgetRequest {
        budget: Some(v1::Budget { limit: "1".to_owned(), budget_id: "b".to_owned(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["limit".to_owned()] }),
        ..Default::default()
    };
    server.budgets.update_budget(raised).await.unwrap();
    server.usage.record_usage(record(late())).await.unwrap();
    let request = v1::ListBudgetStatesRequest { budget_id: "b".to_owned(), at: Some(yesterday), ..Default::default() };
    let state = server.budgets.list_budget_states(request).await.unwrap().into_inner().states.remove(0);
    assert_eq!((state.spent.as_str(), state.overrun.as_str()), ("0.025", "0.005"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn selectors_per_keys_units_and_shadow_mode_count_what_they_say() {
    let mut server = TestServer::start().await;
    let selecting = v1::Budget {
        selector: vec![v1::DimensionMatch {
            key: Some(key("agent_name")),
            values: vec!["planner".to_owned()],
            ..Default::default()
        }],
        unit: v1::Unit::Tokens.into(),
        ..budget("planner-tokens", "5000")
    };
    let shadow = v1::Budget { mode: v1::budget::Mode::Shadow.into(), ..budget("shadow", "0.001") };
    let mini_only = v1::Budget {
        models: vec![v1::ModelRef { model: "gpt-4o-mini".to_owned(), ..Default::default() }],
        unit: v1::Unit::Calls.into(),
        ..budget("mini-calls", "1")
    };
    for one in [selecting, shadow, mini_only] {
        server.budgets.create_budget(create(one)).await.unwrap();
    }
    let planner = v1::Dimensions { agent_name: "planner".to_owned(), ..session("s") };
    let allowed = check(&server, reserve(planner.clone(), 1_000, 1_000)).await;
    assert_eq!(allowed.decision(), v1::Decision::Allowed);
    let shadowed: Vec<&v1::BudgetState> = allowed.budgets.iter().filter(|state| state.shadow).collect();
    assert!(shadowed[0].refused, "a shadow budget says what it would have done");
    let denied = check(&server, reserve(planner, 1_000, 2_001)).await;
    assert_eq!(denied.decision(), v1::Decision::Denied);
    assert_eq!(denied.affordable_output_tokens, Some(2_000));
    let other = v1::Dimensions { agent_name: "writer".to_owned(), ..session("s") };
    assert_eq!(check(&server, reserve(other, 1_000, 5_000)).await.decision(), v1::Decision::Allowed);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn headroom_holds_what_is_left() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "0.01"))).await.unwrap();
    let request =
        v1::CheckBudgetRequest { mode: v1::CheckMode::ReserveHeadroom.into(), ..reserve(session("s"), 1_000, 1_000) };
    let answer = check(&server, request).await;
    assert_eq!(
        (answer.decision(), answer.reservation.unwrap().parts[0].held.as_str()),
        (v1::Decision::Allowed, "0.01")
    );
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn last_match_time_shows_a_selector_that_matches() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "1"))).await.unwrap();
    check(&server, reserve(session("s"), 1, 1)).await;
    crate::harness::wait::until("last_match_time", || async {
        let request = v1::GetBudgetRequest { budget_id: "b".to_owned() };
        let budget = server.budgets.clone().get_budget(request).await.unwrap().into_inner().budget.unwrap();
        budget.last_match_time
    })
    .await;
}

#[tokio::test]
async fn a_limit_as_large_as_can_be_held_stops_nothing() {
    let mut server = TestServer::start().await;
    let rules = vec![rule("1.2", v1::Action::Alert), block()];
    let unlimited = v1::Budget { rules, ..budget("b", "9999999999999999") };
    server.budgets.create_budget(create(unlimited)).await.unwrap();
    let answer = server.usage.record_usage(record(event(session("s"), 1_000, 1_000))).await.unwrap().into_inner();
    assert_eq!(answer.budgets[0].spent, ONE_CALL);
    assert_eq!(check(&server, reserve(session("s"), 1_000, 1_000)).await.decision(), v1::Decision::Allowed);
}

#[tokio::test]
async fn changes_of_different_fields_at_once_all_stand() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "1000"))).await.unwrap();
    let update = |path: &str, budget: v1::Budget| {
        let mut budgets = server.budgets.clone();
        let request = v1::UpdateBudgetRequest {
            budget: Some(v1::Budget { budget_id: "b".to_owned(), ..budget }),
            update_mask: Some(prost_types::FieldMask { paths: vec![path.to_owned()] }),
            ..Default::default()
        };
        async move { budgets.update_budget(request).await.unwrap() }
    };
    for round in 0..10 {
        let limit = v1::Budget { limit: format!("{}", 10 + round), ..Default::default() };
        let name = v1::Budget { display_name: format!("round {round}"), ..Default::default() };
        futures::future::join(update("limit", limit), update("display_name", name)).await;
        let request = v1::GetBudgetRequest { budget_id: "b".to_owned() };
        let budget = server.budgets.clone().get_budget(request).await.unwrap().into_inner().budget.unwrap();
        assert_eq!((budget.limit, budget.display_name), (format!("{}", 10 + round), format!("round {round}")));
    }
}

#[tokio::test]
async fn an_estimate_of_nothing_does_not_pass_an_overspent_budget() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "0.01"))).await.unwrap();
    server.usage.record_usage(record(event(session("s"), 1_000, 1_000))).await.unwrap();
    assert_eq!(check(&server, reserve(session("s"), 0, 0)).await.decision(), v1::Decision::Denied);
}

#[tokio::test]
async fn a_replica_that_stands_still_in_a_transaction_loses_it() {
    let server = TestServer::start().await;
    let pool = server.pool();
    let limit = "SELECT current_setting('idle_in_transaction_session_timeout')";
    let mut connection = pool.acquire().await.unwrap();
    begin_batch(&mut connection, TenantId::LOCAL).await.unwrap();
    let in_batch: String = sqlx::query_scalar(limit).fetch_one(&mut *connection).await.unwrap();
    roll_back(&mut connection).await.unwrap();
    let mut change = begin_budget_upkeep(&pool, TenantId::LOCAL).await.unwrap();
    let in_change: String = sqlx::query_scalar(limit).fetch_one(&mut *change).await.unwrap();
    change.rollback().await.unwrap();
    let outside: String = sqlx::query_scalar(limit).fetch_one(&mut *connection).await.unwrap();
    assert_eq!([in_batch.as_str(), &in_change, &outside], ["3s", "3s", "0"]);
}
