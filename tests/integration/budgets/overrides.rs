//! Other limits for single counters.

use std::collections::HashMap;

use tollgate_proto::v1;
use tonic::{Code, Status};

use super::{check, per_user, states};
use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, record, reserve, session, user};
use crate::harness::refusal::Refusal;
use crate::harness::time::seconds_from_now;

fn of_user(user_id: &str) -> HashMap<String, String> {
    HashMap::from([("user_id".to_owned(), user_id.to_owned())])
}

fn limit_of(budget_id: &str, user_id: &str, limit: &str) -> v1::BudgetOverride {
    v1::BudgetOverride {
        budget_id: budget_id.to_owned(),
        per_values: of_user(user_id),
        limit: limit.to_owned(),
        ..Default::default()
    }
}

async fn try_set(server: &TestServer, wanted: v1::BudgetOverride) -> Result<v1::BudgetOverride, Status> {
    let request = v1::SetBudgetOverrideRequest { budget_override: Some(wanted), validate_only: false };
    let answer = server.budgets.clone().set_budget_override(request).await?;
    Ok(answer.into_inner().budget_override.unwrap())
}

async fn set(server: &TestServer, wanted: v1::BudgetOverride) -> v1::BudgetOverride {
    try_set(server, wanted).await.unwrap()
}

async fn delete(server: &TestServer, user_id: &str, etag: &str) -> Result<(), Status> {
    let request = v1::DeleteBudgetOverrideRequest {
        budget_id: "b".to_owned(),
        per_values: of_user(user_id),
        etag: etag.to_owned(),
    };
    server.budgets.clone().delete_budget_override(request).await.map(drop)
}

async fn decision(server: &TestServer, user_id: &str) -> v1::Decision {
    check(server, reserve(user(user_id), 1_000, 1_000)).await.decision()
}

async fn state_of(server: &TestServer, user_id: &str) -> v1::BudgetState {
    states(server, "b").await.into_iter().find(|state| state.per_values == of_user(user_id)).unwrap()
}

#[tokio::test]
async fn an_override_is_another_limit_for_one_value_on_every_replica_from_its_commit_on() {
    let mut server = TestServer::start().await;
    let replica = server.replica().await;
    // One call fits; for ada, three do.
    server.budgets.create_budget(create(per_user("b", "0.02"))).await.unwrap();
    assert_eq!(decision(&replica, "ada").await, v1::Decision::Allowed);
    assert_eq!(decision(&replica, "ada").await, v1::Decision::Denied);
    set(&server, limit_of("b", "ada", "0.04")).await;
    let answer = check(&replica, reserve(user("ada"), 1_000, 1_000)).await;
    assert_eq!(answer.decision(), v1::Decision::Allowed, "raising makes room at once");
    assert_eq!((answer.budgets[0].limit.as_str(), answer.budgets[0].effective_limit.as_str()), ("0.02", "0.04"));
    assert_eq!(decision(&server, "ada").await, v1::Decision::Allowed);
    assert_eq!(decision(&server, "ada").await, v1::Decision::Denied);
    assert_eq!(decision(&server, "eve").await, v1::Decision::Allowed);
    assert_eq!(decision(&server, "eve").await, v1::Decision::Denied, "others keep the budget's limit");

    // Lowered below what is committed: nothing more is admitted, and nothing is an overrun that was admitted.
    set(&server, limit_of("b", "ada", "0.01")).await;
    let lowered = state_of(&server, "ada").await;
    assert_eq!((lowered.effective_limit.as_str(), lowered.available.as_str()), ("0.01", "-0.0275"));
    assert_eq!((lowered.overrun.as_str(), lowered.held.as_str()), ("0", "0.0375"));
    assert_eq!(decision(&replica, "ada").await, v1::Decision::Denied);
    server.usage.record_usage(record(event(user("ada"), 1_000, 1_000))).await.unwrap();
    assert_eq!(state_of(&server, "ada").await.overrun, "0.01", "above every limit of the window");

    delete(&server, "ada", "").await.unwrap();
    delete(&server, "ada", "").await.unwrap();
    assert_eq!(state_of(&server, "ada").await.effective_limit, "0.02");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn an_override_of_the_only_counter_and_one_with_times_are_in_force_when_they_say() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "0.01"))).await.unwrap();
    let only = |limit: &str, start: Option<i64>, end: Option<i64>| v1::BudgetOverride {
        per_values: HashMap::new(),
        start_time: start.map(seconds_from_now),
        end_time: end.map(seconds_from_now),
        ..limit_of("b", "", limit)
    };
    let decided = || async { check(&server, reserve(session("s"), 1_000, 1_000)).await.decision() };
    set(&server, only("1", Some(3_600), None)).await;
    assert_eq!(decided().await, v1::Decision::Denied, "it begins later");
    set(&server, only("1", None, Some(-1))).await;
    assert_eq!(decided().await, v1::Decision::Denied, "it has ended");
    set(&server, only("1", Some(-60), Some(3_600))).await;
    assert_eq!(decided().await, v1::Decision::Allowed);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn an_override_is_set_again_listed_in_pages_and_guarded_by_its_etag() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(per_user("b", "1"))).await.unwrap();
    for number in 0..5 {
        set(&server, limit_of("b", &format!("u{number}"), "2")).await;
    }
    let first = set(&server, limit_of("b", "u0", "2")).await;
    let again = set(&server, v1::BudgetOverride { etag: "old".to_owned(), ..limit_of("b", "u0", "2") }).await;
    assert_eq!(first, again, "the same again changes nothing");
    let stale = v1::BudgetOverride { etag: "old".to_owned(), ..limit_of("b", "u0", "3") };
    let refused = try_set(&server, stale).await.unwrap_err();
    assert_eq!(Refusal::of(&refused), Refusal::new(Code::Aborted, "ETAG_MISMATCH", &[]));
    let changed = set(&server, v1::BudgetOverride { etag: first.etag.clone(), ..limit_of("b", "u0", "3") }).await;
    assert_eq!((changed.limit.as_str(), &changed.create_time), ("3", &first.create_time));
    assert_ne!(changed.etag, first.etag);
    let refused = delete(&server, "u0", &first.etag).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    let rehearsed =
        v1::SetBudgetOverrideRequest { budget_override: Some(limit_of("b", "u9", "3")), validate_only: true };
    server.budgets.set_budget_override(rehearsed).await.unwrap();

    let mut request = v1::ListBudgetOverridesRequest { budget_id: "b".to_owned(), page_size: 2, ..Default::default() };
    let mut listed = Vec::new();
    loop {
        let page = server.budgets.list_budget_overrides(request.clone()).await.unwrap().into_inner();
        listed.extend(page.budget_overrides.into_iter().map(|one| (one.per_values["user_id"].clone(), one.limit)));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    listed.sort();
    let expected = [("u0", "3"), ("u1", "2"), ("u2", "2"), ("u3", "2"), ("u4", "2")];
    assert_eq!(listed, expected.map(|(user, limit)| (user.to_owned(), limit.to_owned())));
}

#[tokio::test]
async fn broken_overrides_name_their_fields_and_missing_budgets_say_so() {
    let mut server = TestServer::start().await;
    let by_two = v1::Budget {
        per: vec![crate::harness::build::key("user_id"), crate::harness::build::key("team_id")],
        unit: v1::Unit::Calls.into(),
        ..budget("b", "10")
    };
    server.budgets.create_budget(create(by_two)).await.unwrap();
    let broken = v1::BudgetOverride {
        start_time: Some(seconds_from_now(10)),
        end_time: Some(seconds_from_now(5)),
        per_values: HashMap::from([("user_id".to_owned(), String::new()), ("agent_id".to_owned(), "x".to_owned())]),
        ..limit_of("b", "", "1.5")
    };
    let refused = Refusal::of(&try_set(&server, broken).await.unwrap_err());
    let fields = [
        "budget_override.per_values[agent_id]",
        "budget_override.per_values[user_id]",
        "budget_override.per_values[team_id]",
        "budget_override.limit",
        "budget_override.end_time",
    ];
    assert_eq!(refused, Refusal::new(Code::InvalidArgument, "INVALID_FIELD", &fields));
    let missing = try_set(&server, limit_of("nobody", "u", "1")).await.unwrap_err();
    assert_eq!(Refusal::of(&missing), Refusal::new(Code::NotFound, "BUDGET_NOT_FOUND", &[]));
    let none = v1::SetBudgetOverrideRequest::default();
    assert_eq!(server.budgets.set_budget_override(none).await.unwrap_err().code(), Code::InvalidArgument);
    let delete = v1::DeleteBudgetRequest { budget_id: "b".to_owned(), ..Default::default() };
    server.budgets.delete_budget(delete).await.unwrap();
    let both = HashMap::from(["user_id", "team_id"].map(|key| (key.to_owned(), "x".to_owned())));
    let deleted = v1::BudgetOverride { per_values: both, ..limit_of("b", "", "1") };
    let refused = try_set(&server, deleted).await.unwrap_err();
    assert_eq!(Refusal::of(&refused), Refusal::new(Code::FailedPrecondition, "BUDGET_DELETED", &[]));
}
