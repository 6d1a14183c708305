//! The end of connections: by drain, by age, for lack of calls. No call is lost by any of them.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tollgate_client::Client;
use tollgate_proto::v1;
use tollgate_proto::v1::usage_service_client::UsageServiceClient;
use tollgate_server::config::{CallsConfig, Config, ConnectionsConfig, MetricsConfig, ServerConfig};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use super::port::{Port, ask};
use crate::harness::TestServer;
use crate::harness::build::{event, session};
use crate::harness::wait::{bounded, until};
use crate::metrics::get;

const OPEN: &str = "tollgate_connections_open";
const ACCEPTED: &str = "tollgate_connections_accepted_total";
/// A client that says hello, with settings and their acknowledgement, and nothing more.
const HELLO: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00";

#[tokio::test]
async fn a_drain_ends_though_clients_stay_silent_and_finishes_what_is_under_way() {
    let calls = CallsConfig { timeout: Duration::from_millis(500), ..CallsConfig::default() };
    let mut port = Port::configured(ServerConfig { calls, ..ServerConfig::default() }).await;
    let idle = port.channel();
    ask(idle.clone()).await.unwrap();
    let mute = TcpStream::connect(port.address).await.unwrap();
    let mut deaf = TcpStream::connect(port.address).await.unwrap();
    deaf.write_all(HELLO).await.unwrap();
    let channel = port.channel();
    ask(channel.clone()).await.unwrap();
    let call =
        tokio::spawn(
            async move { UsageServiceClient::new(channel).record_usage(v1::RecordUsageRequest::default()).await },
        );
    port.until_metric(ACCEPTED, 4).await;
    port.drain.cancel();
    // Answered, not cut off.
    let status = bounded("the call under way", call).await.unwrap().unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable), "{status:?}");
    bounded("the drain", &mut port.serving).await.unwrap();
    assert_eq!(port.metric(OPEN), 0);
    ask(idle).await.unwrap_err();
    drop((mute, deaf));
}

#[tokio::test]
async fn the_end_closes_what_the_drain_waits_for() {
    let mut port = Port::bounded(ConnectionsConfig::default()).await;
    let channel = port.channel();
    ask(channel.clone()).await.unwrap();
    let call =
        tokio::spawn(
            async move { UsageServiceClient::new(channel).record_usage(v1::RecordUsageRequest::default()).await },
        );
    until("the call is under way", || async { (port.begun() == 1).then_some(()) }).await;
    port.drain.cancel();
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut port.serving).await.is_err(), "a call is under way");
    port.end.cancel();
    bounded("the end", &mut port.serving).await.unwrap();
    bounded("the call", call).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn connections_that_are_too_old_are_replaced_without_a_failed_call() {
    let age = Duration::from_millis(100);
    let connections = ConnectionsConfig { age, ..ConnectionsConfig::default() };
    let metrics = MetricsConfig { listen: Some("127.0.0.1:0".parse().unwrap()) };
    let server = ServerConfig { connections, ..ServerConfig::default() };
    let server = TestServer::configured(&Config { server, metrics, ..Config::default() }).await;
    let client = Client::builder(&server.url).connect().await.unwrap();
    let accepted = async || {
        let text = get(&server, "/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(ACCEPTED));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    while accepted().await < 10 {
        client.record(event(session("s1"), 1, 1)).await.unwrap();
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_stream_may_go_on_for_the_grace_and_no_longer() {
    let (age, age_grace) = (Duration::from_millis(100), Duration::from_millis(300));
    let port = Port::bounded(ConnectionsConfig { age, age_grace, ..ConnectionsConfig::default() }).await;
    let mut watch = HealthClient::new(port.channel()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watch.next().await.unwrap().unwrap();
    assert!(bounded("the end of the grace", watch.next()).await.unwrap().is_err());
}

#[tokio::test]
async fn a_connection_without_calls_is_closed_and_opened_anew_by_the_next_one() {
    let idle_timeout = Duration::from_millis(200);
    let port = Port::bounded(ConnectionsConfig { idle_timeout, ..ConnectionsConfig::default() }).await;
    let channel = port.channel();
    ask(channel.clone()).await.unwrap();
    let mut deaf = TcpStream::connect(port.address).await.unwrap();
    deaf.write_all(HELLO).await.unwrap();
    port.until_metric(ACCEPTED, 2).await;
    until("both are closed", || async { (port.metric(OPEN) == 0).then_some(()) }).await;
    ask(channel).await.unwrap();
    // A call that lasts is not idle.
    let mut usage = UsageServiceClient::new(port.channel());
    let lasting = usage.record_usage(v1::RecordUsageRequest::default());
    assert!(tokio::time::timeout(5 * idle_timeout, lasting).await.is_err());
}

#[tokio::test]
async fn a_drain_does_not_wait_for_who_asks_what_services_there_are() {
    let mut port = Port::bounded(ConnectionsConfig::default()).await;
    let ask = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let asking = stream::iter([ask]).chain(stream::pending());
    let mut client = ServerReflectionClient::new(port.channel());
    let mut answers = client.server_reflection_info(asking).await.unwrap().into_inner();
    answers.next().await.unwrap().unwrap();
    port.drain.cancel();
    bounded("the drain", &mut port.serving).await.unwrap();
}

#[tokio::test]
async fn nobody_keeps_a_connection_by_watching_health_alone() {
    let idle_timeout = Duration::from_millis(200);
    let port = Port::bounded(ConnectionsConfig { idle_timeout, ..ConnectionsConfig::default() }).await;
    let mut watch = HealthClient::new(port.channel()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watch.next().await.unwrap().unwrap();
    assert!(bounded("the end of the connection", watch.next()).await.unwrap().is_err());
    until("it is closed", || async { (port.metric(OPEN) == 0).then_some(()) }).await;
}
