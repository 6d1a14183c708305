//! What is older than the retention: sealed, deleted, and still true.

use sqlx::AssertSqlSafe;
use tollgate_proto::v1;
use tollgate_proto::v1::amend_usage_request::Change;
use tollgate_server::store::partitions;
use tollgate_server::tenant::TenantId;
use tonic::Code;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, day, event, event_at, id, key, record, reserve, session, settling, user};
use crate::harness::time::{from_wire, seconds_from_now};
use crate::rebuilding::{derived, rebuilt};

const DAY: i64 = 86_400;
/// Old events are at least two months older than today, new ones are of today: a month lies between them.
const OLD: i64 = 70;

/// A call of 0.0125 USD so many days ago.
fn earlier(dimensions: v1::Dimensions, days_ago: i64) -> v1::UsageEvent {
    event_at(seconds_from_now(-days_ago * DAY), dimensions, 1_000, 1_000)
}

fn oldest_kept() -> jiff::Timestamp {
    from_wire(&seconds_from_now(-35 * DAY))
}

async fn one(server: &TestServer, question: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(question.to_owned())).fetch_one(&server.pool()).await.unwrap()
}

/// Old and new events of two users in a session and its descendant; old ones that are corrected and repeated.
async fn recorded() -> (TestServer, v1::UsageEvent) {
    let mut server = TestServer::start().await;
    let lifetime = v1::Window { kind: v1::window::Kind::Lifetime.into(), ..Default::default() };
    let all = v1::Budget { window: Some(lifetime.clone()), per: vec![key("user_id")], ..budget("lifetime", "100") };
    let daily =
        v1::Budget { window: Some(day()), count_from: Some(seconds_from_now(-90 * DAY)), ..budget("daily", "1") };
    let tokens = v1::Budget { unit: v1::Unit::Tokens.into(), window: Some(lifetime), ..budget("tokens", "1000000") };
    for wanted in [all, daily, tokens] {
        let wanted = v1::Budget { count_from: Some(seconds_from_now(-90 * DAY)), ..wanted };
        server.budgets.create_budget(create(wanted)).await.unwrap();
    }
    let by = |user: &str, name: &str| v1::Dimensions {
        user_id: user.to_owned(),
        root_session_id: "root".to_owned(),
        ..session(name)
    };
    let mut corrected = earlier(by("ada", "leaf"), OLD);
    for (user, name, days_ago) in
        [("ada", "root", OLD), ("ada", "leaf", OLD + 1), ("bob", "leaf", OLD), ("bob", "leaf", 0), ("ada", "root", 0)]
    {
        server.usage.record_usage(record(earlier(by(user, name), days_ago))).await.unwrap();
    }
    let cached = v1::UsageEvent { response_cache_hit: true, ..earlier(by("bob", "root"), OLD) };
    server.usage.record_usage(record(cached)).await.unwrap();
    let keyed = v1::ExternalKey { source: "spool".to_owned(), key: "17".to_owned() };
    corrected.call_id = "call".to_owned();
    server.usage.record_usage(record(corrected.clone())).await.unwrap();
    let foreign =
        v1::UsageEvent { key: Some(v1::usage_event::Key::ExternalKey(keyed)), ..earlier(by("ada", "leaf"), OLD) };
    server.usage.record_usage(record(foreign)).await.unwrap();
    let Some(v1::usage_event::Key::EventId(event_id)) = corrected.key.clone() else { panic!("no id") };
    let amendment = v1::AmendUsageRequest {
        request_id: id(),
        event_id,
        expected_revision: 1,
        change: Some(Change::Cancel(true)),
        reason: "never happened".to_owned(),
        ..Default::default()
    };
    server.usage.amend_usage(amendment).await.unwrap();
    server.assert_audit_holds().await;
    (server, corrected)
}

/// Seals and deletes until nothing is left to do.
async fn kept_to(server: &TestServer, oldest_kept: jiff::Timestamp) -> usize {
    let app = &server.running.as_ref().unwrap().app;
    let mut sealed = 0;
    loop {
        let events = app.seal_oldest(TenantId::LOCAL, oldest_kept).await.unwrap();
        if events == 0 {
            return sealed;
        }
        sealed += events;
    }
}

#[tokio::test]
async fn decision_8_old_events_leave_sealed_balances_and_audit_and_rebuild_stay_true() {
    let (mut server, corrected) = recorded().await;
    let before = derived(&server).await;
    let partitions_before =
        one(&server, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'usage_event'::regclass").await;
    assert_eq!(kept_to(&server, oldest_kept()).await, 6);
    assert_eq!(one(&server, "SELECT count(*) FROM usage_event").await, 2);
    assert_eq!(one(&server, "SELECT count(*) FROM external_key").await, 0);
    assert_eq!(one(&server, "SELECT count(*) FROM usage_adjustment").await, 0);
    assert_eq!(derived(&server).await, before, "nothing that is counted changes");
    server.assert_audit_holds().await;
    assert_eq!(rebuilt(&server, true).await.unwrap().differing(), 0);

    assert!(partitions::drop_empty(&server.pool(), oldest_kept()).await.unwrap() > 0);
    let partitions_after =
        one(&server, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'usage_event'::regclass").await;
    assert!(partitions_after < partitions_before);
    server.assert_audit_holds().await;

    // What breaks is found and put right, with what was sealed.
    sqlx::raw_sql(
        "UPDATE session_usage SET calls = calls + 1; UPDATE usage_rollup SET usd = usd + 1 WHERE grain = 2;
         DELETE FROM user_rollup WHERE grain = 1; UPDATE budget_window SET spent = 0;",
    )
    .execute(&server.pool())
    .await
    .unwrap();
    assert!(rebuilt(&server, false).await.unwrap().differing() > 0);
    assert_eq!(derived(&server).await, before);
    server.assert_audit_holds().await;

    // A balance that is broken is found, too.
    sqlx::raw_sql("UPDATE sealed_counter SET spent = spent + 1").execute(&server.pool()).await.unwrap();
    assert!(rebuilt(&server, true).await.unwrap().differing() > 0);
    sqlx::raw_sql("UPDATE sealed_counter SET spent = spent - 1").execute(&server.pool()).await.unwrap();

    let Some(v1::usage_event::Key::EventId(event_id)) = corrected.key.clone() else { panic!("no id") };
    let asked = v1::GetUsageRequest { key: Some(v1::get_usage_request::Key::EventId(event_id)) };
    let gone = server.usage.get_usage(asked).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    server.usage.record_usage(record(earlier(user("ada"), 0))).await.unwrap();
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn what_else_is_older_than_the_retention_is_deleted_but_for_what_still_counts() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("daily", "1"))).await.unwrap();
    let mut reservations = Vec::new();
    for _ in 0..3 {
        let answer = server.budgets.check_budget(reserve(user("ada"), 1_000, 1_000)).await.unwrap().into_inner();
        reservations.push(answer.reservation.unwrap().reservation_id);
    }
    let used = settling(earlier(user("ada"), 0), &reservations[0]);
    server.usage.record_usage(record(used)).await.unwrap();
    // One has ended, one expires and presumes, one is open; all of them long ago.
    sqlx::raw_sql(
        "UPDATE reservation SET create_time = create_time - interval '900 days', end_time = end_time - interval '900 days',
            reservation_id = ('00000000' || substr(reservation_id::text, 9))::uuid;
         UPDATE alert SET create_time = create_time - interval '900 days';",
    )
    .execute(&server.pool())
    .await
    .unwrap();
    let app = &server.running.as_ref().unwrap().app;
    while app.purge(TenantId::LOCAL, oldest_kept()).await.unwrap() > 0 {}
    assert_eq!(one(&server, "SELECT count(*) FROM reservation").await, 2, "those that hold stay");
    assert_eq!(one(&server, "SELECT count(*) FROM budget_window").await, 1, "its window has not ended");
    sqlx::raw_sql("UPDATE reservation SET expire_time = expire_time - interval '900 days' WHERE state = 1")
        .execute(&server.pool())
        .await
        .unwrap();
    crate::harness::wait::until("both have expired", || async {
        (one(&server, "SELECT count(*) FROM reservation WHERE state = 4").await == 2).then_some(())
    })
    .await;
    sqlx::raw_sql("UPDATE reservation SET end_time = end_time - interval '900 days'")
        .execute(&server.pool())
        .await
        .unwrap();
    while app.purge(TenantId::LOCAL, oldest_kept()).await.unwrap() > 0 {}
    assert_eq!(one(&server, "SELECT count(*) FROM reservation").await, 2, "those that presume stay");
}

#[tokio::test]
async fn a_window_that_was_deleted_is_made_anew_by_a_late_call() {
    let server = TestServer::start().await;
    let daily = v1::Budget { count_from: Some(seconds_from_now(-380 * DAY)), ..budget("daily", "1") };
    server.budgets.clone().create_budget(create(daily)).await.unwrap();
    let late = || {
        let start = Some(seconds_from_now(-300 * DAY));
        v1::UsageEvent { start_time: start, ..event(user("ada"), 1_000, 1_000) }
    };
    let nothing = v1::UsageEvent { response_cache_hit: true, ..late() };
    server.usage.clone().record_usage(record(nothing)).await.unwrap();
    assert_eq!(one(&server, "SELECT count(*) FROM budget_window").await, 1);
    let app = &server.running.as_ref().unwrap().app;
    while app.purge(TenantId::LOCAL, oldest_kept()).await.unwrap() > 0 {}
    assert_eq!(one(&server, "SELECT count(*) FROM budget_window").await, 0);
    // This replica still remembers that the counter is there.
    server.usage.clone().record_usage(record(late())).await.unwrap();
    assert_eq!(one(&server, "SELECT count(*) FROM budget_window WHERE spent > 0").await, 1);
    server.assert_audit_holds().await;
}
