//! What is counted, as Prometheus reads it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate_proto::v1;
use tollgate_server::config::Config;

use crate::harness::TestServer;
use crate::harness::build::{event, record, session};
use crate::harness::wait::bounded;

/// The body of `GET path`, with the status line before it.
pub(crate) async fn get(server: &TestServer, path: &str) -> String {
    let address = server.running.as_ref().unwrap().metrics_address.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    bounded("the metrics", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn invariant_7_recorded_events_are_counted_by_price_state_and_once() {
    let mut config = Config::default();
    config.metrics.listen = Some("127.0.0.1:0".parse().unwrap());
    let server = TestServer::configured(&config).await;
    let model = |model: &str| v1::ModelRef {
        provider_name: "openai".to_owned(),
        model: model.to_owned(),
        ..Default::default()
    };
    for (name, units) in [("gpt-4o", ""), ("gpt-4o", "rerank_search"), ("gpt-17", ""), ("gpt-17", "")] {
        let mut event = event(session("s1"), 1_000, 1_000);
        event.request_model = Some(model(name));
        if !units.is_empty() {
            event.units = vec![v1::UnitCount { unit: units.to_owned(), quantity: "1".to_owned() }];
        }
        for _ in 0..2 {
            server.usage.clone().record_usage(record(event.clone())).await.unwrap();
        }
    }
    let text = get(&server, "/metrics").await;
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    for (state, count) in [("priced", 1), ("free", 0), ("partial", 1), ("unpriced", 2)] {
        let line = format!("tollgate_recorded_events_total{{price_state=\"{state}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    assert!(get(&server, "/").await.starts_with("HTTP/1.1 404"));
}
