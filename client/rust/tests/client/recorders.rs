//! The background recorder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tollgate_client::v1::batch_record_usage_response::item::Item;
use tollgate_client::v1::{self, RecordResult};
use tollgate_client::{Client, Counts, Error, Event, Recorder, UsageEventBuilder};
use tonic::Status;

use crate::fake::{Fake, Log, Reply, all_recorded, eventually, id, item, quick, recorded, serve, serve_on};

const SOON: Duration = Duration::from_secs(20);

fn event() -> UsageEventBuilder {
    Event::chat("openai", "gpt-4o").tokens(10, 5)
}

#[tokio::test]
async fn events_outlast_an_outage_and_count_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::builder(format!("http://{address}")).retry(quick()).connect_lazy().unwrap();
    let recorder = client.recorder();
    let events: Vec<_> = (0..1_000).map(|_| event()).collect();
    for event in &events {
        assert!(recorder.record(event.clone()));
    }
    let timeout = recorder.flush(Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(timeout, Error::DeadlineExceeded { .. }));
    assert_eq!(recorder.counts(), Counts { queued: 1_000, ..Counts::default() });

    let seen = Log::new();
    let log = seen.clone();
    let batch = move |request: v1::BatchRecordUsageRequest| {
        for event in &request.events {
            log.add(id(event));
        }
        Reply::Answer(all_recorded(&request))
    };
    let listener = TcpListener::bind(address).await.unwrap();
    let _server = serve_on(listener, Fake { batch: Some(Box::new(batch)), ..Fake::default() });
    recorder.flush(SOON).await.unwrap();
    assert_eq!(recorder.counts(), Counts { recorded: 1_000, ..Counts::default() });
    let ids: Vec<_> = events.iter().map(|event| event.event_id().unwrap().to_owned()).collect();
    assert_eq!(seen.all(), ids, "all of them, once, in order");
}

#[tokio::test]
async fn every_event_ends_in_one_count() {
    let tries = Log::new();
    let log = tries.clone();
    let batch = move |request: v1::BatchRecordUsageRequest| {
        let again = log.add(()) > 1;
        let items = request.events.iter().map(|event| match event.operation_name.as_str() {
            "duplicate" => {
                item(Item::Ok(v1::RecordUsageResponse { result: RecordResult::Duplicate.into(), ..recorded(event) }))
            }
            "bad" => item(Item::Error(v1::ItemError { code: 9, reason: "EVENT_TOO_OLD".into(), ..Default::default() })),
            "later" if !again => item(Item::Error(v1::ItemError { code: 14, retryable: true, ..Default::default() })),
            _ => item(Item::Ok(recorded(event))),
        });
        Reply::Answer(v1::BatchRecordUsageResponse { items: items.collect() })
    };
    let server = serve(Fake { batch: Some(Box::new(batch)), ..Fake::default() }).await;
    let rejected = Log::new();
    let log = rejected.clone();
    let recorder = Recorder::builder(server.client().await)
        .on_rejected(move |rejection| {
            log.add((id(&rejection.event), rejection.refusal.reason().to_owned()));
            panic!("the recorder must survive this");
        })
        .start();
    let bad = Event::of("bad", ("openai", "gpt-4o"));
    let bad_id = bad.event_id().unwrap().to_owned();
    recorder.record(bad);
    for operation in ["duplicate", "later", "chat"] {
        recorder.record(Event::of(operation, ("openai", "gpt-4o")));
    }
    let counts = recorder.shutdown(SOON).await.unwrap();
    assert_eq!(counts, Counts { recorded: 2, duplicate: 1, rejected: 1, dropped: 0, queued: 0 });
    assert_eq!(rejected.all(), [(bad_id, "EVENT_TOO_OLD".to_owned())]);
    assert!(!recorder.record(event()), "a recorder that is shut down takes nothing");
    assert_eq!(recorder.counts().dropped, 1);
}

#[tokio::test]
async fn one_bad_event_fails_alone() {
    let batch = |request: v1::BatchRecordUsageRequest| {
        if request.events.iter().any(|event| event.operation_name == "bad") {
            Reply::Fail(Status::invalid_argument("one of them is bad"))
        } else {
            Reply::Answer(all_recorded(&request))
        }
    };
    let server = serve(Fake { batch: Some(Box::new(batch)), ..Fake::default() }).await;
    let recorder = server.client().await.recorder();
    for number in 0..33 {
        recorder.record(if number == 17 { Event::of("bad", ("openai", "gpt-4o")) } else { event() });
    }
    recorder.flush(SOON).await.unwrap();
    assert_eq!(recorder.counts(), Counts { recorded: 32, rejected: 1, ..Counts::default() });
}

#[tokio::test]
async fn a_full_queue_drops_and_counts() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let batch = move |request: v1::BatchRecordUsageRequest| {
        if gate.load(Ordering::SeqCst) {
            Reply::Answer(all_recorded(&request))
        } else {
            Reply::Fail(Status::unavailable("not yet"))
        }
    };
    let server = serve(Fake { batch: Some(Box::new(batch)), ..Fake::default() }).await;
    let client = server.client().await;
    let recorder = Recorder::builder(client.clone()).max_queued_events(10).start();
    let taken = (0..25).filter(|_| recorder.record(event())).count();
    assert_eq!(taken, 10);
    assert_eq!(recorder.counts(), Counts { queued: 10, dropped: 15, ..Counts::default() });
    let narrow = Recorder::builder(client).max_queued_bytes(2_000).start();
    assert!(narrow.record(event()));
    assert!(!narrow.record(event().metadata_json("x".repeat(2_000))), "bytes are bounded, too");

    open.store(true, Ordering::SeqCst);
    recorder.flush(SOON).await.unwrap();
    assert_eq!(recorder.counts(), Counts { recorded: 10, dropped: 15, ..Counts::default() });
    assert!(recorder.record(event()), "there is room again");
    for _ in 0..40 {
        assert!(narrow.record(event()), "bytes are given back");
        narrow.flush(SOON).await.unwrap();
    }
}

#[tokio::test]
async fn a_shutdown_ends_in_time_and_says_what_was_lost() {
    let server = serve(Fake { batch: Some(Box::new(|_| Reply::Hang)), ..Fake::default() }).await;
    let recorder = server.client().await.recorder();
    for _ in 0..3 {
        recorder.record(event());
    }
    assert!(matches!(recorder.shutdown(Duration::from_millis(30)).await, Err(Error::DeadlineExceeded { .. })));
    assert_eq!(recorder.counts(), Counts { dropped: 3, ..Counts::default() });
}

#[tokio::test]
async fn a_dropped_recorder_still_sends_what_it_took() {
    let seen = Log::new();
    let log = seen.clone();
    let batch = move |request: v1::BatchRecordUsageRequest| {
        log.add(request.events.len());
        Reply::Answer(all_recorded(&request))
    };
    let server = serve(Fake { batch: Some(Box::new(batch)), ..Fake::default() }).await;
    let recorder = Recorder::builder(server.client().await).linger(Duration::from_secs(3600)).start();
    for _ in 0..3 {
        recorder.record(event());
    }
    drop(recorder);
    eventually("the rest is sent", || seen.all().iter().sum::<usize>() == 3).await;
}
