//! Corrections of events that a reservation paid for: the reservation stays as it ended.

use tollgate_proto::v1;
use tollgate_proto::v1::amend_usage_request::Change;

use super::*;
use crate::harness::build::{reserve, settling, tokens};
use crate::harness::refusal::Refusal;

async fn reservation(server: &TestServer, id: &str) -> v1::Reservation {
    let request = v1::GetReservationRequest { reservation_id: id.to_owned() };
    let mut found = server.budgets.clone().get_reservation(request).await.unwrap().into_inner().reservation.unwrap();
    // The time that is left moves by itself.
    found.remaining_ttl = None;
    found
}

#[tokio::test]
async fn an_event_settled_on_a_reservation_is_corrected_and_the_reservation_stays() {
    let hard = v1::Budget { rules: vec![crate::harness::build::block()], ..per_user("usd", v1::Unit::Usd, "0.1") };
    let server = with_budgets(vec![hard]).await;
    let check = reserve(who("ada", "s1", "planner"), 1_000, 1_000);
    let held = check.reservation_id.clone();
    server.budgets.clone().check_budget(check).await.unwrap();
    let told = settling(event(who("liar", "s9", "other"), ONE_CALL.0, ONE_CALL.1), &held);
    send(&server, &told).await;
    let settled = reservation(&server, &held).await;
    assert_eq!(settled.state(), v1::reservation::State::Settled);

    // With a reservation the dimensions come from it, in a replacement too.
    let more = v1::UsageEvent {
        reservation: None,
        usage: Some(v1::usage_event::Usage::Tokens(tokens(3_000, 1_000))),
        start_time: Some(crate::harness::time::seconds_from_now(-3_600)),
        ..told.clone()
    };
    let answer = amend(&server, amendment(&told, 1, Change::Replacement(more))).await;
    assert_eq!((answer.revision, answer.usd_delta.as_str()), (2, "0.005"));
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0.0175", "0")]));
    let record = get(&server, &told).await;
    let event = record.event.unwrap();
    assert_eq!(event.dimensions.unwrap().user_id, "ada");
    assert_eq!(event.reservation.unwrap().reservation_id, held);
    assert_eq!(record.charge_time, settled.create_time, "pinned to the window in which it was made");
    server.assert_audit_holds().await;

    let answer = amend(&server, amendment(&told, 2, Change::Reattribute(who("bob", "s2", "writer")))).await;
    assert_eq!(answer.budgets.len(), 2);
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0", "0"), ("bob", "0.0175", "0")]));
    amend(&server, amendment(&told, 3, Change::Cancel(true))).await;
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0", "0"), ("bob", "0", "0")]));
    assert_eq!(reservation(&server, &held).await, settled);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn an_open_reservation_keeps_its_hold_while_its_event_is_corrected() {
    let hard = v1::Budget { rules: vec![crate::harness::build::block()], ..per_user("usd", v1::Unit::Usd, "0.1") };
    let server = with_budgets(vec![hard]).await;
    let check = reserve(who("ada", "s1", "planner"), 4_000, 4_000);
    let held = check.reservation_id.clone();
    server.budgets.clone().check_budget(check).await.unwrap();
    let mut told = settling(event(v1::Dimensions::default(), ONE_CALL.0, ONE_CALL.1), &held);
    told.reservation.as_mut().unwrap().keep_open = true;
    send(&server, &told).await;
    let answer = amend(&server, amendment(&told, 1, Change::Cancel(true))).await;
    assert_eq!((answer.budgets[0].spent.as_str(), answer.budgets[0].held.as_str()), ("0", "0.0375"));
    let last = settling(event(v1::Dimensions::default(), ONE_CALL.0, ONE_CALL.1), &held);
    send(&server, &last).await;
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0.0125", "0")]));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_replacement_keeps_key_and_reservation() {
    let server = with_budgets(Vec::new()).await;
    let told = by_ada();
    send(&server, &told).await;
    let settles = settling(told.clone(), &id());
    let other = v1::UsageEvent { key: Some(v1::usage_event::Key::EventId(id())), ..told.clone() };
    for (replacement, field) in [(settles, "replacement.reservation"), (other, "replacement.event_id")] {
        let refused = try_amend(&server, amendment(&told, 1, Change::Replacement(replacement))).await.unwrap_err();
        assert_eq!(Refusal::of(&refused), Refusal::new(tonic::Code::InvalidArgument, "INVALID_FIELD", &[field]));
    }
    assert_eq!(costs(&get(&server, &told).await), (1, "0.0125", "0.0125"));
}

#[tokio::test]
async fn an_event_of_another_system_is_corrected_by_its_id() {
    let server = with_budgets(Vec::new()).await;
    let key = v1::ExternalKey { source: "litellm".to_owned(), key: "k1".to_owned() };
    let told = v1::UsageEvent { key: Some(v1::usage_event::Key::ExternalKey(key)), ..by_ada() };
    let event_id = send(&server, &told).await.event_id;
    let named = v1::UsageEvent { key: Some(v1::usage_event::Key::EventId(event_id)), ..told.clone() };
    for (revision, replacement) in [(1, told.clone()), (2, named.clone()), (3, v1::UsageEvent { key: None, ..told })] {
        amend(&server, amendment(&named, revision, Change::Replacement(replacement))).await;
    }
    let record = get(&server, &named).await;
    assert_eq!(record.revision, 4);
    assert!(matches!(record.event.unwrap().key, Some(v1::usage_event::Key::ExternalKey(_))));
    server.assert_audit_holds().await;
}
