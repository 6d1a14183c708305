//! Windows are stored once, and what is stored goes for every replica, whatever its own time zone data says.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sqlx::{Connection as _, PgConnection};
use tollgate_domain::budget::{Budget, Carry, Mode, Unit};
use tollgate_domain::window::{Bounds, Window, WindowKind};
use tollgate_proto::v1;
use tollgate_server::config::{Config, LedgerConfig};
use tollgate_server::store::budgets::ActiveBudget;
use tollgate_server::store::periods::{self, WantedPeriods};
use tollgate_server::tenant::TenantId;

use super::{check, per_user};
use crate::harness::TestServer;
use crate::harness::build::{create, day, event_at, record, reserve, user};
use crate::harness::time::{from_wire, seconds_from_now, to_wire};
use crate::harness::wait::until;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn midnight(days_ago: i32) -> Timestamp {
    let now = Timestamp::now();
    let today = now - SignedDuration::from_secs(now.as_second().rem_euclid(86_400));
    let today = Timestamp::from_second(today.as_second()).unwrap();
    today - DAY * days_ago
}

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

/// A daily budget in UTC that has counted for ten days.
fn daily() -> v1::Budget {
    v1::Budget { count_from: Some(seconds_from_now(-10 * 86_400)), ..per_user("b", "1") }
}

/// As a replica with other time zone data would have stored it.
async fn store(server: &TestServer, start: Timestamp, end: Timestamp) {
    let number = "(SELECT budget_number FROM budget WHERE budget_id = 'b')";
    server.execute(format!("INSERT INTO budget_period VALUES (1, {number}, '{start}', '{end}')")).await;
}

/// The window that a call at this time is charged in.
async fn charged(server: &TestServer, at: Timestamp) -> (Timestamp, Timestamp) {
    let event = event_at(to_wire(at), user("ann"), 1_000, 1_000);
    let answer = server.usage.clone().record_usage(record(event)).await.unwrap().into_inner();
    bounds(&answer.budgets[0])
}

fn bounds(state: &v1::BudgetState) -> (Timestamp, Timestamp) {
    (from_wire(state.window_start.as_ref().unwrap()), from_wire(state.window_end.as_ref().unwrap()))
}

#[tokio::test]
async fn a_stored_window_stands_above_what_replicas_compute_and_others_are_cut_around_it() {
    let first = TestServer::start().await;
    let second = first.replica().await;
    first.budgets.clone().create_budget(create(daily())).await.unwrap();
    let day = midnight(3);
    let shifted = (day + hours(1), day + DAY + hours(1));
    store(&first, shifted.0, shifted.1).await;
    for server in [&first, &second, &first] {
        assert_eq!(charged(server, day + hours(1)).await, shifted);
        assert_eq!(charged(server, day + DAY + SignedDuration::from_mins(30)).await, shifted);
    }
    for server in [&second, &first] {
        assert_eq!(charged(server, day).await, (day, day + hours(1)), "what is left before it");
        assert_eq!(
            charged(server, day + DAY + hours(1)).await,
            (day + DAY + hours(1), day + DAY + DAY),
            "and after it"
        );
    }
    first.assert_audit_holds().await;
}

#[tokio::test]
async fn checks_peeks_and_reservations_of_all_replicas_meet_in_the_stored_window() {
    let first = TestServer::start().await;
    let second = first.replica().await;
    first.budgets.clone().create_budget(create(daily())).await.unwrap();
    // Stored at the creation; an hour longer on both sides, as if by other rules.
    let hour = "interval '1 hour'";
    let update =
        format!("UPDATE budget_period SET period_start = period_start - {hour}, period_end = period_end + {hour}");
    first.execute(update).await;
    let longer = (midnight(0) - hours(1), midnight(0) + DAY + hours(1));
    for (server, held) in [(&first, "0.0125"), (&second, "0.025")] {
        let peek = v1::CheckBudgetRequest {
            mode: v1::CheckMode::Peek.into(),
            reservation_id: String::new(),
            ..reserve(user("ann"), 1_000, 1_000)
        };
        assert_eq!(bounds(&check(server, peek).await.budgets[0]), longer);
        let answer = check(server, reserve(user("ann"), 1_000, 1_000)).await;
        assert_eq!((bounds(&answer.budgets[0]), answer.budgets[0].held.as_str()), (longer, held));
    }
    let scope = v1::WatchScope {
        key: "ann".to_owned(),
        scope: Some(v1::watch_scope::Scope::UserId("ann".to_owned())),
        window: Some(day()),
        budgets: true,
        ..Default::default()
    };
    let request = v1::GetTotalsRequest { scopes: vec![scope], ..Default::default() };
    let totals = second.usage.clone().get_totals(request).await.unwrap().into_inner();
    assert_eq!(totals.scopes[0].budgets.iter().map(bounds).collect::<Vec<_>>(), [longer]);
    first.assert_audit_holds().await;
}

#[tokio::test]
async fn a_spool_reaches_further_back_than_windows_are_remembered() {
    let server = TestServer::start().await;
    let minutes =
        v1::Window { kind: v1::window::Kind::Minute.into(), time_zone: "UTC".to_owned(), ..Default::default() };
    let budget =
        v1::Budget { window: Some(minutes), count_from: Some(seconds_from_now(-43_200)), ..per_user("b", "1") };
    server.budgets.clone().create_budget(create(budget)).await.unwrap();
    let ago = |minutes: i64| event_at(seconds_from_now(-60 * minutes), user("ann"), 1_000, 1_000);
    let events = (0..300).map(ago).collect();
    let request = v1::BatchRecordUsageRequest { events, ..Default::default() };
    let answer = server.usage.clone().batch_record_usage(request).await.unwrap().into_inner();
    for item in &answer.items {
        assert!(matches!(item.item, Some(v1::batch_record_usage_response::item::Item::Ok(_))), "{item:?}");
    }
    server.usage.clone().record_usage(record(ago(280))).await.unwrap();
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_budget_that_counts_back_counts_in_the_stored_windows() {
    let ledger = LedgerConfig { count_at_once: 5, ..LedgerConfig::default() };
    let server = TestServer::configured(&Config { ledger, ..Config::default() }).await;
    let day = midnight(3);
    for half_hours in 0..96 {
        let at = to_wire(day + SignedDuration::from_mins(30 * half_hours));
        let event = event_at(at, user("ann"), 1_000, 1_000);
        server.usage.clone().record_usage(record(event)).await.unwrap();
    }
    let mut locked = PgConnection::connect_with(&server.options).await.unwrap();
    // No replica begins to count before the other window is there.
    sqlx::raw_sql("BEGIN; LOCK TABLE budget_backfill_sum").execute(&mut locked).await.unwrap();
    server.budgets.clone().create_budget(create(daily())).await.unwrap();
    server.execute("DELETE FROM budget_period").await;
    store(&server, day + hours(1), day + DAY + hours(1)).await;
    locked.close().await.unwrap();
    until("the budget is in force", || async {
        let request = v1::GetBudgetRequest { budget_id: "b".to_owned() };
        let found = server.budgets.clone().get_budget(request).await.unwrap().into_inner().budget.unwrap();
        (found.state() == v1::budget::State::Active).then_some(())
    })
    .await;
    let windows: Vec<(time::OffsetDateTime, String)> = sqlx::query_as(
        "SELECT window_end, trim_scale(spent / 0.0125)::text FROM budget_window WHERE window_start >= $1 ORDER BY window_start",
    )
    .bind(time::OffsetDateTime::from_unix_timestamp(day.as_second()).unwrap())
    .fetch_all(&server.pool())
    .await
    .unwrap();
    let ends = |at: Timestamp| time::OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap();
    let expected = [(day + hours(1), "2"), (day + DAY + hours(1), "48"), (day + DAY + DAY, "46")];
    assert_eq!(windows, expected.map(|(end, calls)| (ends(end), calls.to_owned())));
    server.assert_audit_holds().await;
}

fn active(time_zone: &str) -> Arc<ActiveBudget> {
    let window = Window::new(WindowKind::Day, 1, Some(time_zone.to_owned()), None, "window").unwrap();
    Arc::new(ActiveBudget {
        number: 7,
        budget: Budget {
            budget_id: "b".to_owned(),
            display_name: String::new(),
            annotations: Default::default(),
            selector: Vec::new(),
            models: Vec::new(),
            per: Vec::new(),
            per_absent: None,
            unit: Unit::Calls,
            window,
            limit: "1".parse().unwrap(),
            rules: Vec::new(),
            mode: Mode::Enforced,
            unpriced: None,
            unavailable: None,
            on_expire: None,
            carry: Carry::None,
            start_time: None,
            end_time: None,
            count_from: None,
        },
        counted_from: Timestamp::UNIX_EPOCH,
        backfilling: false,
        overrides: HashMap::new(),
    })
}

/// Four replicas, each with other rules for the same budget, all first at once.
#[tokio::test]
async fn of_first_creators_with_other_rules_one_wins_and_no_windows_overlap() {
    let server = TestServer::start().await;
    let zones = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Los_Angeles"];
    let settled = zones.map(|zone| {
        let pool = server.pool();
        tokio::spawn(async move {
            let mut told = Vec::new();
            for half_hours in 0..96 {
                let at = midnight(5) + SignedDuration::from_mins(30 * half_hours);
                let budget = active(zone);
                let computed = budget.budget.window.bounds(at).unwrap().start;
                let wanted = WantedPeriods::from([((7, computed), (budget, at))]);
                let mut transaction = pool.begin().await.unwrap();
                let found = periods::settle(&mut transaction, TenantId::LOCAL, &wanted).await.unwrap();
                transaction.commit().await.unwrap();
                told.push(found[&7].holding(at).unwrap());
            }
            told
        })
    });
    let mut told: Vec<Vec<Bounds>> = Vec::new();
    for one in settled {
        told.push(one.await.unwrap());
    }
    for other in &told[1..] {
        assert_eq!(*other, told[0], "every replica counts each instant in the same window");
    }
    for pair in told[0].windows(2) {
        assert!(pair[0] == pair[1] || pair[0].end == pair[1].start, "{} {}", pair[0], pair[1]);
    }
}
