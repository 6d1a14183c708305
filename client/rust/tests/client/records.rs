//! Batches.

use tollgate_client::v1::batch_record_usage_response::item::Item;
use tollgate_client::v1::{self, ResponseView};
use tollgate_client::{Decimal, Error, Event};

use crate::fake::{Fake, Log, Reply, all_recorded, id, item, recorded, serve};

#[tokio::test]
async fn a_batch_of_any_size_is_answered_in_order() {
    let sizes = Log::new();
    let log = sizes.clone();
    let batch = move |request: v1::BatchRecordUsageRequest| {
        log.add(request.events.len());
        Reply::Answer(all_recorded(&request))
    };
    let server = serve(Fake { batch: Some(Box::new(batch)), ..Fake::default() }).await;
    let events: Vec<_> = (0..1_201).map(|_| Event::chat("openai", "gpt-4o").tokens(1, 1)).collect();
    let results = server.client().await.record_batch(events.clone(), ResponseView::Ack).await;
    assert_eq!(sizes.all(), [500, 500, 201]);
    for (event, result) in events.iter().zip(&results) {
        assert_eq!(event.event_id(), Some(result.as_ref().unwrap().event_id()));
    }
    assert_eq!(results.len(), events.len());
}

#[tokio::test]
async fn each_item_succeeds_or_fails_for_itself() {
    let seen = Log::new();
    let log = seen.clone();
    let batch = move |request: v1::BatchRecordUsageRequest| {
        let first = log.add(request.events.iter().map(id).collect::<Vec<_>>()) == 1;
        let items = request.events.iter().enumerate().map(|(index, event)| match index {
            1 if first => error("QUEUE_FULL", true),
            2 => error("EVENT_TOO_OLD", false),
            _ => item(Item::Ok(recorded(event))),
        });
        Reply::Answer(v1::BatchRecordUsageResponse { items: items.collect() })
    };
    let server = serve(Fake { batch: Some(Box::new(batch)), ..Fake::default() }).await;
    let mut events: Vec<_> = (0..3).map(|_| Event::chat("openai", "gpt-4o")).collect();
    events.push(Event::chat("openai", "gpt-4o").metadata_json("x".repeat(2 * 1024 * 1024)));
    let results = server.client().await.record_batch(events.clone(), ResponseView::Ack).await;
    assert!(results[0].is_ok() && results[1].is_ok());
    assert_eq!(results[2].as_ref().unwrap_err().reason(), "EVENT_TOO_OLD");
    assert!(matches!(&results[3], Err(Error::Refused(refusal)) if refusal.reason() == "INVALID_FIELD"));
    let seen = seen.all();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1], [seen[0][1].clone()], "only what may succeed is sent again, with its id");
}

fn error(reason: &str, retryable: bool) -> v1::batch_record_usage_response::Item {
    item(Item::Error(v1::ItemError { code: 9, reason: reason.to_owned(), retryable, ..Default::default() }))
}

#[tokio::test]
async fn what_has_no_price_costs_nothing_known() {
    let record = |request: v1::RecordUsageRequest| {
        let event = request.event.unwrap();
        let state = if event.operation_name == "chat" { v1::PriceState::Priced } else { v1::PriceState::Unpriced };
        let cost = v1::Cost { state: state.into(), usd: "0.000000000001".to_owned(), ..Default::default() };
        Reply::Answer(v1::RecordUsageResponse { cost: Some(cost), ..recorded(&event) })
    };
    let server = serve(Fake { record: Some(Box::new(record)), ..Fake::default() }).await;
    let client = server.client().await;
    let priced = client.record(Event::chat("openai", "gpt-4o")).await.unwrap();
    assert_eq!(priced.usd(), Some(Decimal::new(1, 12)));
    let unpriced = client.record(Event::embeddings("openai", "new")).await.unwrap();
    assert_eq!(unpriced.usd(), None);
}
