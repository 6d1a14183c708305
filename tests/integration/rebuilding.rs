//! `tollgate rebuild`: what is derived, derived again.

use sqlx::AssertSqlSafe;
use tollgate_proto::v1;
use tollgate_proto::v1::amend_usage_request::Change;
use tollgate_server::app::rebuild::{Kind, RebuildError, RebuildReport, rebuild};
use tollgate_server::cli::rebuild::{RebuildArguments, run};
use tollgate_server::tenant::TenantId;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, event_at, id, key, record, reserve, session, user};
use crate::harness::time::seconds_from_now;

/// Events of two users in a session and its descendant, one corrected, and a hold that is open.
async fn recorded() -> TestServer {
    let server = TestServer::start().await;
    let per_user = v1::Budget { per: vec![key("user_id")], ..budget("users", "100") };
    server.budgets.clone().create_budget(create(per_user)).await.unwrap();
    let by = |user: &str, name: &str| v1::Dimensions {
        user_id: user.to_owned(),
        root_session_id: "root".to_owned(),
        ..session(name)
    };
    for (user, name) in [("ada", "root"), ("ada", "leaf"), ("bob", "leaf"), ("bob", "leaf")] {
        server.usage.clone().record_usage(record(event(by(user, name), 1_000, 500))).await.unwrap();
    }
    let corrected = event(by("ada", "leaf"), 10, 10);
    let Some(v1::usage_event::Key::EventId(event_id)) = corrected.key.clone() else { panic!("no id") };
    server.usage.clone().record_usage(record(corrected)).await.unwrap();
    let amendment = v1::AmendUsageRequest {
        request_id: id(),
        event_id,
        expected_revision: 1,
        change: Some(Change::Cancel(true)),
        reason: "never happened".to_owned(),
        ..Default::default()
    };
    server.usage.clone().amend_usage(amendment).await.unwrap();
    server.budgets.clone().check_budget(reserve(by("ada", "root"), 100, 100)).await.unwrap();
    server.assert_audit_holds().await;
    server
}

/// Every kind of break in every table.
const BREAKS: &str = "
    UPDATE session_usage SET calls = calls + 1, usd = usd + 1 WHERE descendants;
    UPDATE session_usage SET text_in_usd = 7 WHERE adjustment;
    DELETE FROM session_usage WHERE session_id = (SELECT min(session_id) FROM session_usage) AND NOT descendants;
    UPDATE usage_rollup SET last_time = now() WHERE grain = 1 AND NOT adjustment;
    UPDATE usage_rollup SET bucket = bucket - interval '1 day' WHERE grain = 2;
    UPDATE user_rollup SET shape_id = shape_id + 1000 WHERE grain = 1;
    UPDATE user_rollup SET input_tokens = 0 WHERE grain = 2;
    UPDATE budget_window SET spent = spent + 1, held = 0, presumed = 3;
    DELETE FROM budget_window WHERE per_values::text LIKE '%bob%';
";

/// All that is derived, but for versions.
pub(crate) async fn derived(server: &TestServer) -> Vec<String> {
    let mut rows = Vec::new();
    for table in ["session_usage", "usage_rollup", "user_rollup", "budget_window"] {
        let text = format!("SELECT (to_jsonb(row) - 'version')::text FROM {table} AS row ORDER BY 1");
        rows.extend(sqlx::query_scalar::<_, String>(AssertSqlSafe(text)).fetch_all(&server.pool()).await.unwrap());
    }
    rows
}

pub(crate) async fn rebuilt(server: &TestServer, dry_run: bool) -> Result<RebuildReport, RebuildError> {
    let app = &server.running.as_ref().unwrap().app;
    rebuild(&app.all_tenants, &app.dictionary, TenantId::LOCAL, dry_run).await
}

#[tokio::test]
async fn invariant_3_a_rebuild_puts_every_broken_row_right() {
    let server = recorded().await;
    let before = derived(&server).await;
    assert_eq!(rebuilt(&server, false).await.unwrap().differing(), 0);
    assert_eq!(derived(&server).await, before);

    sqlx::raw_sql(BREAKS).execute(&server.pool()).await.unwrap();
    let broken = derived(&server).await;
    let dry = rebuilt(&server, true).await.unwrap();
    assert!(dry.kinds.iter().all(|kind| kind.differing > 0), "{dry:?}");
    assert_eq!(dry.kinds.iter().map(|kind| kind.kind).collect::<Vec<_>>(), Kind::ALL);
    assert_eq!(derived(&server).await, broken, "a dry run changes nothing");

    let versions = "SELECT max(version)::bigint FROM session_usage WHERE descendants AND NOT adjustment";
    let version = async || sqlx::query_scalar::<_, i64>(versions).fetch_one(&server.pool()).await.unwrap();
    let version_before = version().await;
    assert_eq!(rebuilt(&server, false).await.unwrap(), dry);
    assert_eq!(derived(&server).await, before);
    assert!(version().await > version_before);
    server.assert_audit_holds().await;
    assert_eq!(rebuilt(&server, true).await.unwrap().differing(), 0);

    server.usage.clone().record_usage(record(event(session("root"), 1, 1))).await.unwrap();
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_counter_that_is_made_again_carries_what_it_carried() {
    let server = TestServer::start().await;
    let carrying = v1::Budget {
        per: vec![key("user_id")],
        carry: v1::budget::Carry::Both.into(),
        count_from: Some(seconds_from_now(-3 * 86_400)),
        ..budget("users", "100")
    };
    server.budgets.clone().create_budget(create(carrying)).await.unwrap();
    for days_ago in [1, 0] {
        let start = seconds_from_now(-days_ago * 86_400);
        let event = event_at(start, user("ada"), 1_000, 500);
        server.usage.clone().record_usage(record(event)).await.unwrap();
    }
    let before = derived(&server).await;
    assert_eq!(before.iter().filter(|row| row.contains("\"carried_from\": {")).count(), 1, "{before:?}");
    let newest = "DELETE FROM budget_window WHERE window_start = (SELECT max(window_start) FROM budget_window)";
    sqlx::raw_sql(newest).execute(&server.pool()).await.unwrap();
    assert_eq!(rebuilt(&server, false).await.unwrap().differing(), 1);
    assert_eq!(derived(&server).await, before);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_rebuild_says_what_differed() {
    let server = recorded().await;
    let pool = &server.running.as_ref().unwrap().app.all_tenants;
    let run = async |dry_run: bool, json: bool| {
        let mut output = Vec::new();
        let differing = run(pool, &RebuildArguments { dry_run, json }, &mut output).await.unwrap();
        (differing, String::from_utf8(output).unwrap())
    };
    sqlx::raw_sql("UPDATE session_usage SET calls = 9 WHERE descendants AND NOT adjustment")
        .execute(pool)
        .await
        .unwrap();
    let (differing, text) = run(true, false).await;
    assert!(differing == 1 && text.contains("session totals: 1 of") && text.contains("stored was 9"), "{text}");
    let (_, text) = run(false, true).await;
    let reports: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reports[0]["differing"], 1);
    assert_eq!(reports[0]["kinds"][0]["examples"][0]["differences"][0]["figure"], "calls");
    assert_eq!(run(true, false).await.0, 0);
}

#[tokio::test]
async fn a_rebuild_without_the_events_is_refused() {
    let server = recorded().await;
    sqlx::raw_sql("UPDATE usage_rollup SET bucket = '2001-01-01Z' WHERE grain = 2")
        .execute(&server.pool())
        .await
        .unwrap();
    let before = derived(&server).await;
    let refused = rebuilt(&server, false).await.unwrap_err();
    assert!(matches!(refused, RebuildError::Dropped { left: 0, .. }), "{refused}");
    assert_eq!(derived(&server).await, before);
}
