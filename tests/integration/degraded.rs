//! While the database is away, and right after.

mod client;
mod unseen_holds;

use std::time::{Duration, Instant};

use tollgate_proto::v1;
use tollgate_server::config::Config;
use tollgate_server::tenant::TenantId;
use tonic::Code;

use crate::harness::TestServer;
use crate::harness::build::{block, budget, create, event, id, key, record, reserve, rule, session};
use crate::harness::outage::OwnPostgres;
use crate::harness::refusal::reason;
use crate::harness::wait::until;
use crate::metrics::get;

/// Longest time until an outage is known: `ledger.degraded_after`, and as much again for a loaded machine.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);
/// Longest time of an answer once it is known.
const AT_ONCE: Duration = Duration::from_millis(500);

fn config() -> Config {
    let mut config = Config::default();
    config.metrics.listen = Some("127.0.0.1:0".parse().unwrap());
    config
}

fn team(name: &str) -> v1::Dimensions {
    v1::Dimensions { team_id: name.to_owned(), user_id: "ann".to_owned(), ..session("s") }
}

fn of_team(name: &str, mut budget: v1::Budget) -> v1::Budget {
    let values = vec![name.to_owned()];
    budget.selector = vec![v1::DimensionMatch { key: Some(key("team_id")), values, ..Default::default() }];
    budget
}

async fn check(server: &TestServer, request: v1::CheckBudgetRequest) -> v1::CheckBudgetResponse {
    server.budgets.clone().check_budget(request).await.unwrap().into_inner()
}

async fn comes_back(server: &TestServer, dimensions: &v1::Dimensions) -> v1::CheckBudgetResponse {
    until("checks are answered with the database", || async {
        let answer = check(server, reserve(dimensions.clone(), 1_000, 1_000)).await;
        (!answer.degraded).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn decision_14_checks_are_answered_by_the_choices_of_the_budgets_and_all_is_right_after_the_return() {
    let mut postgres = OwnPostgres::start().await;
    let mut server = TestServer::over(postgres.options(), &config()).await;
    let soft = |id: &str| v1::Budget { rules: vec![rule("0.8", v1::Action::Alert)], ..budget(id, "1") };
    let open = v1::Budget { unavailable: v1::Choice::Allow.into(), ..budget("open", "1") };
    let closed = v1::Budget { unavailable: v1::Choice::Deny.into(), ..soft("closed") };
    let shadow = v1::Budget { mode: v1::budget::Mode::Shadow.into(), rules: vec![block()], ..budget("shadow", "1") };
    let per_user = v1::Budget { per: vec![key("user_id")], ..soft("per-user") };
    for (name, budget) in [
        ("hard", budget("hard", "1")),
        ("soft", soft("soft")),
        ("open", open),
        ("closed", closed),
        ("shadow", shadow),
        ("per-user", per_user),
    ] {
        server.budgets.create_budget(create(of_team(name, budget))).await.unwrap();
    }
    let held = check(&server, reserve(team("soft"), 1_000, 1_000)).await;
    assert!(!held.degraded && held.reservation.is_some());
    let spent = server.usage.record_usage(record(event(team("soft"), 1_000, 0))).await.unwrap().into_inner();
    assert!(get(&server, "/ready").await.starts_with("HTTP/1.1 200"));

    postgres.stop().await;
    let began = Instant::now();
    let first = check(&server, reserve(team("soft"), 1_000, 1_000)).await;
    assert!(began.elapsed() < KNOWN_WITHIN, "{:?}", began.elapsed());
    assert_eq!((first.degraded, first.decision()), (true, v1::Decision::Allowed), "{}", first.explanation);
    assert_eq!(first.reservation, None);
    let seen = &first.budgets[0];
    assert_eq!((seen.budget_id.as_str(), seen.spent.as_str(), seen.held.as_str()), ("soft", "0.0025", "0.0125"));
    assert_eq!(spent.budgets[0].spent, "0.0025");
    assert_eq!(first.estimate.as_ref().unwrap().usd, "0.0125");

    let (allowed, denied) = (v1::Decision::Allowed, v1::Decision::Denied);
    let expected = [
        ("hard", denied, "UNAVAILABLE", true),
        ("soft", allowed, "", false),
        ("open", allowed, "", false),
        ("closed", denied, "UNAVAILABLE", true),
        ("shadow", allowed, "", true),
        ("per-user", allowed, "", false),
    ];
    for (name, decision, reason, refused) in expected {
        for mode in [v1::CheckMode::Peek, v1::CheckMode::Reserve, v1::CheckMode::ReserveHeadroom] {
            let mut request = reserve(team(name), 1_000, 1_000);
            request.mode = mode.into();
            if mode == v1::CheckMode::Peek {
                request.reservation_id.clear();
            }
            let began = Instant::now();
            let answer = check(&server, request).await;
            assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
            assert_eq!(
                (answer.degraded, answer.decision(), answer.reason.as_str()),
                (true, decision, reason),
                "{name}"
            );
            assert_eq!((answer.budgets.len(), answer.budgets[0].refused), (1, refused), "{name}");
            assert!(answer.reservation.is_none());
        }
    }
    let nobody = check(&server, reserve(team("nobody"), 1_000, 1_000)).await;
    assert_eq!((nobody.degraded, nobody.decision(), nobody.budgets.len()), (true, allowed, 0));
    // Of a counter that this replica never saw there is nothing to tell; zeros would be a lie.
    let unknown = &check(&server, reserve(team("per-user"), 1_000, 1_000)).await.budgets[0];
    assert_eq!((unknown.limit.as_str(), unknown.per_values["user_id"].as_str()), ("1", "ann"));
    assert_eq!([&unknown.spent, &unknown.held, &unknown.presumed, &unknown.available], ["", "", "", ""]);

    let lost = event(team("hard"), 1_000, 1_000);
    let error = server.usage.record_usage(record(lost.clone())).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
    let extend = v1::ExtendReservationRequest {
        reservation_id: held.reservation.as_ref().unwrap().reservation_id.clone(),
        sequence: 1,
        ..Default::default()
    };
    let error = server.budgets.extend_reservation(extend.clone()).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
    let summary = v1::GetSummaryRequest {
        start_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        end_time: Some(prost_types::Timestamp { seconds: 1_700_086_400, nanos: 0 }),
        ..Default::default()
    };
    let error = server.usage.get_summary(summary).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
    let ready = get(&server, "/ready").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("the database is away"), "{ready}");
    assert!(get(&server, "/metrics").await.contains("tollgate_database_away 1\n"));

    postgres.start_again().await;
    let back = Instant::now();
    let answer = comes_back(&server, &team("hard")).await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    assert_eq!((answer.decision(), answer.budgets[0].held.as_str()), (allowed, "0.0125"));
    for result in [v1::RecordResult::Recorded, v1::RecordResult::Duplicate] {
        // The first may have been recorded by the try before: what was not acknowledged may still count, but once.
        let again = server.usage.record_usage(record(lost.clone())).await.unwrap().into_inner();
        assert!(again.result() == result || again.result() == v1::RecordResult::Duplicate);
    }
    server.budgets.extend_reservation(extend).await.unwrap();
    let text = get(&server, "/metrics").await;
    assert!(text.contains("tollgate_database_away 0\n"), "{text}");
    assert!(get(&server, "/ready").await.starts_with("HTTP/1.1 200"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_replica_that_was_never_asked_knows_the_budgets_all_the_same() {
    let mut postgres = OwnPostgres::start().await;
    let first = TestServer::over(postgres.options(), &config()).await;
    let second = TestServer::over(postgres.options(), &config()).await;
    first.budgets.clone().create_budget(create(of_team("hard", budget("hard", "1")))).await.unwrap();
    let ledger = &second.running.as_ref().unwrap().app.ledger;
    until("the second replica hears of the budget", || async {
        ledger.last_known_budgets(TenantId::LOCAL).filter(|known| !known.budgets.is_empty())
    })
    .await;
    postgres.stop().await;
    let answer = check(&second, reserve(team("hard"), 1, 1)).await;
    assert_eq!((answer.degraded, answer.reason.as_str()), (true, "UNAVAILABLE"));
    postgres.start_again().await;
    assert_eq!(comes_back(&second, &team("hard")).await.decision(), v1::Decision::Allowed);
    let error = second.budgets.clone().get_reservation(v1::GetReservationRequest { reservation_id: id() }).await;
    assert_eq!(error.unwrap_err().code(), Code::NotFound);
}
