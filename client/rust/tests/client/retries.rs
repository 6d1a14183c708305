//! Which failures are retried, how often, and with what.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tollgate_client::{Client, Error, Event, RetryPolicy, v1};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::fake::{Fake, Log, Reply, id, quick, recorded, serve, serve_on};

/// A server that fails so many records before it accepts one, and the log of the events it saw.
fn failing(times: usize, failure: impl Fn() -> Status + Send + Sync + 'static) -> (Fake, Log<v1::UsageEvent>) {
    let seen = Log::new();
    let log = seen.clone();
    let record = move |request: v1::RecordUsageRequest| {
        let event = request.event.unwrap();
        if log.add(event.clone()) <= times { Reply::Fail(failure()) } else { Reply::Answer(recorded(&event)) }
    };
    (Fake { record: Some(Box::new(record)), ..Fake::default() }, seen)
}

fn full(retry_after: Duration) -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(retry_after));
    details.set_error_info("QUEUE_FULL", "tollgate", []);
    Status::with_error_details(Code::ResourceExhausted, "the queue is full", details)
}

#[tokio::test]
async fn a_retry_sends_the_same_event() {
    let (fake, seen) = failing(2, || Status::unavailable("draining"));
    let server = serve(fake).await;
    let event = Event::chat("openai", "gpt-4o").tokens(1, 2);
    let receipt = server.client().await.record(event.clone()).await.unwrap();
    assert_eq!(Some(receipt.event_id()), event.event_id());
    assert_eq!(seen.all(), vec![event.into_proto(); 3]);
}

#[tokio::test]
async fn a_raw_event_without_an_id_gets_one_for_all_attempts() {
    let (fake, seen) = failing(1, || Status::deadline_exceeded("slow"));
    let server = serve(fake).await;
    server.client().await.record(v1::UsageEvent::default()).await.unwrap();
    let ids: Vec<_> = seen.all().iter().map(id).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_refusal_is_decoded_and_not_retried() {
    let (fake, seen) = failing(9, || {
        let mut details = ErrorDetails::with_error_info(
            "EVENT_ID_REUSED",
            "tollgate",
            std::collections::HashMap::from([("fields".to_owned(), "tokens".to_owned())]),
        );
        details.add_bad_request_violation("tokens", "was 5");
        Status::with_error_details(Code::FailedPrecondition, "recorded before with other content", details)
    });
    let server = serve(fake).await;
    let error = server.client().await.record(Event::chat("openai", "gpt-4o")).await.unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert_eq!(refusal.known_reason(), Some(v1::ErrorReason::EventIdReused));
    assert_eq!(refusal.metadata()["fields"], "tokens");
    assert_eq!(refusal.violations()[0].field, "tokens");
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn overload_is_retried_only_when_told_when() {
    let (fake, seen) = failing(1, || full(Duration::from_millis(2)));
    let server = serve(fake).await;
    server.client().await.record(Event::chat("openai", "gpt-4o")).await.unwrap();
    assert_eq!(seen.len(), 2);

    let (fake, seen) = failing(1, || Status::resource_exhausted("too large"));
    let server = serve(fake).await;
    let error = server.client().await.record(Event::chat("openai", "gpt-4o")).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn a_wait_longer_than_the_deadline_is_not_waited() {
    let (fake, seen) = failing(9, || full(Duration::from_secs(3600)));
    let server = serve(fake).await;
    let error = server.client().await.record(Event::chat("openai", "gpt-4o")).await.unwrap_err();
    assert!(
        matches!(error, Error::Overloaded { attempts: 1, retry_after, .. } if retry_after == Duration::from_secs(3600)),
        "{error:?}"
    );
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn attempts_are_bounded() {
    let (fake, seen) = failing(99, || Status::unavailable("away"));
    let server = serve(fake).await;
    let error = server.client().await.record(Event::chat("openai", "gpt-4o")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { attempts: 5, .. }), "{error:?}");
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn a_silent_server_costs_the_deadline_and_no_more() {
    let record = |_| Reply::Hang;
    let server = serve(Fake { record: Some(Box::new(record)), ..Fake::default() }).await;
    let retry = RetryPolicy { attempt_timeout: Duration::from_millis(20), ..quick() };
    let client = server.client().await.with_retry(retry).with_deadline(Duration::from_millis(60));
    let error = client.record(Event::chat("openai", "gpt-4o")).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_cut_within_a_call_is_retried() {
    let (fake, seen) = failing(0, || Status::unavailable("never"));
    let server = serve(fake).await;
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", front.local_addr().unwrap());
    let back = server.address;
    let proxy = tokio::spawn(async move {
        for connection in 0.. {
            let (mut caller, _) = front.accept().await.unwrap();
            if connection < 2 {
                // Answered enough for the client to send its call, and then gone.
                let mut greeting = [0; 512];
                let _ = caller.read(&mut greeting).await;
                continue;
            }
            let mut server = TcpStream::connect(back).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut caller, &mut server).await });
        }
    });
    let client = Client::builder(url).retry(quick()).connect_lazy().unwrap();
    client.record(Event::chat("openai", "gpt-4o")).await.unwrap();
    assert_eq!(seen.len(), 1);
    proxy.abort();
}

#[tokio::test]
async fn a_client_may_start_before_its_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::builder(format!("http://{address}")).retry(quick()).connect_lazy().unwrap();
    let error = client.record(Event::chat("openai", "gpt-4o")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");

    let (fake, _) = failing(0, || Status::unavailable("never"));
    let _server = serve_on(TcpListener::bind(address).await.unwrap(), fake);
    client.record(Event::chat("openai", "gpt-4o")).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_works_as_well() {
    let (fake, seen) = failing(0, || Status::unavailable("never"));
    let server = serve(fake).await;
    let back = server.address;
    let path = std::env::temp_dir().join(format!("tollgate-client-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let front = tokio::net::UnixListener::bind(&path).unwrap();
    let bridge = tokio::spawn(async move {
        let (mut caller, _) = front.accept().await.unwrap();
        let mut server = TcpStream::connect(back).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
    });
    let client = Client::builder(format!("unix://{}", path.display())).retry(quick()).connect().await.unwrap();
    client.record(Event::chat("openai", "gpt-4o")).await.unwrap();
    assert_eq!(seen.len(), 1);
    bridge.abort();
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn connecting_to_nothing_fails_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::builder(format!("http://{address}")).connect().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { attempts: 1, .. }), "{error:?}");
    assert!(matches!(Client::builder("no uri at all").connect_lazy(), Err(Error::Invalid { field: "endpoint", .. })));
}

#[tokio::test]
async fn the_key_and_the_agent_go_with_every_call() {
    let (fake, _) = failing(0, || Status::unavailable("never"));
    let headers = fake.headers.clone();
    let server = serve(fake).await;
    let builder = Client::builder(server.url()).api_key("tg_secret").user_agent("orchestrator/2");
    assert!(!format!("{builder:?}").contains("tg_secret"));
    let client = builder.connect().await.unwrap();
    assert!(!format!("{client:?}").contains("tg_secret"));
    client.record(Event::chat("openai", "gpt-4o")).await.unwrap();
    let (authorization, agent) = headers.lock().unwrap()[0].clone();
    assert_eq!(authorization, "Bearer tg_secret");
    assert!(agent.starts_with("orchestrator/2 tollgate-client/"), "{agent}");
}
