//! Traces, from a client that has one to the statements of the batch that carried its call.

use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{FutureExt as _, Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tollgate_client::Client;
use tollgate_proto::v1;
use tollgate_proto::v1::usage_service_client::UsageServiceClient;

use crate::harness::build::{event, record, session};
use crate::harness::collector::{Collector, attribute};
use crate::harness::database;
use crate::harness::program::Program;

const RECORD: &str = "tollgate.v1.UsageService/RecordUsage";
const BATCH: &str = "tollgate.v1.UsageService/BatchRecordUsage";

/// A program that traces and calls Tollgate.
struct Caller {
    provider: SdkTracerProvider,
    client: Client,
}

impl Caller {
    fn new(collector: &Collector, server: &Program) -> Self {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(&collector.url).build().unwrap();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
        let client = Client::builder(&server.url).connect_lazy().unwrap();
        Self { provider, client }
    }

    /// Calls within a new trace, and tells its id.
    async fn call<T>(&self, call: impl Future<Output = T>) -> ([u8; 16], T) {
        let span = self.provider.tracer("caller").start("caller");
        let trace_id = span.span_context().trace_id().to_bytes();
        let answer = call.with_context(Context::current_with_span(span)).await;
        (trace_id, answer)
    }

    async fn flush(self) {
        tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(Duration::from_secs(60)))
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn one_trace_leads_from_the_client_to_the_statements() {
    let collector = Collector::start().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("TOLLGATE_TELEMETRY__SAMPLE_RATIO", "0"),
        ("TOLLGATE_LOG__FORMAT", "json"),
        ("TOLLGATE_LOG__FILTER", "debug"),
    ];
    let server = Program::start(&database().await, &variables).await;
    let caller = Caller::new(&collector, &server);
    let usage = || UsageServiceClient::new(caller.client.transport());

    // Not sampled: it leaves no span.
    UsageServiceClient::new(server.channel().await).record_usage(record(event(session("s"), 1, 1))).await.unwrap();
    let (recorded, answer) =
        caller.call(async { usage().record_usage(record(event(session("canary-session"), 1_000, 1_000))).await }).await;
    answer.unwrap();
    let mut broken = record(event(session("canary-session"), 1, 1));
    broken.event.as_mut().unwrap().start_time = None;
    let (refused, answer) = caller.call(async { usage().record_usage(broken).await }).await;
    answer.unwrap_err();
    let events = (0..200).map(|_| event(session("canary-session"), 1, 1)).collect();
    let batch = v1::BatchRecordUsageRequest { events, ..Default::default() };
    let (batched, answer) = caller.call(async { usage().batch_record_usage(batch).await }).await;
    assert_eq!(answer.unwrap().into_inner().items.len(), 200);
    caller.flush().await;
    let log = server.stop().await;

    let spans = collector.spans().of_trace(recorded);
    let (client, rpc) = (spans.one("caller"), spans.one(RECORD));
    assert_eq!(rpc.parent_span_id, client.span_id);
    assert_eq!(attribute(rpc, "rpc.system.name").as_deref(), Some("grpc"));
    assert_eq!(attribute(rpc, "rpc.response.status_code").as_deref(), Some("OK"));
    assert_eq!(spans.below(rpc), BTreeSet::from(["ledger.commit", "ledger.queue"]));
    let commit = spans.one("ledger.commit");
    let carrier = spans.one("ledger.batch");
    assert_eq!(spans.below(commit), BTreeSet::from(["ledger.batch"]));
    let linked = |span: &opentelemetry_proto::tonic::trace::v1::Span| -> Vec<Vec<u8>> {
        span.links.iter().map(|link| link.span_id.clone()).collect()
    };
    assert_eq!((linked(carrier), linked(commit)), (vec![commit.span_id.clone()], vec![carrier.span_id.clone()]));
    let statements = spans.below(carrier);
    for name in ["begin", "dictionary/add_symbols", "ledger/record", "ledger/conclude", "commit"] {
        assert!(statements.contains(name), "{name} of {statements:?}");
    }
    let statement = spans.one("ledger/record");
    assert_eq!(attribute(statement, "db.system.name").as_deref(), Some("postgresql"));
    assert_eq!(attribute(statement, "db.operation.name").as_deref(), Some("INSERT"));

    // A refusal is the caller's: its span says so, and a line of the log leads to the trace.
    let spans = collector.spans().of_trace(refused);
    assert_eq!(attribute(spans.one(RECORD), "rpc.response.status_code").as_deref(), Some("INVALID_ARGUMENT"));
    assert_eq!(spans.names().len(), 2, "{:?}", spans.names());
    let hex: String = refused.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["trace_id"] == hex).unwrap_or_else(|| panic!("{hex} in {log}"));
    assert_eq!((&line["fields"]["method"], &line["fields"]["code"]), (&RECORD.into(), &"INVALID_ARGUMENT".into()));

    // However many commands a batch carries, it is linked with a few.
    let spans = collector.spans().of_trace(batched);
    assert_eq!(spans.named(BATCH).len(), 1);
    assert_eq!(spans.named("ledger.commit").len(), 200);
    let links: Vec<usize> = spans.named("ledger.batch").iter().map(|span| span.links.len()).collect();
    assert!(links.iter().any(|count| *count > 1) && links.iter().all(|count| *count <= 64), "{links:?}");

    let all = collector.spans();
    assert!(!format!("{all:?}").contains("canary"), "{all:?}");
    let traces: BTreeSet<&[u8]> = all.0.iter().map(|span| span.trace_id.as_slice()).collect();
    assert_eq!(traces, BTreeSet::from([recorded.as_slice(), &refused, &batched]), "only sampled calls are traced");
}

#[tokio::test]
async fn a_collector_that_is_away_holds_up_nothing() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let variables = [
        ("TOLLGATE_TELEMETRY__OTLP_ENDPOINT", endpoint.as_str()),
        ("TOLLGATE_TELEMETRY__SAMPLE_RATIO", "1"),
        ("TOLLGATE_SERVER__DRAIN_TIMEOUT", "3s"),
    ];
    let server = Program::start(&database().await, &variables).await;
    let client = Client::builder(&server.url).connect().await.unwrap();
    for _ in 0..20 {
        let mut usage = UsageServiceClient::new(client.transport());
        usage.record_usage(record(event(session("s"), 1, 1))).await.unwrap();
    }
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_collector_that_cannot_be_named_is_refused_at_the_start() {
    let refused = tokio::process::Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("serve")
        .env_clear()
        .env("TOLLGATE_TELEMETRY__OTLP_ENDPOINT", "not a url")
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && text.contains("telemetry.otlp_endpoint"), "{text}");
}
