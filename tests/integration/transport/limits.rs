//! One more than each bound, and what is no gRPC.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate_proto::v1;
use tollgate_proto::v1::usage_service_client::UsageServiceClient;
use tollgate_server::config::{CallsConfig, ConnectionsConfig, ServerConfig};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::certificates::{Authority, Files};
use super::port::{NEVER, Port, ask};
use crate::harness::wait::{bounded, until};

const OPEN: &str = "tollgate_connections_open";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn refused(reason: &str) -> String {
    format!("tollgate_connections_refused_total{{reason=\"{reason}\"}}")
}

fn failed(reason: &str) -> String {
    format!("tollgate_handshakes_failed_total{{reason=\"{reason}\"}}")
}

/// Everything that the server says until it closes the connection.
async fn last_words(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end as good as another.
    let _end = bounded("the end of a connection", stream.read_to_end(&mut said)).await;
    said
}

#[tokio::test]
async fn a_connection_beyond_the_bound_is_closed_at_once_until_another_ends() {
    for (limit, per_address, reason) in [(2, 0, "full"), (10, 2, "address")] {
        let port = Port::bounded(ConnectionsConfig { limit, per_address, ..ConnectionsConfig::default() }).await;
        let (first, second) = (port.channel(), port.channel());
        ask(first.clone()).await.unwrap();
        ask(second.clone()).await.unwrap();
        assert!(last_words(TcpStream::connect(port.address).await.unwrap()).await.is_empty());
        assert_eq!((port.metric(&refused(reason)), port.metric(OPEN)), (1, 2));
        ask(second).await.unwrap();
        drop(first);
        until("there is room again", || async { ask(port.channel()).await.ok() }).await;
    }
}

#[tokio::test]
async fn whoever_does_not_begin_to_speak_in_time_is_closed() {
    let connections =
        ConnectionsConfig { handshake_timeout: Duration::from_millis(200), ..ConnectionsConfig::default() };
    let port = Port::bounded(connections.clone()).await;
    for said in [b"".as_slice(), &PREFACE[..23]] {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        assert!(last_words(stream).await.is_empty());
    }
    port.until_metric(&failed("timed_out"), 2).await;

    let files = Files::new(&Authority::new("ours").server());
    let port = Port::configured(ServerConfig { tls: files.config(), connections, ..ServerConfig::default() }).await;
    assert!(last_words(TcpStream::connect(port.address).await.unwrap()).await.is_empty());
    port.until_metric(&failed("timed_out"), 1).await;
}

#[tokio::test]
async fn whoever_does_not_finish_a_request_s_headers_is_closed() {
    let connections = ConnectionsConfig {
        handshake_timeout: Duration::from_millis(200),
        // Nothing else ends such a connection while this test waits.
        ping_interval: Duration::from_secs(600),
        ..ConnectionsConfig::default()
    };
    let port = Port::bounded(connections).await;
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let (without_end, cut_off): (&[u8], &[u8]) =
        (&[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82], &[0, 0, 9, 1, 4, 0, 0, 0, 1, 0x82]);
    let mut quiet = TcpStream::connect(port.address).await.unwrap();
    quiet.write_all(&[PREFACE, settings].concat()).await.unwrap();
    for headers in [without_end, cut_off] {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(&[PREFACE, settings, headers].concat()).await.unwrap();
        last_words(stream).await;
    }
    until("they are closed", || async { (port.metric(OPEN) == 1).then_some(()) }).await;
    drop(quiet);
}

#[tokio::test]
async fn http_1_is_refused_in_its_own_words() {
    let port = Port::bounded(ConnectionsConfig::default()).await;
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let said = String::from_utf8(last_words(stream).await).unwrap();
    assert!(said.starts_with("HTTP/1.1 505 ") && said.contains("gRPC"), "{said}");
    port.until_metric(&failed("not_http2"), 1).await;
    ask(port.channel()).await.unwrap();
}

/// Sends any request over HTTP/2, with whatever headers.
async fn send(port: &Port, method: Method, headers: &[(&'static str, &str)], body: Vec<u8>) -> Response<Incoming> {
    send_to(CHECK, port, method, headers, body).await
}

async fn send_to(
    path: &str,
    port: &Port,
    method: Method,
    headers: &[(&'static str, &str)],
    body: Vec<u8>,
) -> Response<Incoming> {
    let stream = TcpStream::connect(port.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(format!("{}{path}", port.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    bounded("an answer", sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap())).await.unwrap()
}

/// The status of gRPC, wherever it stands.
async fn status(response: Response<Incoming>) -> Option<Code> {
    let read = |headers: &HeaderMap| Some(Code::from_bytes(headers.get("grpc-status")?.as_bytes()));
    let in_head = read(response.headers());
    let body = response.into_body().collect().await.unwrap();
    in_head.or_else(|| read(body.trailers()?))
}

#[tokio::test]
async fn what_is_no_call_of_grpc_is_told_so() {
    let port = Port::bounded(ConnectionsConfig::default()).await;
    let empty = || vec![0; 5];
    let grpc = ("content-type", "application/grpc");
    assert_eq!(status(send(&port, Method::POST, &[grpc], empty()).await).await, Some(Code::Ok));
    let proto = ("content-type", "application/grpc+proto");
    assert_eq!(status(send(&port, Method::POST, &[proto], empty()).await).await, Some(Code::Ok));
    let json = ("content-type", "application/json");
    assert_eq!(send(&port, Method::POST, &[json], empty()).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(send(&port, Method::POST, &[], empty()).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(send(&port, Method::GET, &[grpc], Vec::new()).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(port.calls(), 2);
}

#[tokio::test]
async fn nothing_compressed_is_taken_so_that_nothing_inflates() {
    let port = Port::bounded(ConnectionsConfig::default()).await;
    for encoding in ["gzip", "deflate", "zstd", "br"] {
        let headers = [("content-type", "application/grpc"), ("grpc-encoding", encoding)];
        let response = send(&port, Method::POST, &headers, vec![1, 0, 0, 0, 1, 0]).await;
        assert_eq!(status(response).await, Some(Code::Unimplemented), "{encoding}");
    }
    let headers = [("content-type", "application/grpc")];
    let response = send(&port, Method::POST, &headers, vec![1, 0, 0, 0, 1, 0]).await;
    assert_eq!(status(response).await, Some(Code::Internal), "compressed, and does not say how");
}

#[tokio::test]
async fn headers_and_messages_beyond_their_bounds_are_refused_and_the_connection_goes_on() {
    let connections = ConnectionsConfig { header_bytes: 2 << 10, ..ConnectionsConfig::default() };
    let message_bytes = 64 << 10;
    let port = Port::configured(ServerConfig { connections, message_bytes, ..ServerConfig::default() }).await;
    let channel = port.channel();
    let with_header = async |bytes: usize| {
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        request.metadata_mut().insert("x-padding", "x".repeat(bytes).parse().unwrap());
        HealthClient::new(channel.clone()).check(request).await.map(drop)
    };
    with_header(1 << 10).await.unwrap();
    with_header(2 << 10).await.unwrap_err();
    let with_message = async |bytes: usize| {
        let request = HealthCheckRequest { service: "x".repeat(bytes) };
        HealthClient::new(channel.clone()).check(request).await.map(drop).map_err(|status| status.code())
    };
    assert_eq!(with_message(message_bytes).await, Err(Code::NotFound));
    assert_eq!(with_message(message_bytes + 2_048).await, Err(Code::ResourceExhausted));
    ask(channel).await.unwrap();
    assert_eq!(port.metric("tollgate_connections_accepted_total"), 1);
}

async fn never(channel: Channel) -> Result<(), Status> {
    UsageServiceClient::new(channel).record_usage(v1::RecordUsageRequest::default()).await.map(drop)
}

#[tokio::test]
async fn a_call_ends_by_its_deadline_by_the_default_or_by_the_bound() {
    for (timeout, longest_timeout, asked) in
        [(200, 600_000, None), (60_000, 600_000, Some("200m")), (200, 300, Some("1H"))]
    {
        let calls = CallsConfig {
            timeout: Duration::from_millis(timeout),
            longest_timeout: Duration::from_millis(longest_timeout),
        };
        let port = Port::configured(ServerConfig { calls, ..ServerConfig::default() }).await;
        // A stream has no end by time.
        let mut watch =
            HealthClient::new(port.channel()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        watch.next().await.unwrap().unwrap();
        // By hand: the usual client gives a call up by itself at the deadline that it tells.
        let mut headers = vec![("content-type", "application/grpc")];
        headers.extend(asked.map(|asked| ("grpc-timeout", asked)));
        let answer = send_to(NEVER, &port, Method::POST, &headers, vec![0; 5]).await;
        assert_eq!(status(answer).await, Some(Code::DeadlineExceeded), "{asked:?}");
        assert_eq!(port.metric("tollgate_expired_calls_total"), 1);
        port.health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        bounded("the stream goes on", watch.next()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_stream_beyond_those_of_a_connection_waits_for_one_of_them() {
    let calls = CallsConfig { timeout: Duration::from_millis(300), ..CallsConfig::default() };
    let port = Port::configured(ServerConfig { streams_per_connection: 2, calls, ..ServerConfig::default() }).await;
    let channel = port.channel();
    // The client knows the bound from here on.
    ask(channel.clone()).await.unwrap();
    let call = |waits: bool| {
        let channel = channel.clone();
        async move { if waits { ask(channel).await } else { never(channel).await } }
    };
    let mut calls: FuturesUnordered<_> = [false, false, true].map(call).into_iter().collect();
    let first = bounded("the first end", calls.next()).await.unwrap();
    assert_eq!(first.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(bounded("the others", calls.count()).await, 2);
    assert_eq!(port.calls(), 2);
}
