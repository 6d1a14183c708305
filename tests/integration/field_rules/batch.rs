//! BatchRecordUsage.

use tollgate_proto::v1;
use tollgate_proto::v1::batch_record_usage_response::item::Item;
use tonic::Code;

use super::record::assert_nothing_was_recorded;
use super::{assert_refused, case};
use crate::harness::TestServer;
use crate::harness::build::{event, session, tokens};

#[tokio::test]
async fn a_bad_item_of_a_batch_fails_alone() {
    let server = TestServer::start().await;
    let mut events: Vec<v1::UsageEvent> = (0..5).map(|_| event(session("s1"), 1_000, 1_000)).collect();
    events[1].request_model = None;
    events[1].usage = Some(v1::usage_event::Usage::Tokens(tokens(-1, 1)));
    events[3].usage = Some(v1::usage_event::Usage::ProviderUsage(v1::ProviderUsage::default()));
    let batch = v1::BatchRecordUsageRequest { events, ..Default::default() };
    let answer = server.usage.clone().batch_record_usage(batch).await.unwrap().into_inner();
    let items: Vec<Item> = answer.items.into_iter().map(|item| item.item.unwrap()).collect();
    let recorded = |item: &Item| matches!(item, Item::Ok(one) if one.result() == v1::RecordResult::Recorded);
    assert_eq!(items.iter().map(recorded).collect::<Vec<_>>(), [true, false, true, false, true], "{items:#?}");
    let (Item::Error(broken), Item::Error(unread)) = (&items[1], &items[3]) else { panic!("{items:#?}") };
    assert_eq!((broken.code, broken.reason.as_str()), (Code::InvalidArgument as i32, "INVALID_FIELD"));
    let fields: Vec<&str> = broken.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["tokens.total_input_tokens", "request_model.model"], "paths from the event on");
    assert!(!broken.retryable && !broken.message.is_empty());
    let fields: Vec<&str> = unread.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["provider_usage.api"]);
    let listed = server.usage.clone().list_usage(v1::ListUsageRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.records.len(), 3);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_batch_has_1_to_500_events() {
    let server = TestServer::start().await;
    let good = v1::BatchRecordUsageRequest { events: vec![event(session("s1"), 1, 1)], ..Default::default() };
    let cases = vec![
        case("no event", &["events"], |batch: &mut v1::BatchRecordUsageRequest| batch.events.clear()),
        case("501 events", &["events"], |batch: &mut v1::BatchRecordUsageRequest| {
            batch.events = vec![batch.events[0].clone(); 501];
        }),
        case("an unknown view", &["view"], |batch: &mut v1::BatchRecordUsageRequest| batch.view = 99),
    ];
    assert_refused(&good, cases, |request| {
        let mut usage = server.usage.clone();
        async move { usage.batch_record_usage(request).await }
    })
    .await;
    assert_nothing_was_recorded(&server).await;

    let events = (0..500).map(|_| event(session("s1"), 1, 1)).collect();
    let batch = v1::BatchRecordUsageRequest { events, view: v1::ResponseView::Ack.into() };
    let answer = server.usage.clone().batch_record_usage(batch).await.unwrap().into_inner();
    let recorded = answer.items.iter().filter(|item| matches!(item.item, Some(Item::Ok(_)))).count();
    assert_eq!(recorded, 500);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_message_above_1_mib_is_refused_by_the_transport() {
    let server = TestServer::start().await;
    let large = |_| {
        let mut event = event(session("s1"), 1, 1);
        event.metadata_json = format!("\"{}\"", "x".repeat(4_000));
        event
    };
    let batch = v1::BatchRecordUsageRequest { events: (0..300).map(large).collect(), ..Default::default() };
    let refused = server.usage.clone().batch_record_usage(batch).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    assert_nothing_was_recorded(&server).await;
}
