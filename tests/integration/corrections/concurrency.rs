//! Corrections at the same time, on one replica and on two, beside the calls that go on.

use futures::future::join_all;
use tollgate_proto::v1;
use tollgate_proto::v1::amend_usage_request::Change;
use tollgate_server::config::{Config, LiveConfig};
use tonic::Code;

use super::*;
use crate::harness::build::tokens;

#[tokio::test]
async fn of_concurrent_amendments_of_one_event_exactly_one_wins_per_revision() {
    let first = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1")]).await;
    let second = first.replica().await;
    let told = by_ada();
    send(&first, &told).await;
    for revision in 1..=4 {
        let tries = (0..16).map(|number| {
            let server = if number % 2 == 0 { &first } else { &second };
            let to = who(&format!("user{}", number % 3), &format!("s{}", number % 5), "planner");
            try_amend(server, amendment(&told, revision, Change::Reattribute(to)))
        });
        let answers = join_all(tries).await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        let lost = answers.iter().filter_map(|answer| answer.as_ref().err()).map(tonic::Status::code);
        assert_eq!((won, lost.filter(|code| *code == Code::Aborted).count()), (1, 15));
    }
    assert_eq!(get(&second, &told).await.revision, 5);
    first.assert_audit_holds().await;
}

#[tokio::test]
async fn the_same_request_on_two_replicas_corrects_once() {
    let first = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1")]).await;
    let second = first.replica().await;
    let told = by_ada();
    send(&first, &told).await;
    let request = amendment(&told, 1, Change::Reattribute(who("bob", "s2", "writer")));
    let tries = (0..12).map(|number| try_amend(if number % 2 == 0 { &first } else { &second }, request.clone()));
    for answer in join_all(tries).await {
        assert_eq!(answer.unwrap().revision, 2);
    }
    assert_eq!(spent(&first, "usd").await, counters(&[("ada", "0", "0"), ("bob", "0.0125", "0")]));
    first.assert_audit_holds().await;
}

#[tokio::test]
async fn corrections_and_recording_on_two_replicas_leave_nothing_adrift() {
    let first = with_budgets(vec![
        per_user("usd", v1::Unit::Usd, "0.05"),
        per_user("attempts", v1::Unit::Attempts, "3"),
        daily("daily", "0.1"),
    ])
    .await;
    let second = first.replica().await;
    let told: Vec<v1::UsageEvent> = (0..40)
        .map(|number| {
            let day = 1 + number % 4;
            let whose = who(&format!("user{}", number % 3), &format!("s{}", number % 7), "planner");
            event_at(&format!("2026-05-0{day}T11:07:13Z"), whose, ONE_CALL)
        })
        .collect();
    join_all(told.iter().map(|event| send(&first, event))).await;
    let amended = told.iter().enumerate().map(|(number, event)| {
        let server = if number % 2 == 0 { &first } else { &second };
        let other = &told[(number + 1) % told.len()];
        let change = match number % 4 {
            0 => Change::Cancel(true),
            1 => Change::Reattribute(other.dimensions.clone().unwrap()),
            2 => Change::Replacement(v1::UsageEvent { start_time: other.start_time, ..event.clone() }),
            _ => Change::Replacement(v1::UsageEvent {
                usage: Some(v1::usage_event::Usage::Tokens(tokens(5_000, 50))),
                ..event.clone()
            }),
        };
        async move {
            amend(server, amendment(event, 1, change.clone())).await;
            let back = amendment(event, 2, Change::Replacement(event.clone()));
            if number % 3 == 0 { amend(server, back).await.revision } else { 2 }
        }
    });
    let recorded = (0..40).map(|number| {
        let server = if number % 2 == 0 { &second } else { &first };
        let whose = who(&format!("user{}", number % 4), &format!("s{}", number % 5), "writer");
        async move { send(server, &event_at("2026-05-02T08:00:00Z", whose, ONE_CALL)).await }
    });
    let (revisions, _) = futures::join!(join_all(amended), join_all(recorded));
    for (event, revision) in told.iter().zip(revisions) {
        assert_eq!(get(&first, event).await.revision, revision);
    }
    first.assert_audit_holds().await;
}

/// Watches two sessions on `watching`, moves an event from one to the other on `amending`, and waits for both to say so.
async fn assert_totals_move(amending: &TestServer, watching: &TestServer) {
    let told = by_ada();
    send(amending, &told).await;
    let scope = |name: &str| v1::WatchScope {
        key: name.to_owned(),
        scope: Some(v1::watch_scope::Scope::SessionId(name.to_owned())),
        ..Default::default()
    };
    let request = v1::StreamUsageRequest { scopes: vec![scope("s1"), scope("s2")], ..Default::default() };
    let mut feed = watching.usage.clone().stream_usage(request).await.unwrap().into_inner();
    assert!(feed.message().await.unwrap().unwrap().snapshot);
    amend(amending, amendment(&told, 1, Change::Reattribute(who("bob", "s2", "writer")))).await;
    let mut seen = BTreeMap::new();
    let moved = BTreeMap::from([("s1".to_owned(), "0".to_owned()), ("s2".to_owned(), "0.0125".to_owned())]);
    crate::harness::wait::bounded("the totals move", async {
        while seen != moved {
            for scope in feed.message().await.unwrap().unwrap().scopes {
                seen.insert(scope.key, scope.totals.unwrap().usd);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn live_totals_follow_a_correction_at_once() {
    // Nothing is read for the time alone: only the correction itself can tell of it.
    let live = LiveConfig { poll_interval: std::time::Duration::from_secs(86_400), ..LiveConfig::default() };
    let server = TestServer::configured(&Config { live, ..Config::default() }).await;
    assert_totals_move(&server, &server).await;
}

#[tokio::test]
async fn live_totals_follow_a_correction_on_another_replica() {
    let first = with_budgets(Vec::new()).await;
    let second = first.replica().await;
    assert_totals_move(&first, &second).await;
}
