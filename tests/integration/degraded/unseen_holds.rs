//! Holds that were made although their callers were told that nothing is held.

use tollgate_proto::v1;
use tollgate_server::ledger::Withdrawal;
use tollgate_server::tenant::TenantId;

use super::{check, comes_back, config, of_team, team};
use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, record, reserve, settling};
use crate::harness::outage::{Line, OwnPostgres};
use crate::harness::time::from_wire;
use crate::harness::wait::{bounded, until};
use crate::metrics::get;

fn open() -> v1::Budget {
    of_team("open", v1::Budget { unavailable: v1::Choice::Allow.into(), ..budget("open", "1") })
}

async fn held(server: &TestServer) -> String {
    let request = v1::ListBudgetStatesRequest { budget_id: "open".to_owned(), ..Default::default() };
    server.budgets.clone().list_budget_states(request).await.unwrap().into_inner().states.remove(0).held
}

async fn reservation(server: &TestServer, id: &str) -> v1::Reservation {
    let request = v1::GetReservationRequest { reservation_id: id.to_owned() };
    server.budgets.clone().get_reservation(request).await.unwrap().into_inner().reservation.unwrap()
}

async fn is_released(server: &TestServer, id: &str) {
    until("the unseen hold is released", || async {
        (reservation(server, id).await.state() == v1::reservation::State::Released).then_some(())
    })
    .await;
    let reason = reservation(server, id).await.end_reason;
    assert_eq!(reason, "its check was answered while the database was away");
}

/// The database has committed the hold, and its word of that is lost with everything after it.
#[tokio::test]
async fn a_hold_whose_commit_was_not_heard_of_is_released_after_the_return() {
    let postgres = OwnPostgres::start().await;
    let line = Line::to(&postgres.options());
    let server = TestServer::over(line.options(&postgres.options()), &config()).await;
    server.budgets.clone().create_budget(create(open())).await.unwrap();
    let before = check(&server, reserve(team("open"), 1_000, 1_000)).await.reservation.unwrap();
    let request = reserve(team("open"), 1_000, 1_000);
    line.fall_silent_after_commit_of(request.reservation_id.parse().unwrap());
    let answer = bounded("an answer without the database", check(&server, request.clone())).await;
    bounded("a commit", line.is_silent()).await;
    assert_eq!((answer.degraded, answer.decision()), (true, v1::Decision::Allowed));
    assert_eq!(answer.budgets[0].held, "0.0125", "the last known figure is that of before");
    line.restore();
    comes_back(&server, &team("nobody")).await;
    is_released(&server, &request.reservation_id).await;
    assert_eq!(held(&server).await, "0.0125", "only the hold that its caller knows of is left");
    assert_eq!(reservation(&server, &before.reservation_id).await.state(), v1::reservation::State::Pending);
    assert!(get(&server, "/metrics").await.contains("tollgate_withdrawn_holds_total{outcome=\"released\"} 1\n"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_hold_of_an_earlier_try_of_the_same_check_is_released_after_the_return() {
    let mut postgres = OwnPostgres::start().await;
    let mut server = TestServer::over(postgres.options(), &config()).await;
    server.budgets.create_budget(create(open())).await.unwrap();
    let [lost, used] = [0, 1].map(|_| reserve(team("open"), 1_000, 1_000));
    for request in [&lost, &used] {
        assert!(check(&server, request.clone()).await.reservation.is_some());
    }
    // Somebody goes on with the second one.
    let mut attempt = settling(event(team("open"), 1_000, 0), &used.reservation_id);
    attempt.reservation.as_mut().unwrap().keep_open = true;
    server.usage.record_usage(record(attempt)).await.unwrap();
    postgres.stop().await;
    for request in [&lost, &used] {
        assert!(check(&server, request.clone()).await.degraded);
    }
    let fresh = reserve(team("open"), 1_000, 1_000);
    assert!(check(&server, fresh.clone()).await.degraded);
    postgres.start_again().await;
    comes_back(&server, &team("nobody")).await;
    // The id was not used up by the degraded answer, and what it holds from now on stays.
    let asked_again = check(&server, fresh.clone()).await;
    assert!(asked_again.reservation.is_some(), "{}", asked_again.explanation);
    is_released(&server, &lost.reservation_id).await;
    assert_eq!(reservation(&server, &used.reservation_id).await.state(), v1::reservation::State::Pending);
    assert_eq!(reservation(&server, &fresh.reservation_id).await.state(), v1::reservation::State::Pending);
    assert_eq!(held(&server).await, "0.0225");
    server.assert_audit_holds().await;
}

/// Another replica, which was there all the time, has told the caller of the hold meanwhile.
#[tokio::test]
async fn a_hold_that_its_caller_was_told_of_again_is_left() {
    let server = TestServer::start().await;
    let other = server.replica().await;
    server.budgets.clone().create_budget(create(open())).await.unwrap();
    let [told, untold] = [0, 1].map(|_| reserve(team("open"), 1_000, 1_000));
    let mut answered = None;
    for request in [&told, &untold] {
        answered = check(&server, request.clone()).await.reservation;
    }
    // The clock of the database: as if both had been answered without it now.
    let made = from_wire(&answered.unwrap().create_time.unwrap());
    let told_before = made.checked_add(jiff::SignedDuration::from_micros(1)).unwrap();
    assert!(check(&other, told.clone()).await.reservation.is_some());
    let ledger = &server.running.as_ref().unwrap().app.ledger;
    for (request, unseen) in [(&told, false), (&untold, true)] {
        let id = request.reservation_id.parse().unwrap();
        let withdrawal = Withdrawal { tenant: TenantId::LOCAL, id, told_before };
        assert_eq!(ledger.withdraw(withdrawal).await.unwrap(), unseen);
    }
    assert_eq!(reservation(&server, &told.reservation_id).await.state(), v1::reservation::State::Pending);
    is_released(&server, &untold.reservation_id).await;
    server.assert_audit_holds().await;
}
