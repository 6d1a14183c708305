//! Reservations that ran out without a word of what became of their calls, as they are listed and reported.

use std::process::{Output, Stdio};

use serde_json::Value;
use tollgate_proto::v1;

use super::{held, release, run_out};
use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, record, reserve, session, settling};
use crate::harness::time::seconds_from_now;

fn of(user_id: &str, session_id: &str) -> v1::Dimensions {
    v1::Dimensions { user_id: user_id.to_owned(), ..session(session_id) }
}

async fn listed(server: &TestServer, request: v1::ListReservationsRequest) -> Vec<v1::Reservation> {
    server.budgets.clone().list_reservations(request).await.unwrap().into_inner().reservations
}

async fn command(server: &TestServer, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.env_clear().env("TOLLGATE_URL", &server.url).stdin(Stdio::null());
    command.arg("reservations").args(arguments).output().await.unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test]
async fn orphans_are_listed_with_their_context_and_summed_up() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "1"))).await.unwrap();
    let none = command(&server, &["orphans"]).await;
    assert_eq!(none.status.code(), Some(0), "{}", String::from_utf8_lossy(&none.stderr));
    let orphans = [
        held(&server, reserve(of("ann", "s1"), 1_000, 1_000)).await,
        held(&server, reserve(of("ben", "s2"), 1_000, 500)).await,
    ];
    let settled_late = held(&server, reserve(of("ann", "s1"), 1_000, 1_000)).await;
    let released = held(&server, reserve(of("ann", "s1"), 1_000, 1_000)).await;
    for id in orphans.iter().chain([&settled_late]) {
        run_out(&server, id).await;
    }
    server.usage.record_usage(record(settling(event(of("ann", "s1"), 10, 10), &settled_late))).await.unwrap();
    server.budgets.release_reservation(release(&released)).await.unwrap();

    let expired =
        v1::ListReservationsRequest { states: vec![v1::reservation::State::Expired.into()], ..Default::default() };
    let since =
        |seconds| v1::ListReservationsRequest { ended_since: Some(seconds_from_now(seconds)), ..expired.clone() };
    assert_eq!(listed(&server, since(-600)).await.len(), 2);
    assert!(listed(&server, since(600)).await.is_empty());
    let before = v1::ListReservationsRequest { ended_before: Some(seconds_from_now(-600)), ..expired.clone() };
    assert!(listed(&server, before).await.is_empty());
    let found = listed(&server, expired).await;
    let orphan = found.iter().find(|one| one.reservation_id == orphans[0]).unwrap();
    assert_eq!((orphan.worst_input_tokens, orphan.worst_output_tokens), (Some(1_000), Some(1_000)));
    assert_eq!((orphan.worst_usd.as_str(), orphan.parts[0].presumed.as_str()), ("0.0125", "0.0125"));
    assert!(orphan.end_time.is_some() && orphan.dimensions.as_ref().unwrap().user_id == "ann");

    let report = command(&server, &["orphans", "--json"]).await;
    assert_eq!(report.status.code(), Some(1), "somebody should look");
    let report = json(&report);
    assert_eq!((&report["totals"]["count"], &report["more"]), (&2.into(), &false.into()));
    assert_eq!(report["totals"]["worstUsd"], "0.02");
    assert_eq!(report["totals"]["heldAndPresumed"]["UNIT_USD"], "0.02");
    let ben = json(&command(&server, &["orphans", "--json", "--user", "ben", "--since", "2026-01-01"]).await);
    assert_eq!(ben["reservations"][0]["reservationId"], orphans[1]);
    assert_eq!(ben["reservations"][0]["model"], "openai/gpt-4o");
    let table = command(&server, &["list", "--session", "s1", "--state", "released", "--state", "settled-late"]).await;
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains(&released) && table.contains(&settled_late) && !table.contains(&orphans[0]), "{table}");
    assert!(table.contains("2 reservations, worst case 0.025 USD"), "{table}");
    let shown = json(&command(&server, &["show", &orphans[0]]).await);
    assert_eq!((&shown["state"], &shown["userId"]), (&"EXPIRED".into(), &"ann".into()));
}
