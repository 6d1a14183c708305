//! Lists, streams and acknowledgements.

use std::time::Duration;

use futures::StreamExt as _;
use tollgate_client::Client;
use tollgate_server::app::AppError;
use tollgate_server::app::alerts::AlertStreamRequest;
use tollgate_server::auth::Permission;
use tollgate_server::tenant::TenantId;
use tonic::{Code, Streaming};

use super::*;
use crate::harness::refusal::Refusal;
use crate::harness::wait::bounded;

async fn follow(server: &TestServer, budget_ids: &[&str], cursor: &str) -> Streaming<v1::StreamAlertsResponse> {
    let request = v1::StreamAlertsRequest {
        budget_ids: budget_ids.iter().map(|id| (*id).to_owned()).collect(),
        cursor: cursor.to_owned(),
        heartbeat: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
    };
    server.alerts.clone().stream_alerts(request).await.unwrap().into_inner()
}

/// The next message that has alerts, or the next one of all.
async fn message(stream: &mut Streaming<v1::StreamAlertsResponse>, heartbeats_too: bool) -> v1::StreamAlertsResponse {
    loop {
        let message = bounded("a message", stream.message()).await.unwrap().unwrap();
        if heartbeats_too || !message.alerts.is_empty() {
            return message;
        }
    }
}

/// A server without notices between replicas.
async fn deaf(server: &TestServer) -> TestServer {
    let mut config = Config::default();
    config.live.notify = false;
    TestServer::over(server.options.clone(), &config).await
}

#[tokio::test]
async fn a_stream_tells_what_other_replicas_raise_within_two_seconds() {
    let server = TestServer::start().await;
    let rules = (1..=9).map(|tenth| on_spent(&format!("0.{tenth}"))).collect();
    keep(&server, with_rules("b", "0.125", rules)).await;
    let (hearing, polling) = (server.replica().await, deaf(&server).await);
    let mut streams =
        [follow(&server, &[], "").await, follow(&hearing, &[], "").await, follow(&polling, &[], "").await];
    for stream in &mut streams {
        assert_eq!(message(stream, true).await.alerts.len(), 0, "from now on");
    }
    for tenth in 1..=3 {
        spend(&server, "s").await;
        let told = tokio::time::Instant::now();
        for stream in &mut streams {
            let alerts = message(stream, false).await.alerts;
            assert_eq!(counted(&alerts), once([format!("RULE_FIRED b 0.{tenth} SPENT ALERT").as_str()]));
        }
        assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    }
}

#[tokio::test]
async fn a_stream_resumes_on_another_replica_without_a_gap() {
    let server = TestServer::start().await;
    let rules = (1..=9).map(|tenth| on_spent(&format!("0.{tenth}"))).collect();
    keep(&server, with_rules("b", "0.125", rules)).await;
    keep(&server, with_rules("other", "0.02", vec![on_spent("0.5")])).await;
    let mut stream = follow(&server, &["b"], "").await;
    message(&mut stream, true).await;
    spend(&server, "s").await;
    let first = message(&mut stream, false).await;
    assert_eq!(counted(&first.alerts), once(["RULE_FIRED b 0.1 SPENT ALERT"]), "of this budget alone");
    drop(stream);
    for _ in 0..3 {
        spend(&server, "s").await;
    }
    let replica = server.replica().await;
    let mut stream = follow(&replica, &["b"], &first.cursor).await;
    let missed = message(&mut stream, true).await;
    let names: Vec<String> = missed.alerts.iter().map(name).collect();
    assert_eq!(names, ["0.2", "0.3", "0.4"].map(|share| format!("RULE_FIRED b {share} SPENT ALERT")), "oldest first");
    let mut stream = follow(&replica, &[], &missed.cursor).await;
    let heartbeat = message(&mut stream, true).await;
    assert_eq!((heartbeat.alerts.len(), &heartbeat.cursor), (0, &missed.cursor));

    let broken = v1::StreamAlertsRequest { cursor: "from the start".to_owned(), ..Default::default() };
    let status = server.alerts.clone().stream_alerts(broken).await.unwrap_err();
    assert_eq!(Refusal::of(&status), Refusal::new(Code::InvalidArgument, "INVALID_FIELD", &["cursor"]));
    let unknown = v1::StreamAlertsRequest { budget_ids: vec!["none".to_owned()], ..Default::default() };
    let status = server.alerts.clone().stream_alerts(unknown).await.unwrap_err();
    assert_eq!(Refusal::of(&status), Refusal::new(Code::NotFound, "BUDGET_NOT_FOUND", &[]));
}

#[tokio::test]
async fn a_stream_tells_more_than_one_message_holds() {
    let server = TestServer::start().await;
    let mut stream = follow(&server, &[], "").await;
    let start = message(&mut stream, true).await.cursor;
    let events = (0..250).map(|number| v1::UsageEvent {
        request_model: Some(crate::harness::build::model("openai", &format!("new-{number}"))),
        ..event(session("s"), 1, 1)
    });
    let request = v1::BatchRecordUsageRequest { events: events.collect(), view: v1::ResponseView::Ack.into() };
    server.usage.clone().batch_record_usage(request).await.unwrap();
    for mut stream in [stream, follow(&server, &[], &start).await] {
        let mut told = Vec::new();
        while told.len() < 250 {
            let alerts = message(&mut stream, false).await.alerts;
            assert!(alerts.len() <= 100);
            told.extend(alerts);
        }
        assert_eq!(counted(&told).len(), 250, "each once");
    }
}

#[tokio::test]
async fn a_stream_ends_as_unavailable_when_the_server_drains() {
    let server = TestServer::start().await;
    let mut stream = follow(&server, &[], "").await;
    message(&mut stream, true).await;
    server.running.as_ref().unwrap().stop();
    let ended = loop {
        match bounded("the end", stream.message()).await {
            Ok(Some(_)) => {}
            ended => break ended,
        }
    };
    assert_eq!(Refusal::of(&ended.unwrap_err()), Refusal::new(Code::Unavailable, "SHUTTING_DOWN", &[]));
}

#[tokio::test]
async fn an_acknowledgement_stands_and_lists_leave_it_out() {
    let server = TestServer::start().await;
    keep(&server, with_rules("a", "0.02", vec![on_spent("0.5")])).await;
    keep(&server, with_rules("b", "0.02", vec![on_spent("0.5")])).await;
    spend(&server, "s").await;
    let client = Client::builder(&server.url).connect().await.unwrap();
    let of_a = v1::ListAlertsRequest { budget_id: "a".to_owned(), ..Default::default() };
    let alert = client.list_alerts(of_a.clone()).next().await.unwrap().unwrap();
    assert_eq!((alert.note.as_str(), alert.acknowledge_time), ("", None));
    let first = client.acknowledge_alert(&alert.alert_id, "raised the limit").await.unwrap();
    assert!(first.acknowledge_time.is_some());
    let second = client.acknowledge_alert(&alert.alert_id, "somebody else").await.unwrap();
    assert_eq!(first, second);
    assert_eq!(list(&server, of_a.clone()).await, [first]);
    let open = v1::ListAlertsRequest { unacknowledged_only: true, ..Default::default() };
    assert_eq!(counted(&list(&server, open).await), once(["RULE_FIRED b 0.5 SPENT ALERT"]));
    let future =
        v1::ListAlertsRequest { start_time: Some(crate::harness::time::seconds_from_now(3_600)), ..Default::default() };
    assert_eq!(list(&server, future).await, []);
    let error = client.acknowledge_alert(crate::harness::build::id(), "").await.unwrap_err();
    assert!(
        matches!(&error, tollgate_client::Error::Refused(refusal) if refusal.reason() == "ALERT_NOT_FOUND"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_acknowledgement_tells_which_key_it_was() {
    let server = TestServer::start().await;
    keep(&server, with_rules("a", "0.02", vec![on_spent("0.5")])).await;
    spend(&server, "s").await;
    let alert = all(&server).await.remove(0);
    assert_eq!(alert.acknowledged_by, "");
    let key = server.key(&[Permission::Budgets]).await;
    let seen = v1::AcknowledgeAlertRequest { alert_id: alert.alert_id, note: String::new() };
    server.showing(&key.secret).alerts.acknowledge_alert(seen).await.unwrap();
    assert_eq!(all(&server).await.remove(0).acknowledged_by, key.id);
}

#[tokio::test]
async fn pages_tell_every_alert_once_and_belong_to_their_request() {
    let server = TestServer::start().await;
    let rules = (1..=9).map(|tenth| on_spent(&format!("0.{tenth}"))).collect();
    keep(&server, with_rules("b", "0.0125", rules)).await;
    spend(&server, "s").await;
    let client = Client::builder(&server.url).connect().await.unwrap();
    let request = v1::ListAlertsRequest { page_size: 2, ..Default::default() };
    let told: Vec<v1::Alert> = client.list_alerts(request.clone()).map(Result::unwrap).collect().await;
    assert_eq!(told, all(&server).await);
    assert_eq!(told.len(), 9);
    let page = server.alerts.clone().list_alerts(request).await.unwrap().into_inner();
    let other =
        v1::ListAlertsRequest { unacknowledged_only: true, page_token: page.next_page_token, ..Default::default() };
    let status = server.alerts.clone().list_alerts(other).await.unwrap_err();
    assert_eq!(Refusal::of(&status), Refusal::new(Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]));
}

#[tokio::test]
async fn the_client_follows_over_a_restart() {
    let server = TestServer::start().await;
    keep(&server, with_rules("b", "0.0375", vec![on_spent("0.3"), on_spent("0.6")])).await;
    let address = server.running.as_ref().unwrap().address;
    let client = Client::builder(&server.url).connect().await.unwrap();
    let before = message(&mut follow(&server, &["b"], "").await, true).await.cursor;
    spend(&server, "s").await;
    let mut alerts = client.alerts_after(["b"], before);
    let first = bounded("the first alert", alerts.next()).await.unwrap().unwrap();
    assert_eq!(name(&first.alert), "RULE_FIRED b 0.3 SPENT ALERT");
    let options = server.options.clone();
    let mut stopping = server;
    let running = stopping.running.take().unwrap();
    running.stop();
    running.stopped().await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let database = tollgate_server::boot::Database::given(options.clone());
    let again = TestServer::over(options, &Config::default()).await;
    spend(&again, "s").await;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tollgate_server::boot::start(&Config::default(), &database, listener, stop).await.unwrap();
    let second = bounded("the second alert", alerts.next()).await.unwrap().unwrap();
    assert_eq!(name(&second.alert), "RULE_FIRED b 0.6 SPENT ALERT");
    running.stop();
}

#[tokio::test]
async fn one_tenant_s_streams_leave_room_for_those_of_others() {
    let mut config = Config::default();
    (config.live.alert_streams, config.live.alert_streams_per_tenant) = (3, 2);
    let server = TestServer::configured(&config).await;
    server.execute("INSERT INTO tenant (tenant_id, name) VALUES (2, 'quiet'), (3, 'late')").await;
    let app = &server.running.as_ref().unwrap().app;
    let request = || AlertStreamRequest { budget_ids: Vec::new(), after: None, heartbeat: Duration::from_secs(5) };
    let (first, second) = (follow(&server, &[], "").await, follow(&server, &[], "").await);
    let refused = server.alerts.clone().stream_alerts(v1::StreamAlertsRequest::default()).await.unwrap_err();
    assert_eq!(Refusal::of(&refused), Refusal::new(Code::ResourceExhausted, "TOO_MANY_STREAMS", &[]));
    assert!(refused.message().contains("tenant"), "{refused:?}");
    let quiet = app.stream_alerts(TenantId(2), request()).await.unwrap();
    assert!(matches!(app.stream_alerts(TenantId(3), request()).await.err(), Some(AppError::Full { .. })));
    drop((first, second, quiet));
    until("there is room again", || async { app.stream_alerts(TenantId(3), request()).await.ok().map(drop) }).await;
}
