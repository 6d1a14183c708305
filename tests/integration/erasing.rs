//! Erasing a person: the name is nowhere any more, and every sum is what it was.

use sqlx::{AssertSqlSafe, Row as _};
use tollgate_proto::v1;
use tollgate_proto::v1::erase_subject_request::Subject;
use tonic::Code;

use crate::harness::TestServer;
use crate::harness::build::{block, budget, create, event, id, key, record, reserve, rule, settling};
use crate::harness::refusal::reason;
use crate::harness::wait::until;

/// A name that stands nowhere by chance.
const NAME: &str = "ada-canary-7f3a";

fn who(user_id: &str) -> v1::Dimensions {
    v1::Dimensions {
        user_id: user_id.to_owned(),
        session_id: format!("session of {}", user_id.len()),
        agent_name: "planner".to_owned(),
        ..Default::default()
    }
}

fn erase(subject: Subject) -> v1::EraseSubjectRequest {
    v1::EraseSubjectRequest {
        subject: Some(subject),
        request_id: id(),
        reason: "asked for it".to_owned(),
        validate_only: false,
    }
}

async fn begun(server: &TestServer, request: v1::EraseSubjectRequest) -> v1::Erasure {
    server.admin.clone().erase_subject(request).await.unwrap().into_inner().erasure.unwrap()
}

async fn done(server: &TestServer, erasure_id: &str) -> v1::Erasure {
    until("the erasure is done", || async {
        let request = v1::GetErasureRequest { erasure_id: erasure_id.to_owned() };
        let erasure = server.admin.clone().get_erasure(request).await.unwrap().into_inner().erasure.unwrap();
        (erasure.state() == v1::erasure::State::Done).then_some(erasure)
    })
    .await
}

/// Tables of which some row shows this text.
async fn tables_with(server: &TestServer, text: &str) -> Vec<String> {
    let pool = server.pool();
    let tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&pool).await.unwrap();
    let mut found = Vec::new();
    for table in tables {
        let count = format!("SELECT count(*) AS rows FROM {table} AS one WHERE strpos(one::text, $1) > 0");
        let row = sqlx::query(AssertSqlSafe(count)).bind(text).fetch_one(&pool).await.unwrap();
        if row.get::<i64, _>("rows") > 0 {
            found.push(table);
        }
    }
    found
}

async fn usd_by_user(server: &TestServer) -> Vec<(String, String)> {
    let hour = 3_600;
    let now = prost_types::Timestamp::from(std::time::SystemTime::now());
    let request = v1::GetSummaryRequest {
        start_time: Some(prost_types::Timestamp { seconds: now.seconds / hour * hour - 48 * hour, nanos: 0 }),
        end_time: Some(prost_types::Timestamp { seconds: now.seconds / hour * hour + 2 * hour, nanos: 0 }),
        group_by: vec![key("user_id")],
        ..Default::default()
    };
    let summary = server.usage.clone().get_summary(request).await.unwrap().into_inner();
    let shown = |row: &v1::get_summary_response::Row| {
        let name = match row.groups[0].kind.as_ref().unwrap() {
            v1::group_value::Kind::Value(value) => value.clone(),
            other => format!("{other:?}"),
        };
        (name, row.measures.as_ref().unwrap().totals.as_ref().unwrap().usd.clone())
    };
    let mut rows: Vec<_> = summary.rows.iter().map(shown).collect();
    rows.sort();
    rows
}

async fn states(server: &TestServer, budget_id: &str) -> Vec<v1::BudgetState> {
    let request = v1::ListBudgetStatesRequest { budget_id: budget_id.to_owned(), ..Default::default() };
    server.budgets.clone().list_budget_states(request).await.unwrap().into_inner().states
}

async fn state_of(server: &TestServer, reservation_id: &str) -> v1::Reservation {
    let request = v1::GetReservationRequest { reservation_id: reservation_id.to_owned() };
    server.budgets.clone().get_reservation(request).await.unwrap().into_inner().reservation.unwrap()
}

/// Budgets that count per user, select the user, and alert.
async fn budgets(server: &TestServer) {
    let per_user = v1::Budget {
        per: vec![key("agent_name"), key("user_id")],
        rules: vec![rule("0.01", v1::Action::Alert), block()],
        ..budget("per-user", "1")
    };
    let condition =
        v1::DimensionMatch { key: Some(key("user_id")), values: vec![NAME.to_owned()], ..Default::default() };
    let selecting = v1::Budget { selector: vec![condition], ..budget("selecting", "2") };
    for budget in [per_user, selecting] {
        server.budgets.clone().create_budget(create(budget)).await.unwrap();
    }
    let per_values = [("agent_name", "planner"), ("user_id", NAME)].map(|(key, value)| (key.into(), value.into()));
    let limit = v1::BudgetOverride {
        budget_id: "per-user".to_owned(),
        per_values: per_values.into(),
        limit: "3".to_owned(),
        ..Default::default()
    };
    let request = v1::SetBudgetOverrideRequest { budget_override: Some(limit), validate_only: false };
    server.budgets.clone().set_budget_override(request).await.unwrap();
}

async fn held(server: &TestServer) -> String {
    let check = reserve(who(NAME), 1_000, 1_000);
    let answer = server.budgets.clone().check_budget(check).await.unwrap().into_inner();
    answer.reservation.unwrap().reservation_id
}

#[tokio::test]
async fn a_name_is_gone_from_every_table_and_every_sum_stays() {
    let server = TestServer::start().await;
    budgets(&server).await;
    let mut first = event(who(NAME), 1_000, 1_000);
    first.metadata_json = format!("{{\"note\": \"{NAME}\"}}");
    for event in [first.clone(), event(who(NAME), 2_000, 0), event(who("bob"), 1_000, 0)] {
        server.usage.clone().record_usage(record(event)).await.unwrap();
    }
    let mut moved = event(who("bob"), 4_000, 0);
    moved.metadata_json = format!("{{\"note\": \"{NAME}\"}}");
    let moved_id = match moved.key.as_ref().unwrap() {
        v1::usage_event::Key::EventId(id) => id.clone(),
        v1::usage_event::Key::ExternalKey(key) => panic!("{key:?} is no id"),
    };
    server.usage.clone().record_usage(record(moved)).await.unwrap();
    let reattribute = v1::AmendUsageRequest {
        request_id: id(),
        event_id: moved_id,
        expected_revision: 1,
        change: Some(v1::amend_usage_request::Change::Reattribute(who(NAME))),
        reason: "it was the other one".to_owned(),
        validate_only: false,
    };
    server.usage.clone().amend_usage(reattribute).await.unwrap();
    let (open, expired, settled) = (held(&server).await, held(&server).await, held(&server).await);
    server.usage.clone().record_usage(record(settling(event(who(NAME), 10, 10), &settled))).await.unwrap();
    server
        .execute(format!("UPDATE reservation SET expire_time = clock_timestamp() WHERE reservation_id = '{expired}'"))
        .await;
    until("the reservation runs out", || async {
        (state_of(&server, &expired).await.state() == v1::reservation::State::Expired).then_some(())
    })
    .await;
    server.assert_audit_holds().await;
    let before = (usd_by_user(&server).await, states(&server, "per-user").await, states(&server, "selecting").await);

    let mut request = erase(Subject::UserId(NAME.to_owned()));
    request.validate_only = true;
    let rehearsed = begun(&server, request.clone()).await;
    assert_eq!((rehearsed.events, rehearsed.erasure_id.as_str()), (4, ""));
    assert!(!tables_with(&server, NAME).await.is_empty(), "nothing was erased yet");
    request.validate_only = false;
    let erasure = begun(&server, request.clone()).await;
    server.assert_audit_holds().await;
    let ended = done(&server, &erasure.erasure_id).await;
    assert_eq!((ended.events, ended.events_erased), (4, 4));
    assert_eq!(begun(&server, request).await.erasure_id, erasure.erasure_id, "a repeated request erases nothing anew");
    assert_eq!(tables_with(&server, NAME).await, Vec::<String>::new());
    server.assert_audit_holds().await;

    let after = (usd_by_user(&server).await, states(&server, "per-user").await, states(&server, "selecting").await);
    let usd = |rows: &[(String, String)]| {
        let mut usd: Vec<String> = rows.iter().map(|(_, usd)| usd.clone()).collect();
        usd.sort();
        usd
    };
    assert_eq!(usd(&before.0), usd(&after.0));
    assert!(after.0.iter().any(|(name, _)| name.starts_with("erased-")), "{:?}", after.0);
    let spent = |states: &[v1::BudgetState]| {
        let mut rows: Vec<_> = states
            .iter()
            .map(|state| (state.limit.clone(), state.spent.clone(), state.held.clone(), state.presumed.clone()))
            .collect();
        rows.sort();
        rows
    };
    assert_eq!(spent(&before.1), spent(&after.1));
    assert_eq!(spent(&before.2), spent(&after.2));

    // What was told before is still known, and what was held is still settled, once.
    let again = server.usage.clone().record_usage(record(first)).await.unwrap().into_inner();
    assert_eq!(again.result(), v1::RecordResult::Duplicate);
    for reservation in [&open, &expired] {
        let used = settling(event(who("ignored"), 100, 100), reservation);
        server.usage.clone().record_usage(record(used)).await.unwrap();
    }
    let state = state_of(&server, &open).await;
    assert!(state.dimensions.unwrap().user_id.starts_with("erased-"));
    assert_eq!(tables_with(&server, NAME).await, Vec::<String>::new());
    server.assert_audit_holds().await;

    // The same name again is somebody new, on every replica.
    let replica = server.replica().await;
    for server in [&server, &replica] {
        server.usage.clone().record_usage(record(event(who(NAME), 1_000, 0))).await.unwrap();
    }
    let rows = usd_by_user(&replica).await;
    assert_eq!(rows.iter().find(|(name, _)| name == NAME).map(|(_, usd)| usd.as_str()), Some("0.005"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_replica_that_knew_the_name_counts_new_usage_apart() {
    let server = TestServer::start().await;
    let replica = server.replica().await;
    for server in [&server, &replica] {
        server.usage.clone().record_usage(record(event(who(NAME), 1_000, 0))).await.unwrap();
    }
    let erasure = begun(&server, erase(Subject::UserId(NAME.to_owned()))).await;
    replica.usage.clone().record_usage(record(event(who(NAME), 2_000, 0))).await.unwrap();
    done(&server, &erasure.erasure_id).await;
    let rows = usd_by_user(&replica).await;
    assert_eq!(rows.iter().map(|(_, usd)| usd.as_str()).collect::<Vec<_>>(), ["0.005", "0.005"], "{rows:?}");
    replica.assert_audit_holds().await;
}

/// A summary that began before an erasure may keep its later pages after it.
#[tokio::test]
async fn a_page_that_was_read_before_an_erasure_is_not_shown_after_it() {
    let server = TestServer::start().await;
    for user in ["bob", NAME] {
        server.usage.clone().record_usage(record(event(who(user), 1_000, 0))).await.unwrap();
    }
    let now = prost_types::Timestamp::from(std::time::SystemTime::now());
    let mut request = v1::GetSummaryRequest {
        start_time: Some(prost_types::Timestamp { seconds: now.seconds - 3_600, nanos: 0 }),
        end_time: Some(prost_types::Timestamp { seconds: now.seconds + 3_600, nanos: 0 }),
        group_by: vec![key("user_id")],
        page_size: 1,
        ..Default::default()
    };
    let first = server.usage.clone().get_summary(request.clone()).await.unwrap().into_inner();
    request.page_token = first.next_page_token;
    server.usage.clone().get_summary(request.clone()).await.unwrap();
    server.execute("CREATE TABLE late_page AS TABLE summary_page").await;
    let erasure = begun(&server, erase(Subject::UserId(NAME.to_owned()))).await;
    server.execute("INSERT INTO summary_page TABLE late_page").await;
    let status = server.usage.clone().get_summary(request).await.unwrap_err();
    assert_eq!(reason(&status), "PAGE_TOKEN_INVALID", "{status}");
    done(&server, &erasure.erasure_id).await;
}

#[tokio::test]
async fn a_customer_is_erased_and_users_of_that_name_are_not() {
    let server = TestServer::start().await;
    let dimensions = v1::Dimensions { customer_id: NAME.to_owned(), ..who("bob") };
    server.usage.clone().record_usage(record(event(dimensions, 1_000, 0))).await.unwrap();
    server.usage.clone().record_usage(record(event(who(NAME), 1_000, 0))).await.unwrap();
    let erasure = begun(&server, erase(Subject::CustomerId(NAME.to_owned()))).await;
    assert_eq!(done(&server, &erasure.erasure_id).await.events, 1);
    assert_eq!(usd_by_user(&server).await.len(), 2);
    assert!(usd_by_user(&server).await.iter().any(|(name, _)| name == NAME));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn keys_and_tokens_forget_the_name_and_a_key_that_works_is_revoked_first() {
    let server = TestServer::start().await;
    let pinned = v1::Dimensions { user_id: NAME.to_owned(), ..Default::default() };
    let api_key = v1::ApiKey {
        display_name: "of one person".to_owned(),
        permissions: vec![v1::Permission::Record.into()],
        pinned: Some(pinned),
        ..Default::default()
    };
    let request = v1::CreateApiKeyRequest { api_key: Some(api_key), request_id: id() };
    let created = server.admin.clone().create_api_key(request).await.unwrap().into_inner().api_key.unwrap();
    let scope = v1::WatchScope {
        key: "k".to_owned(),
        scope: Some(v1::watch_scope::Scope::UserId(NAME.to_owned())),
        window: Some(crate::harness::build::day()),
        ..Default::default()
    };
    let request = v1::CreateViewTokenRequest { scopes: vec![scope], ttl: None };
    server.admin.clone().create_view_token(request).await.unwrap();
    let status = server.admin.clone().erase_subject(erase(Subject::UserId(NAME.to_owned()))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "SUBJECT_PINNED"));
    assert!(status.message().contains(&created.api_key_id));
    let revoke = v1::RevokeApiKeyRequest { api_key_id: created.api_key_id };
    server.admin.clone().revoke_api_key(revoke).await.unwrap();
    let erasure = begun(&server, erase(Subject::UserId(NAME.to_owned()))).await;
    done(&server, &erasure.erasure_id).await;
    assert_eq!(tables_with(&server, NAME).await, Vec::<String>::new());
    // The scopes of tokens are bytes, which a text shows as digits.
    let digits: String = NAME.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(tables_with(&server, &digits).await, Vec::<String>::new());
}

#[tokio::test]
async fn broken_and_unknown_erasures_are_refused() {
    let server = TestServer::start().await;
    let refused = |request| async { server.admin.clone().erase_subject(request).await.unwrap_err() };
    let nobody = v1::EraseSubjectRequest { subject: None, ..erase(Subject::UserId(String::new())) };
    assert_eq!(refused(nobody).await.code(), Code::InvalidArgument);
    assert_eq!(refused(erase(Subject::UserId(String::new()))).await.code(), Code::InvalidArgument);
    let unidentified = v1::EraseSubjectRequest { request_id: "1".to_owned(), ..erase(Subject::UserId("a".to_owned())) };
    assert_eq!(refused(unidentified).await.code(), Code::InvalidArgument);
    let unknown = v1::GetErasureRequest { erasure_id: id() };
    let status = server.admin.clone().get_erasure(unknown).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "ERASURE_NOT_FOUND"));
    let erasure = begun(&server, erase(Subject::UserId("never seen".to_owned()))).await;
    assert_eq!(done(&server, &erasure.erasure_id).await.events, 0);
}

#[tokio::test]
async fn the_command_erases_and_tells_how_far_it_is() {
    let server = TestServer::start().await;
    server.usage.clone().record_usage(record(event(who(NAME), 1_000, 0))).await.unwrap();
    let run = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.env_clear().env("TOLLGATE_URL", &server.url).stdin(std::process::Stdio::null());
        let output = command.arg("erase").args(arguments).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert_eq!(run(&["--user", NAME, "--dry-run", "--json"]).await["events"], 1);
    let erased = run(&["--user", NAME, "--reason", "asked for it", "--json"]).await;
    assert_eq!((&erased["state"], &erased["eventsErased"]), (&"STATE_DONE".into(), &1.into()));
    assert_eq!(tables_with(&server, NAME).await, Vec::<String>::new());
}
