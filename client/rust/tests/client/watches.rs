//! Subscriptions.

use std::time::Duration;

use futures::StreamExt;
use tollgate_client::{Error, Scope, Update, Updates, WatchRequest, v1};
use tonic::{Code, Status};

use crate::fake::{Fake, Log, Messages, Reply, Server, serve};

fn message(calls: i64, snapshot: bool) -> Result<v1::StreamUsageResponse, Status> {
    let totals = v1::UsageTotals { calls, ..Default::default() };
    let scope = v1::ScopeTotals { key: "s".into(), totals: Some(totals), ..Default::default() };
    Ok(v1::StreamUsageResponse { scopes: vec![scope], snapshot, as_of: None })
}

/// A server whose connections carry these messages, one after the other, and the requests it saw.
async fn streaming(
    script: impl Fn(usize) -> Reply<Messages> + Send + Sync + 'static,
) -> (Server, Log<v1::StreamUsageRequest>) {
    let seen = Log::new();
    let log = seen.clone();
    let stream = move |request| script(log.add(request));
    (serve(Fake { stream: Some(Box::new(stream)), ..Fake::default() }).await, seen)
}

async fn next(updates: &mut Updates) -> (i64, bool) {
    let update: Update = updates.next().await.unwrap().unwrap();
    (update.scope("s").unwrap().totals.as_ref().unwrap().calls, update.snapshot)
}

#[tokio::test]
async fn a_broken_stream_is_opened_again_with_a_snapshot() {
    let (server, seen) = streaming(|connection| match connection {
        1 => Reply::Answer(vec![
            message(1, true),
            Ok(v1::StreamUsageResponse::default()),
            message(2, false),
            Err(Status::unavailable("draining")),
        ]),
        2 => Reply::Fail(Status::internal("a fault")),
        _ => Reply::Answer(vec![message(3, true)]),
    })
    .await;
    let mut updates = server.client().await.watch([Scope::session("s")]);
    assert_eq!(next(&mut updates).await, (1, true));
    assert_eq!(next(&mut updates).await, (2, false), "the heartbeat between them is not an update");
    assert_eq!(next(&mut updates).await, (3, true));
    let seen = seen.all();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|request| *request == seen[0]));
}

#[tokio::test]
async fn a_silent_stream_is_opened_again() {
    let (server, _) = streaming(|connection| match connection {
        1 => Reply::Hang,
        2 => Reply::Answer(vec![message(1, true)]),
        _ => Reply::Answer(vec![message(2, true)]),
    })
    .await;
    let request = WatchRequest::new([Scope::session("s")]).reconnect_after_silence(Duration::from_millis(200));
    let mut updates = server.client().await.watch_with(request);
    assert_eq!(next(&mut updates).await, (1, true));
    assert_eq!(next(&mut updates).await, (2, true));
}

#[tokio::test]
async fn a_refused_subscription_ends() {
    for code in [Code::InvalidArgument, Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented] {
        let (server, seen) = streaming(move |_| Reply::Fail(Status::new(code, "no"))).await;
        let mut updates = server.client().await.watch([Scope::session("s")]);
        let error = updates.next().await.unwrap().unwrap_err();
        assert!(matches!(&error, Error::Refused(refusal) if refusal.code() == code), "{error:?}");
        assert!(updates.next().await.is_none());
        assert_eq!(seen.len(), 1);
    }
}
