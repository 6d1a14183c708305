//! What a key puts into every call, and the key itself as a dimension.

use tollgate_domain::dimensions::{Dimension, Dimensions};
use tollgate_proto::v1;
use tollgate_server::app::keys::NewKey;
use tollgate_server::auth::Permission;
use tollgate_server::tenant::TenantId;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, id, key, record, reserve, settling, user};
use crate::harness::keys::{Clients, Issued, holding, keyed};
use crate::harness::time::seconds_from_now;

const EVERYTHING_BUT_ADMIN: [Permission; 4] =
    [Permission::Record, Permission::Check, Permission::Read, Permission::Budgets];

/// A key that pins a user.
async fn pinned(server: &TestServer, user_id: &str) -> (Issued, Clients) {
    let pinned = Dimensions::default().with(Dimension::UserId, user_id);
    let issued = server.issue(TenantId::LOCAL, NewKey { pinned, ..holding(&EVERYTHING_BUT_ADMIN) }).await;
    let clients = server.showing(&issued.secret);
    (issued, clients)
}

async fn usage(clients: &Clients, event_id: &str) -> v1::UsageRecord {
    let key = Some(v1::get_usage_request::Key::EventId(event_id.to_owned()));
    clients.usage.clone().get_usage(v1::GetUsageRequest { key }).await.unwrap().into_inner().record.unwrap()
}

fn user_of(record: &v1::UsageRecord) -> String {
    record.event.clone().unwrap().dimensions.unwrap().user_id
}

fn event_id(event: &v1::UsageEvent) -> String {
    match event.key.clone().unwrap() {
        v1::usage_event::Key::EventId(id) => id,
        v1::usage_event::Key::ExternalKey(key) => panic!("{key:?}"),
    }
}

#[tokio::test]
async fn the_pin_wins_over_what_is_recorded_checked_and_corrected() {
    let server = TestServer::configured(&keyed()).await;
    let (issued, clients) = pinned(&server, "ann").await;
    let single = event(user("mallory"), 10, 10);
    clients.usage.clone().record_usage(record(single.clone())).await.unwrap();
    let batched = event(v1::Dimensions::default(), 10, 10);
    let batch = v1::BatchRecordUsageRequest { events: vec![batched.clone()], view: 0 };
    clients.usage.clone().batch_record_usage(batch).await.unwrap();
    for event in [&single, &batched] {
        let recorded = usage(&clients, &event_id(event)).await;
        assert_eq!((user_of(&recorded).as_str(), &recorded.api_key_id), ("ann", &issued.id));
    }
    let change = v1::amend_usage_request::Change::Reattribute(user("mallory"));
    for (revision, change) in
        [(1, change), (2, v1::amend_usage_request::Change::Replacement(event(user("mallory"), 20, 20)))]
    {
        let mut change = change;
        if let v1::amend_usage_request::Change::Replacement(event) = &mut change {
            event.key = None;
        }
        let amend = v1::AmendUsageRequest {
            request_id: id(),
            event_id: event_id(&single),
            expected_revision: revision,
            reason: "test".to_owned(),
            change: Some(change),
            ..Default::default()
        };
        clients.usage.clone().amend_usage(amend).await.unwrap();
        let corrected = usage(&clients, &event_id(&single)).await;
        assert_eq!((user_of(&corrected).as_str(), &corrected.api_key_id), ("ann", &issued.id), "{revision}");
    }

    clients.budgets.clone().create_budget(create(budget("all", "10"))).await.unwrap();
    let held = clients.budgets.clone().check_budget(reserve(user("mallory"), 10, 10)).await.unwrap().into_inner();
    let reservation = held.reservation.unwrap();
    assert_eq!((reservation.dimensions.unwrap().user_id.as_str(), &reservation.api_key_id), ("ann", &issued.id));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_correction_does_not_change_which_key_made_the_call() {
    let server = TestServer::configured(&keyed()).await;
    let caller = server.key(&EVERYTHING_BUT_ADMIN).await;
    let other = server.key(&EVERYTHING_BUT_ADMIN).await;
    let first = event(user("ann"), 10, 10);
    server.showing(&caller.secret).usage.record_usage(record(first.clone())).await.unwrap();
    let mut replacement = event(user("bob"), 20, 20);
    replacement.key = None;
    let amend = v1::AmendUsageRequest {
        request_id: id(),
        event_id: event_id(&first),
        expected_revision: 1,
        reason: "test".to_owned(),
        change: Some(v1::amend_usage_request::Change::Replacement(replacement)),
        ..Default::default()
    };
    let corrector = server.showing(&other.secret);
    corrector.usage.clone().amend_usage(amend).await.unwrap();
    let corrected = usage(&corrector, &event_id(&first)).await;
    assert_eq!((user_of(&corrected).as_str(), &corrected.api_key_id), ("bob", &caller.id));
    // What is charged now is the first caller's, too.
    let by_key = v1::GetSummaryRequest {
        start_time: Some(seconds_from_now(-3_600)),
        end_time: Some(seconds_from_now(3_600)),
        cost_basis: v1::CostBasis::Current.into(),
        group_by: vec![key("api_key_id")],
        ..Default::default()
    };
    let summary = corrector.usage.clone().get_summary(by_key).await.unwrap().into_inner();
    let tokens = |row: &v1::get_summary_response::Row| {
        row.measures.clone().unwrap().totals.unwrap().tokens.unwrap().total_input_tokens
    };
    let charged: Vec<_> = summary.rows.iter().filter(|row| tokens(row) != 0).collect();
    let of_caller = v1::GroupValue { kind: Some(v1::group_value::Kind::Value(caller.id)) };
    assert_eq!(charged.iter().map(|row| (&row.groups, tokens(row))).collect::<Vec<_>>(), [(&vec![of_caller], 20)]);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_7_a_retry_with_another_key_is_the_same_event_and_the_same_check() {
    let server = TestServer::configured(&keyed()).await;
    let (one, two) = (server.key(&EVERYTHING_BUT_ADMIN).await, server.key(&EVERYTHING_BUT_ADMIN).await);
    let (first, second) = (server.showing(&one.secret), server.showing(&two.secret));
    first.budgets.clone().create_budget(create(budget("all", "10"))).await.unwrap();
    let told = event(user("ann"), 10, 10);
    first.usage.clone().record_usage(record(told.clone())).await.unwrap();
    let again = second.usage.clone().record_usage(record(told.clone())).await.unwrap().into_inner();
    assert_eq!(again.result(), v1::RecordResult::Duplicate);
    let recorded = usage(&second, &event_id(&told)).await;
    assert_eq!(recorded.api_key_id, one.id, "the first telling stands");

    let check = reserve(user("ann"), 10, 10);
    let held = first.budgets.clone().check_budget(check.clone()).await.unwrap().into_inner().reservation.unwrap();
    let again = second.budgets.clone().check_budget(check).await.unwrap().into_inner().reservation.unwrap();
    assert_eq!((again.reservation_id, again.api_key_id), (held.reservation_id.clone(), one.id.clone()));
    let settled = settling(event(user("ann"), 10, 10), &held.reservation_id);
    second.usage.clone().record_usage(record(settled.clone())).await.unwrap();
    let settled = usage(&second, &event_id(&settled)).await;
    assert_eq!(settled.api_key_id, one.id, "with a reservation, its dimensions count");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_budget_may_be_that_of_a_key() {
    let server = TestServer::configured(&keyed()).await;
    let (one, two) = (server.key(&EVERYTHING_BUT_ADMIN).await, server.key(&EVERYTHING_BUT_ADMIN).await);
    let (first, second) = (server.showing(&one.secret), server.showing(&two.secret));
    let mut of_one = budget("of-one", "0.0001");
    of_one.selector =
        vec![v1::DimensionMatch { key: Some(key("api_key_id")), values: vec![one.id], ..Default::default() }];
    first.budgets.clone().create_budget(create(of_one)).await.unwrap();
    let check = || reserve(user("ann"), 1_000, 1_000);
    let refused = first.budgets.clone().check_budget(check()).await.unwrap().into_inner();
    assert_eq!(refused.decision(), v1::Decision::Denied);
    let allowed = second.budgets.clone().check_budget(check()).await.unwrap().into_inner();
    assert_eq!(allowed.decision(), v1::Decision::Allowed);
}
