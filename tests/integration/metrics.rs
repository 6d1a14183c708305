//! What is counted, as Prometheus reads it.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tollgate_proto::v1;
use tollgate_server::config::Config;
use tollgate_server::metrics::{CatalogOutcome, FULLNESS, Metrics, State, Watch, Watched, serve};
use tonic::transport::Channel;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, record, reserve, session};
use crate::harness::wait::{bounded, until};

/// The body of `GET path`, with the status line before it.
pub(crate) async fn get(server: &TestServer, path: &str) -> String {
    ask(server.running.as_ref().unwrap().metrics_address.unwrap(), path).await
}

pub(crate) async fn ask(address: SocketAddr, path: &str) -> String {
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

/// A family of series, as it is written down.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) lines: Vec<String>,
}

/// What an answer of `GET /metrics` holds.
pub(crate) fn families(text: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in text.split("\r\n\r\n").nth(1).unwrap().lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            families.push(Family { name: name.to_owned(), help: help.to_owned(), ..Family::default() });
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let family = families.last_mut().unwrap();
            assert_eq!(family.name, name, "a type belongs to the help before it");
            family.kind = kind.to_owned();
        } else {
            families.last_mut().unwrap().lines.push(line.to_owned());
        }
    }
    families
}

/// The value of one series.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.parse().ok()
}

/// Waits until the series stands at `expected`: a call counts when its answer's last byte is sent.
async fn stands_at(server: &TestServer, series: &str, expected: f64) {
    until(&format!("{series} {expected}"), || async {
        (value(&get(server, "/metrics").await, series) == Some(expected)).then_some(())
    })
    .await;
}

fn metered() -> Config {
    let mut config = Config::default();
    config.metrics.listen = Some("127.0.0.1:0".parse().unwrap());
    config
}

#[tokio::test]
async fn calls_batches_checks_and_counters_are_counted() {
    let server = TestServer::configured(&metered()).await;
    let (mut usage, mut budgets) = (server.usage.clone(), server.budgets.clone());
    for (id, limit) in [("canary-full", "0.0125"), ("canary-half", "0.025"), ("canary-empty", "1000000")] {
        budgets.create_budget(create(budget(id, limit))).await.unwrap();
    }
    usage.record_usage(record(event(session("canary-session"), 1_000, 1_000))).await.unwrap();
    usage.record_usage(v1::RecordUsageRequest::default()).await.unwrap_err();
    let refused = budgets.check_budget(reserve(session("canary-session"), 1_000, 1_000)).await.unwrap().into_inner();
    assert_eq!(refused.decision(), v1::Decision::Denied);
    let mut peek = reserve(session("canary-session"), 1_000, 1_000);
    peek.mode = v1::CheckMode::Peek.into();
    peek.reservation_id.clear();
    budgets.check_budget(peek).await.unwrap();
    let scope = v1::WatchScope {
        key: "canary-key".to_owned(),
        scope: Some(v1::watch_scope::Scope::SessionId("canary-session".to_owned())),
        ..Default::default()
    };
    let request = v1::StreamUsageRequest { scopes: vec![scope], ..Default::default() };
    let mut stream = usage.stream_usage(request).await.unwrap().into_inner();
    bounded("the first message", stream.message()).await.unwrap().unwrap();
    unknown_path(&server, "/canary.Service/Canary").await;

    let rpc = |method: &str, code: &str| format!("tollgate_rpc_total{{code=\"{code}\",method=\"{method}\"}}");
    let record_usage = "tollgate.v1.UsageService/RecordUsage";
    for (series, expected) in [
        (rpc(record_usage, "OK"), 1.0),
        (rpc(record_usage, "INVALID_ARGUMENT"), 1.0),
        (rpc("unknown", "UNIMPLEMENTED"), 1.0),
        (rpc("tollgate.v1.BudgetService/CheckBudget", "OK"), 2.0),
        (format!("tollgate_rpc_duration_seconds_count{{method=\"{record_usage}\",outcome=\"ok\"}}"), 1.0),
        (format!("tollgate_rpc_duration_seconds_count{{method=\"{record_usage}\",outcome=\"refused\"}}"), 1.0),
        ("tollgate_rpc_in_flight{method=\"tollgate.v1.UsageService/StreamUsage\"}".to_owned(), 1.0),
        ("tollgate_live_subscribers".to_owned(), 1.0),
        ("tollgate_live_watched_scopes".to_owned(), 1.0),
        ("tollgate_ledger_batch_commands_count".to_owned(), 2.0),
        ("tollgate_ledger_commit_seconds_count".to_owned(), 2.0),
        ("tollgate_checks_total{decision=\"denied\",mode=\"reserve\"}".to_owned(), 1.0),
        ("tollgate_checks_total{decision=\"denied\",mode=\"peek\"}".to_owned(), 1.0),
        ("tollgate_checks_total{decision=\"allowed\",mode=\"reserve\"}".to_owned(), 0.0),
        ("tollgate_budget_counters{at_least=\"0\"}".to_owned(), 3.0),
        ("tollgate_budget_counters{at_least=\"0.5\"}".to_owned(), 2.0),
        ("tollgate_budget_counters{at_least=\"0.8\"}".to_owned(), 1.0),
        ("tollgate_budget_counters{at_least=\"1\"}".to_owned(), 1.0),
        ("tollgate_ledger_queue_commands".to_owned(), 0.0),
        ("tollgate_ledger_queue_commands_limit".to_owned(), 8_192.0),
        ("tollgate_database_connections_limit{pool=\"reads\"}".to_owned(), 16.0),
        (format!("tollgate_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
    ] {
        stands_at(&server, &series, expected).await;
    }
    drop(stream);
    let cancelled = rpc("tollgate.v1.UsageService/StreamUsage", "CANCELLED");
    stands_at(&server, &cancelled, 1.0).await;
    stands_at(&server, "tollgate_rpc_in_flight{method=\"tollgate.v1.UsageService/StreamUsage\"}", 0.0).await;

    let text = get(&server, "/metrics").await;
    assert!(!text.contains("canary"), "{text}");
    let resident = value(&text, "tollgate_process_resident_memory_bytes").unwrap();
    assert!(resident > 1_000_000.0 && value(&text, "tollgate_process_open_fds").unwrap() > 3.0, "{text}");
    for family in families(&text) {
        assert!(family.name.starts_with("tollgate_"), "{family:?}");
        assert!(family.help.ends_with('.'), "it is explained in a sentence: {family:?}");
        assert!(["counter", "gauge", "histogram"].contains(&family.kind.as_str()), "{family:?}");
        assert_eq!(family.name.ends_with("_total"), family.kind == "counter", "{family:?}");
        assert!(family.lines.len() < 1_000, "it is bounded: {family:?}");
        for label in family.lines.iter().filter_map(|line| line.split_once('{')).flat_map(|(_, rest)| {
            rest.rsplit_once('}')
                .unwrap()
                .0
                .split(',')
                .map(|label| label.split('=').next().unwrap())
                .collect::<Vec<_>>()
        }) {
            let known = [
                "at_least",
                "check",
                "code",
                "decision",
                "kind",
                "le",
                "method",
                "mode",
                "outcome",
                "pool",
                "price_state",
                "reason",
                "state",
                "version",
            ];
            assert!(known.contains(&label), "{label}: {family:?}");
        }
    }
}

/// Calls a method that is not in the contract.
async fn unknown_path(server: &TestServer, path: &'static str) {
    let channel = Channel::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<v1::GetUsageRequest, v1::GetUsageResponse>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    let refused = client.unary(tonic::Request::new(v1::GetUsageRequest::default()), path, codec).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
}

/// A server in this state.
struct Standing(State);

impl Watched for Standing {
    fn state(&self) -> State {
        self.0
    }

    fn counters(&self) -> [usize; FULLNESS.len()] {
        [0; FULLNESS.len()]
    }
}

#[tokio::test]
async fn ready_says_why_not() {
    let server = TestServer::configured(&metered()).await;
    assert!(get(&server, "/ready").await.starts_with("HTTP/1.1 200"));
    assert!(get(&server, "/live").await.starts_with("HTTP/1.1 200"));

    let full = State { queued_commands: 10, queue_commands_limit: 10, queue_bytes_limit: 10, ..State::default() };
    let room = State { queued_commands: 9, ..full };
    for (state, status, word) in
        [(None, 503, "starting"), (Some(full), 503, "queue is full"), (Some(room), 200, "ready")]
    {
        let (metrics, watch) = (Metrics::new().unwrap(), Watch::default());
        if let Some(state) = state {
            watch.started(Standing(state));
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
        let serving = tokio::spawn(serve(listener, metrics.clone(), watch, draining.clone(), stop.clone()));
        let ask = async || ask(address, "/ready").await;
        let answer = ask().await;
        assert!(answer.contains(&format!("HTTP/1.1 {status}")) && answer.contains(word), "{answer}");
        metrics.catalog_changed(CatalogOutcome::Refused);
        assert_eq!(ask().await.contains("catalog"), status == 200);
        metrics.outage.database_away(true);
        assert!(ask().await.contains("503"), "the database is away");
        draining.cancel();
        assert!(ask().await.contains("draining"));
        stop.cancel();
        bounded("the end of the endpoint", serving).await.unwrap();
    }
}
