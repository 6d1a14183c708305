//! What callers send reaches no line of the log, no span and no metric, whatever they call and however it ends.

mod filling;
mod wire;

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, MethodDescriptor};
use tollgate_proto::v1;
use tollgate_proto::v1::alert_service_client::AlertServiceClient;
use tollgate_proto::v1::budget_service_client::BudgetServiceClient;
use tollgate_proto::v1::usage_service_client::UsageServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use self::filling::{CONTENT, Filling, NAME};
use crate::harness::build::{budget, create, event, id, model, record, reserve, settling};
use crate::harness::collector::Collector;
use crate::harness::database;
use crate::harness::program::Program;
use crate::harness::wait::until;

/// A caller's trace, sampled.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const CANARY: &str = "canary";

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(tollgate_proto::FILE_DESCRIPTOR_SET).unwrap();
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// Dimensions of canaries, labels included.
fn dimensions() -> v1::Dimensions {
    let text = || CONTENT.to_owned();
    v1::Dimensions {
        user_id: text(),
        session_id: text(),
        agent_name: text(),
        customer_id: text(),
        labels: [(NAME.to_owned(), text())].into(),
        ..Default::default()
    }
}

/// Calls that are answered well, and raise alerts: a canary in everything that is free text.
async fn take_the_good_ways(channel: &Channel) {
    let mut usage = UsageServiceClient::new(channel.clone());
    let mut budgets = BudgetServiceClient::new(channel.clone());
    let mut alerts = AlertServiceClient::new(channel.clone());
    let mut limited = budget(&format!("{NAME}-budget"), "0.01");
    limited.display_name = CONTENT.to_owned();
    limited.annotations = [(NAME.to_owned(), CONTENT.to_owned())].into();
    limited.per = vec![crate::harness::build::key("user_id")];
    budgets.create_budget(create(limited)).await.unwrap();

    let mut told = event(dimensions(), 1_000, 1_000);
    told.request_model = Some(model(NAME, NAME));
    told.metadata_json = format!(r#"{{"prompt":"{CONTENT}"}}"#);
    told.call_id = NAME.to_owned();
    told.error_type = CONTENT.to_owned();
    usage.record_usage(record(told.clone())).await.unwrap();
    // The same id with other content, and an amendment of the first telling.
    let mut other = told.clone();
    other.error_type = format!("{CONTENT}-2");
    usage.record_usage(record(other)).await.unwrap_err();
    let Some(v1::usage_event::Key::EventId(event_id)) = told.key.clone() else { panic!("it has an id") };
    let amend = v1::AmendUsageRequest {
        request_id: id(),
        event_id,
        expected_revision: 1,
        change: Some(v1::amend_usage_request::Change::Reattribute(v1::Dimensions {
            user_id: format!("{CONTENT}-3"),
            ..dimensions()
        })),
        reason: CONTENT.to_owned(),
        ..Default::default()
    };
    usage.amend_usage(amend).await.unwrap();

    let mut read = event(dimensions(), 0, 0);
    let json = format!(
        r#"{{"id":"{CONTENT}","choices":[{{"message":{{"content":"{CONTENT}"}}}}],"usage":{{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}}}"#
    );
    read.usage = Some(v1::usage_event::Usage::ProviderUsage(v1::ProviderUsage {
        api: "openai.chat".to_owned(),
        json: json.into_bytes(),
    }));
    usage.record_usage(record(read)).await.unwrap();

    let held = reserve(dimensions(), 100, 100);
    let answer = budgets.check_budget(held.clone()).await.unwrap().into_inner();
    assert_eq!(answer.decision(), v1::Decision::Allowed);
    usage.record_usage(record(settling(event(dimensions(), 10_000, 10_000), &held.reservation_id))).await.unwrap();
    let refused = budgets.check_budget(reserve(dimensions(), 1_000, 1_000)).await.unwrap().into_inner();
    assert_eq!(refused.decision(), v1::Decision::Denied);
    let release = v1::ReleaseReservationRequest { reservation_id: held.reservation_id, reason: CONTENT.to_owned() };
    budgets.release_reservation(release).await.unwrap();
    let raised = until("alerts are raised", || {
        let mut alerts = alerts.clone();
        async move {
            let listed = alerts.list_alerts(v1::ListAlertsRequest::default()).await.unwrap().into_inner().alerts;
            (listed.len() > 1).then_some(listed)
        }
    })
    .await;
    let acknowledge = v1::AcknowledgeAlertRequest { alert_id: raised[0].alert_id.clone(), note: CONTENT.to_owned() };
    alerts.acknowledge_alert(acknowledge).await.unwrap();
}

/// Everything that a refusal tells.
fn told_by(status: &Status) -> String {
    format!("{} {} {:?}", status.message(), String::from_utf8_lossy(status.details()), status.metadata())
}

#[tokio::test]
async fn what_callers_send_is_in_no_log_no_span_no_metric_and_no_refusal() {
    let collector = Collector::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let metrics = format!("127.0.0.1:{port}");
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("TOLLGATE_TELEMETRY__SAMPLE_RATIO", "1"),
        ("TOLLGATE_METRICS__LISTEN", metrics.as_str()),
        ("RUST_LOG", "trace"),
    ];
    let server = Program::start(&database().await, &variables).await;
    let channel = server.channel().await;
    take_the_good_ways(&channel).await;

    let (mut codes, mut leaks) = (BTreeSet::new(), Vec::new());
    for method in methods() {
        for plausible in [true, false] {
            for variant in 0..4 {
                let message = Filling { plausible, variant }.message(&method.input());
                match wire::call(&channel, &method, &message, TRACEPARENT).await {
                    Ok(_) => drop(codes.insert((method.full_name().to_owned(), Code::Ok as i32))),
                    Err(status) => {
                        codes.insert((method.full_name().to_owned(), status.code() as i32));
                        if status.code() == Code::Internal || told_by(&status).contains(CONTENT) {
                            leaks.push(format!("{}: {}", method.full_name(), told_by(&status)));
                        }
                    }
                }
            }
        }
    }
    let refused = codes.iter().filter(|(_, code)| *code == Code::InvalidArgument as i32).count();
    let taken = codes.iter().filter(|(_, code)| *code == Code::Ok as i32).count();

    // A credential that is none is repeated nowhere either.
    let mut guessed = tonic::Request::new(v1::ListAlertsRequest::default());
    guessed.metadata_mut().insert("authorization", format!("Bearer {CANARY}-key").parse().unwrap());
    let refusal = AlertServiceClient::new(channel.clone()).list_alerts(guessed).await.unwrap_err();
    assert!(refusal.code() == tonic::Code::Unauthenticated && !told_by(&refusal).contains(CANARY), "{refusal:?}");
    let scraped = scrape(port).await;
    assert!(scraped.contains("tollgate_rpc_total") && !scraped.contains(CANARY), "{scraped}");
    drop(channel);
    let log = server.stop().await;
    assert!(log.contains("TRACE") && log.contains("alert raised"), "everything is logged");
    leaks.extend(log.lines().filter(|line| line.contains(CANARY)).take(20).map(|line| format!("log: {line}")));
    assert!(leaks.is_empty(), "what was sent is repeated, or a method is broken by it:\n{}", leaks.join("\n"));
    let called: BTreeSet<&str> = codes.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(called.len(), methods().len());
    assert!(refused > 25 && taken > 3, "{codes:?}");
    let spans = collector.spans();
    assert!(spans.names().len() > 100 && !format!("{spans:?}").contains(CANARY), "{:?}", spans.names());
}

async fn scrape(port: u16) -> String {
    crate::metrics::ask(std::net::SocketAddr::from(([127, 0, 0, 1], port)), "/metrics").await
}
