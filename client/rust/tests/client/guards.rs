//! Reservation guards.

use std::time::Duration;

use tollgate_client::{CheckRequest, Client, Event, OnDrop, Tokens, v1};

use crate::fake::{Fake, Log, Reply, Server, all_recorded, eventually, recorded, serve};

/// What a server that holds everything saw.
#[derive(Clone)]
struct Seen {
    recorded: Log<v1::UsageEvent>,
    extended: Log<v1::ExtendReservationRequest>,
    released: Log<String>,
}

async fn holding(ttl: Duration, extensions: usize) -> (Server, Client, Seen) {
    let seen = Seen { recorded: Log::new(), extended: Log::new(), released: Log::new() };
    let remaining = prost_types::Duration::try_from(ttl).unwrap();
    let reservation = move |reservation_id: String| v1::Reservation {
        reservation_id,
        state: v1::reservation::State::Pending.into(),
        remaining_ttl: Some(remaining),
        ..Default::default()
    };
    let check = move |request: v1::CheckBudgetRequest| {
        Reply::Answer(v1::CheckBudgetResponse {
            decision: v1::Decision::Allowed.into(),
            reservation: Some(reservation(request.reservation_id)),
            ..Default::default()
        })
    };
    let log = seen.recorded.clone();
    let record = move |request: v1::RecordUsageRequest| {
        let event = request.event.unwrap();
        log.add(event.clone());
        Reply::Answer(recorded(&event))
    };
    let log = seen.recorded.clone();
    let batch = move |request: v1::BatchRecordUsageRequest| {
        for event in &request.events {
            log.add(event.clone());
        }
        Reply::Answer(all_recorded(&request))
    };
    let log = seen.extended.clone();
    let extend = move |request: v1::ExtendReservationRequest| {
        let allowed = log.add(request.clone()) <= extensions;
        let decision = if allowed { v1::Decision::Allowed } else { v1::Decision::Denied };
        Reply::Answer(v1::ExtendReservationResponse {
            decision: decision.into(),
            reservation: Some(reservation(request.reservation_id)),
            ..Default::default()
        })
    };
    let log = seen.released.clone();
    let release = move |request: v1::ReleaseReservationRequest| {
        log.add(request.reservation_id);
        Reply::Answer(v1::ReleaseReservationResponse {
            reservation: Some(v1::Reservation::default()),
            ..Default::default()
        })
    };
    let server = serve(Fake {
        check: Some(Box::new(check)),
        record: Some(Box::new(record)),
        batch: Some(Box::new(batch)),
        extend: Some(Box::new(extend)),
        release: Some(Box::new(release)),
        ..Fake::default()
    })
    .await;
    let client = server.client().await;
    (server, client, seen)
}

fn request() -> CheckRequest {
    CheckRequest::reserve(("openai", "gpt-4o")).max_output_tokens(100)
}

fn event() -> tollgate_client::UsageEventBuilder {
    Event::chat("openai", "gpt-4o").tokens(1, 1)
}

fn uses(seen: &Seen) -> Vec<(String, bool)> {
    let uses = seen.recorded.all().into_iter().filter_map(|event| event.reservation);
    uses.map(|used| (used.reservation_id, used.keep_open)).collect()
}

#[tokio::test]
async fn attempts_keep_it_open_and_the_settle_ends_it() {
    let (_server, client, seen) = holding(Duration::from_secs(300), 0).await;
    let mut reserved = client.reserve(request()).await.unwrap();
    let id = reserved.reservation_id().to_owned();
    reserved.attempt(event().failed("timeout")).await.unwrap();
    reserved.settle(event()).await.unwrap();
    assert_eq!(uses(&seen), [(id.clone(), true), (id, false)]);

    // What the drop of a settled guard released, if it did, would be sent before this.
    let unused = client.reserve(request()).await.unwrap();
    let unused_id = unused.reservation_id().to_owned();
    unused.release("not needed").await.unwrap();
    assert_eq!(seen.released.all(), [unused_id]);
}

#[tokio::test]
async fn a_recorder_may_settle_it() {
    let (_server, client, seen) = holding(Duration::from_secs(300), 0).await;
    let recorder = client.recorder();
    let reserved = client.reserve(request()).await.unwrap();
    let id = reserved.reservation_id().to_owned();
    assert!(reserved.settle_with(&recorder, event()));
    recorder.shutdown(Duration::from_secs(20)).await.unwrap();
    assert_eq!(uses(&seen), [(id, false)]);
}

#[tokio::test]
async fn what_was_never_sent_is_released_and_what_was_is_left() {
    let (_server, client, seen) = holding(Duration::from_secs(300), 0).await;
    let mut sent = client.reserve(request()).await.unwrap();
    sent.mark_dispatched();
    drop(sent);
    let mut told = client.reserve(request()).await.unwrap();
    told.on_drop(OnDrop::LeaveToExpire);
    drop(told);
    let unsent = client.reserve(request()).await.unwrap();
    let id = unsent.reservation_id().to_owned();
    drop(unsent);
    eventually("the unsent one is released", || seen.released.len() > 0).await;
    assert_eq!(seen.released.all(), [id]);
}

#[tokio::test]
async fn giving_up_on_a_check_releases_what_it_may_hold() {
    let released = Log::new();
    let log = released.clone();
    let asked = Log::new();
    let asked_log = asked.clone();
    let check = move |_| {
        asked_log.add(());
        Reply::Hang
    };
    let release = move |request: v1::ReleaseReservationRequest| {
        log.add(request.reservation_id);
        Reply::Answer(v1::ReleaseReservationResponse {
            reservation: Some(v1::Reservation::default()),
            ..Default::default()
        })
    };
    let server =
        serve(Fake { check: Some(Box::new(check)), release: Some(Box::new(release)), ..Fake::default() }).await;
    let client = server.client().await;
    let request = request();
    let id = request.reservation_id().to_owned();
    let waiting = tokio::spawn(async move { client.reserve(request).await });
    eventually("the check arrives", || asked.len() > 0).await;
    waiting.abort();
    eventually("the hold is released", || released.all() == [id.clone()]).await;
}

#[tokio::test]
async fn a_heartbeat_renews_until_it_is_denied() {
    let (_server, client, seen) = holding(Duration::from_millis(250), 2).await;
    let mut reserved = client.reserve(request().ttl(Duration::from_secs(1))).await.unwrap();
    reserved.extend(Tokens::new(10, 20)).await.unwrap();
    reserved.start_heartbeat();
    eventually("tollgate says stop", || reserved.must_stop()).await;
    let extended = seen.extended.all();
    assert_eq!(extended.iter().map(|request| request.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(extended[0].running_usage.as_ref().unwrap().total_output_tokens, Some(20));
    assert_eq!(extended[1].ttl, Some(prost_types::Duration { seconds: 1, nanos: 0 }));
    reserved.settle(event()).await.unwrap();
}
