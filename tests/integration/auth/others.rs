//! What a key that pins a user can do to what others made: nothing.

use tollgate_domain::dimensions::{Dimension, Dimensions};
use tollgate_proto::v1;
use tollgate_proto::v1::amend_usage_request::Change;
use tollgate_server::app::keys::NewKey;
use tollgate_server::auth::Permission;
use tollgate_server::tenant::TenantId;
use tonic::{Code, Status};

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, id, record, reserve, settling, user};
use crate::harness::keys::{Clients, holding, keyed};
use crate::harness::refusal::reason;

const EVERYTHING_BUT_ADMIN: [Permission; 4] =
    [Permission::Record, Permission::Check, Permission::Read, Permission::Budgets];

/// Whoever may act for every user.
async fn unpinned(server: &TestServer) -> Clients {
    server.showing(&server.key(&EVERYTHING_BUT_ADMIN).await.secret)
}

async fn pinned(server: &TestServer, user_id: &str) -> Clients {
    let pinned = Dimensions::default().with(Dimension::UserId, user_id);
    let issued = server.issue(TenantId::LOCAL, NewKey { pinned, ..holding(&EVERYTHING_BUT_ADMIN) }).await;
    server.showing(&issued.secret)
}

fn id_of(event: &v1::UsageEvent) -> String {
    match event.key.clone().unwrap() {
        v1::usage_event::Key::EventId(id) => id,
        v1::usage_event::Key::ExternalKey(key) => panic!("{key:?}"),
    }
}

async fn usage(clients: &Clients, event: &v1::UsageEvent) -> v1::UsageRecord {
    let key = Some(v1::get_usage_request::Key::EventId(id_of(event)));
    clients.usage.clone().get_usage(v1::GetUsageRequest { key }).await.unwrap().into_inner().record.unwrap()
}

fn user_of(record: &v1::UsageRecord) -> String {
    record.event.clone().unwrap().dimensions.unwrap().user_id
}

fn assert_not_there(refused: &Status, expected: &str) {
    assert_eq!((refused.code(), reason(refused).as_str()), (Code::NotFound, expected), "{refused:?}");
}

async fn get(clients: &Clients, reservation_id: &str) -> Result<v1::Reservation, Status> {
    let request = v1::GetReservationRequest { reservation_id: reservation_id.to_owned() };
    Ok(clients.budgets.clone().get_reservation(request).await?.into_inner().reservation.unwrap())
}

async fn extend(clients: &Clients, reservation_id: &str) -> Result<(), Status> {
    let request =
        v1::ExtendReservationRequest { reservation_id: reservation_id.to_owned(), sequence: 1, ..Default::default() };
    clients.budgets.clone().extend_reservation(request).await.map(drop)
}

async fn release(clients: &Clients, reservation_id: &str) -> Result<(), Status> {
    let request = v1::ReleaseReservationRequest { reservation_id: reservation_id.to_owned(), reason: String::new() };
    clients.budgets.clone().release_reservation(request).await.map(drop)
}

#[tokio::test]
async fn an_event_of_another_user_is_not_there_to_be_amended() {
    let server = TestServer::configured(&keyed()).await;
    let (anybody, ann) = (unpinned(&server).await, pinned(&server, "ann").await);
    let (bobs, nobodys) = (event(user("bob"), 10, 10), event(v1::Dimensions::default(), 10, 10));
    for event in [&bobs, &nobodys] {
        anybody.usage.clone().record_usage(record(event.clone())).await.unwrap();
        let replacement = v1::UsageEvent { key: None, ..event.clone() };
        for change in [Change::Cancel(true), Change::Replacement(replacement), Change::Reattribute(user("ann"))] {
            let amend = v1::AmendUsageRequest {
                request_id: id(),
                event_id: id_of(event),
                expected_revision: 1,
                reason: "test".to_owned(),
                change: Some(change),
                ..Default::default()
            };
            assert_not_there(&ann.usage.clone().amend_usage(amend).await.unwrap_err(), "EVENT_NOT_FOUND");
        }
        let record = usage(&anybody, event).await;
        assert!(!record.cancelled && record.revision == 1, "{record:?}");
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_hold_for_another_user_is_not_there_to_be_ended_and_pays_for_nothing() {
    let server = TestServer::configured(&keyed()).await;
    let (anybody, ann, bob) = (unpinned(&server).await, pinned(&server, "ann").await, pinned(&server, "bob").await);
    anybody.budgets.clone().create_budget(create(budget("all", "10"))).await.unwrap();
    let check = reserve(user("bob"), 1_000, 1_000);
    let held = anybody.budgets.clone().check_budget(check).await.unwrap().into_inner().reservation.unwrap();
    let reservation_id = held.reservation_id.as_str();

    assert_not_there(&extend(&ann, reservation_id).await.unwrap_err(), "RESERVATION_NOT_FOUND");
    assert_not_there(&release(&ann, reservation_id).await.unwrap_err(), "RESERVATION_NOT_FOUND");
    assert_not_there(&get(&ann, reservation_id).await.unwrap_err(), "RESERVATION_NOT_FOUND");

    // What was used is recorded all the same: as the caller's own, without the hold.
    let own = settling(event(user("bob"), 10, 10), reservation_id);
    let told = ann.usage.clone().record_usage(record(own.clone())).await.unwrap().into_inner();
    assert!(told.notices.contains(&"UNRESERVED".to_owned()), "{told:?}");
    let again = ann.usage.clone().record_usage(record(own.clone())).await.unwrap().into_inner();
    assert_eq!(again.result(), v1::RecordResult::Duplicate);
    assert_eq!(user_of(&usage(&anybody, &own).await), "ann");
    let still = get(&bob, reservation_id).await.unwrap();
    assert_eq!((still.state(), &still.parts), (v1::reservation::State::Pending, &held.parts));

    // Whose it is may go on with it, with whatever key.
    extend(&bob, reservation_id).await.unwrap();
    let settled = settling(event(user("bob"), 10, 10), reservation_id);
    bob.usage.clone().record_usage(record(settled.clone())).await.unwrap();
    assert_eq!(user_of(&usage(&anybody, &settled).await), "bob");
    assert_eq!(get(&bob, reservation_id).await.unwrap().state(), v1::reservation::State::Settled);
    server.assert_audit_holds().await;
}
