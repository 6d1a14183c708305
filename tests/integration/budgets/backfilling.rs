//! New budgets over ledgers that are too large to be counted while everybody waits.

use sqlx::{Connection as _, PgConnection};
use tollgate_proto::v1;
use tollgate_server::config::{Config, LedgerConfig};

use super::{check, per_user, states};
use crate::harness::TestServer;
use crate::harness::build::{create, event, event_at, record, reserve, settling, user};
use crate::harness::database;
use crate::harness::time::seconds_from_now;
use crate::harness::wait::{bounded, until};
use crate::rebuilding::rebuilt;

const DAY: i64 = 86_400;

/// Ten events at a time.
fn config() -> Config {
    Config { ledger: LedgerConfig { count_at_once: 10, ..LedgerConfig::default() }, ..Config::default() }
}

/// One call of 0.0125 USD by `u1`, so many days ago.
fn earlier(days_ago: i64) -> v1::UsageEvent {
    event_at(seconds_from_now(-days_ago * DAY), user("u1"), 1_000, 1_000)
}

async fn use_up(server: &TestServer, days_ago: i64, calls: usize) {
    for _ in 0..calls {
        server.usage.clone().record_usage(record(earlier(days_ago))).await.unwrap();
    }
}

async fn state_of(server: &TestServer) -> v1::budget::State {
    let request = v1::GetBudgetRequest { budget_id: "b".to_owned() };
    server.budgets.clone().get_budget(request).await.unwrap().into_inner().budget.unwrap().state()
}

async fn active(server: &TestServer) {
    until("the budget is in force", || async { (state_of(server).await == v1::budget::State::Active).then_some(()) })
        .await;
}

/// A hard budget of 40 calls for each user over all time.
fn lifetime() -> v1::Budget {
    let window = v1::Window { kind: v1::window::Kind::Lifetime.into(), ..Default::default() };
    v1::Budget { window: Some(window), ..per_user("b", "0.5") }
}

/// Keeps every replica from counting until the connection is closed.
async fn hold_up(server: &TestServer) -> PgConnection {
    let mut connection = PgConnection::connect_with(&server.options).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM budget_backfill FOR UPDATE").execute(&mut connection).await.unwrap();
    connection
}

async fn created(server: &TestServer, budget: v1::Budget) -> v1::budget::State {
    server.budgets.clone().create_budget(create(budget)).await.unwrap().into_inner().budget.unwrap().state()
}

#[tokio::test]
async fn a_large_ledger_is_counted_in_the_background_and_the_budget_is_in_force_by_one_switch() {
    let mut server = TestServer::over(database().await, &config()).await;
    for days_ago in 1..=8 {
        use_up(&server, days_ago, 4).await;
    }
    let open = check(&server, reserve(user("u1"), 1_000, 1_000)).await.reservation.unwrap();
    let settled = check(&server, reserve(user("u1"), 1_000, 1_000)).await.reservation.unwrap();
    let cancelled = earlier(1);
    server.usage.record_usage(record(cancelled.clone())).await.unwrap();

    assert_eq!(created(&server, lifetime()).await, v1::budget::State::Backfilling);
    let held_up = hold_up(&server).await;
    server.assert_audit_holds().await;
    // It counts what comes, shows itself, refuses nothing and holds nothing.
    let request = reserve(user("u1"), 1_000, 100_000);
    let far = check(&server, request.clone()).await;
    assert_eq!((far.decision(), far.budgets.len()), (v1::Decision::Allowed, 1));
    assert!(far.reservation.unwrap().parts.is_empty());
    let release = v1::ReleaseReservationRequest { reservation_id: request.reservation_id, ..Default::default() };
    server.budgets.release_reservation(release).await.unwrap();
    use_up(&server, 2, 3).await;
    let used = settling(event(user("u1"), 1_000, 1_000), &settled.reservation_id);
    let answer = server.usage.record_usage(record(used)).await.unwrap().into_inner();
    assert!(answer.notices.is_empty(), "{:?}", answer.notices);
    let Some(v1::usage_event::Key::EventId(event_id)) = cancelled.key else { panic!("an id") };
    let cancel = v1::AmendUsageRequest {
        request_id: crate::harness::build::id(),
        event_id,
        expected_revision: 1,
        change: Some(v1::amend_usage_request::Change::Cancel(true)),
        reason: "billed twice".to_owned(),
        ..Default::default()
    };
    server.usage.amend_usage(cancel).await.unwrap();
    // What is cancelled was counted before the budget was: for now, less than nothing is left of it.
    let live = states(&server, "b").await.remove(0);
    assert_eq!((live.spent.as_str(), live.overrun.as_str()), ("0.0375", "0"));
    server.assert_audit_holds().await;
    assert_eq!(rebuilt(&server, false).await.unwrap().differing(), 0, "what is counted back is left alone");

    drop(held_up);
    active(&server).await;
    // 32 earlier calls, 3 late ones, and the settled one; the open one is held.
    let state = states(&server, "b").await.remove(0);
    assert_eq!((state.spent.as_str(), state.held.as_str(), state.overrun.as_str()), ("0.45", "0.0125", "0"));
    server.assert_audit_holds().await;
    let answers = futures::future::join_all((0..8).map(|_| check(&server, reserve(user("u1"), 1_000, 1_000)))).await;
    let allowed = answers.iter().filter(|answer| answer.decision() == v1::Decision::Allowed).count();
    assert_eq!(allowed, 3, "it is enforced");
    let used = settling(event(user("u1"), 1_000, 500), &open.reservation_id);
    server.usage.record_usage(record(used)).await.unwrap();
    let state = states(&server, "b").await.remove(0);
    assert_eq!((state.spent.as_str(), state.held.as_str()), ("0.4575", "0.0375"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn another_replica_goes_on_and_what_lies_above_the_limit_is_an_overrun_of_the_creation() {
    let mut server = TestServer::over(database().await, &config()).await;
    for days_ago in 1..=5 {
        use_up(&server, days_ago, 9).await;
    }
    let daily = v1::Budget {
        carry: v1::budget::Carry::Overrun.into(),
        count_from: Some(seconds_from_now(-20 * DAY)),
        ..per_user("b", "0.1")
    };
    assert_eq!(created(&server, daily).await, v1::budget::State::Backfilling);
    let held_up = hold_up(&server).await;
    let running = server.running.take().unwrap();
    running.stop();
    bounded("the end of the server", running.stopped()).await;
    drop(held_up);
    let replica = TestServer::over(server.options.clone(), &config()).await;
    active(&replica).await;
    let request = v1::ListBudgetStatesRequest {
        budget_id: "b".to_owned(),
        at: Some(seconds_from_now(-DAY)),
        ..Default::default()
    };
    let yesterday = replica.budgets.clone().list_budget_states(request).await.unwrap().into_inner().states.remove(0);
    // Every day overran by 0.0125 more than the day before it.
    assert_eq!((yesterday.effective_limit.as_str(), yesterday.overrun.as_str()), ("0.05", "0.0625"));
    let causes: String = sqlx::query_scalar("SELECT string_agg(DISTINCT overrun_causes::text, ' ') FROM budget_window")
        .fetch_one(&replica.pool())
        .await
        .unwrap();
    assert!(causes.contains("budget_created") && !causes.contains("not_reserved"), "{causes}");
    replica.assert_audit_holds().await;
}

#[tokio::test]
async fn a_budget_that_is_deleted_meanwhile_stops_counting_and_few_events_are_counted_at_once() {
    let mut server = TestServer::over(database().await, &config()).await;
    use_up(&server, 1, 9).await;
    assert_eq!(created(&server, lifetime()).await, v1::budget::State::Active);
    let delete = |budget_id: &str| v1::DeleteBudgetRequest { budget_id: budget_id.to_owned(), ..Default::default() };
    server.budgets.delete_budget(delete("b")).await.unwrap();
    use_up(&server, 1, 9).await;
    assert_eq!(
        created(&server, v1::Budget { budget_id: "c".to_owned(), ..lifetime() }).await,
        v1::budget::State::Backfilling
    );
    let deleted = server.budgets.delete_budget(delete("c")).await.unwrap().into_inner().budget.unwrap();
    assert_eq!(deleted.state(), v1::budget::State::Deleted);
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM budget_backfill) + (SELECT count(*) FROM budget_backfill_sum)",
    )
    .fetch_one(&server.pool())
    .await
    .unwrap();
    assert_eq!(left, 0);
    server.assert_audit_holds().await;
}
