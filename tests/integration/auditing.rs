//! Audits on request and in the background.

use std::time::Duration;

use prost_types::Timestamp;
use tollgate_proto::v1;
use tollgate_server::config::Config;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, record, session};
use crate::harness::refusal::Refusal;
use crate::harness::wait::until;
use crate::metrics::get;

/// Noon of the first and of the second day on which something is recorded.
const DAYS: [i64; 2] = [1_790_000_000 / 86_400 * 86_400 + 43_200, 1_790_000_000 / 86_400 * 86_400 + 129_600];

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn everything() -> v1::RunAuditRequest {
    v1::RunAuditRequest::default()
}

fn around(day: i64) -> v1::RunAuditRequest {
    v1::RunAuditRequest { start_time: at(day - 10), end_time: at(day + 10) }
}

/// A server with a lifetime budget and an event at noon of each day.
async fn recorded(config: &Config) -> TestServer {
    let server = TestServer::configured(config).await;
    server.budgets.clone().create_budget(create(budget("daily", "100"))).await.unwrap();
    for (name, day) in ["first", "second"].into_iter().zip(DAYS) {
        let mut event = event(session(name), 1_000, 1_000);
        event.start_time = at(day);
        event.end_time = None;
        server.usage.clone().record_usage(record(event)).await.unwrap();
    }
    server
}

async fn audit(server: &TestServer, request: v1::RunAuditRequest) -> v1::RunAuditResponse {
    server.admin.clone().run_audit(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn an_audit_on_request_names_what_disagrees_in_its_time() {
    let server = recorded(&Config::default()).await;
    let [first, second] = DAYS;
    let whole = audit(&server, everything()).await;
    assert_eq!((whole.events, whole.findings.len(), whole.truncated), (2, 0, false), "{whole:?}");
    assert!(whole.as_of.is_some());
    assert_eq!(audit(&server, around(first)).await.events, 1);

    server
        .execute(
            "UPDATE usage_rollup SET usd = usd + 1, text_in_usd = text_in_usd + 1 WHERE grain = 1
         AND bucket = (SELECT min(bucket) FROM usage_rollup WHERE grain = 1)",
        )
        .await;
    let found = audit(&server, around(first)).await;
    let names: Vec<&str> = found.findings.iter().map(|finding| finding.subject.split(':').next().unwrap()).collect();
    // The day no longer is the sum of its quarter hours.
    assert_eq!(names, ["usage_rollup_quarters", "usage_rollup_days", "usage_rollup_days"], "{found:?}");
    let finding = &found.findings[0];
    assert!(finding.subject.ends_with(": usd") && finding.subject.contains(": bucket "), "{finding:?}");
    assert_eq!((finding.expected.as_str(), finding.found.as_str()), ("0.0125", "1.0125"));
    assert!(!found.truncated);
    assert_eq!(audit(&server, around(second)).await.findings, []);
    assert_eq!(audit(&server, everything()).await.findings.len(), 1);
}

#[tokio::test]
async fn an_audit_on_request_is_bounded() {
    let mut config = Config::default();
    config.audit.request_events = 1;
    let server = recorded(&config).await;
    let refused = async |request| Refusal::of(&server.admin.clone().run_audit(request).await.unwrap_err());
    let too_wide = Refusal::new(Code::FailedPrecondition, "QUERY_TOO_WIDE", &[]);
    assert_eq!(refused(everything()).await, too_wide);
    assert_eq!(audit(&server, around(DAYS[0])).await.events, 1);

    let [first, second] = DAYS;
    let invalid = |field| Refusal::new(Code::InvalidArgument, "INVALID_FIELD", &[field]);
    for (start_time, end_time, field) in [
        (at(first), None, "end_time"),
        (None, at(first), "start_time"),
        (at(second), at(first), "end_time"),
        (at(first), at(first), "end_time"),
        (at(-1), at(first), "start_time"),
    ] {
        assert_eq!(refused(v1::RunAuditRequest { start_time, end_time }).await, invalid(field));
    }
}

#[tokio::test]
async fn one_audit_at_a_time_runs_on_request() {
    let server = recorded(&Config::default()).await;
    let pool = server.pool();
    let mut blocking = pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE session_usage").execute(&mut *blocking).await.unwrap();
    let mut admin = server.admin.clone();
    let running = tokio::spawn(async move { admin.run_audit(everything()).await });
    until("the audit that waits", || async {
        let waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'session_usage'::regclass)";
        sqlx::query_scalar::<_, bool>(waiting).fetch_one(&pool).await.unwrap().then_some(())
    })
    .await;
    let status = server.admin.clone().run_audit(everything()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let retry = status.get_error_details().retry_info().and_then(|retry| retry.retry_delay);
    assert_eq!(retry, Some(Duration::from_secs(5)));
    blocking.rollback().await.unwrap();
    assert_eq!(running.await.unwrap().unwrap().into_inner().findings, []);
    assert_eq!(audit(&server, everything()).await.findings, []);
}

#[tokio::test]
async fn invariant_3_a_drift_is_told_once_and_shows_in_the_metrics_until_it_is_mended() {
    let mut config = Config::default();
    config.metrics.listen = Some("127.0.0.1:0".parse().unwrap());
    config.audit.interval = Duration::from_millis(50);
    let server = recorded(&config).await;
    let shows = async |line: &str| {
        until(line, || async { get(&server, "/metrics").await.contains(line).then_some(()) }).await;
    };
    shows("tollgate_audit_drifting_rows{check=\"session_totals\"} 0\n").await;
    let text = get(&server, "/metrics").await;
    assert!(!text.contains("tollgate_audit_runs_total{outcome=\"holds\"} 0\n"), "{text}");
    assert!(text.contains("tollgate_audit_runs_total{outcome=\"drifts\"} 0\n"), "{text}");
    assert!(!text.contains("tollgate_audit_last_success_timestamp_seconds 0\n"), "{text}");
    server.execute("UPDATE session_usage SET calls = calls + 1").await;
    shows("tollgate_audit_drifting_rows{check=\"session_totals\"} 2\n").await;
    // More than one round sees it.
    let few = [0, 1].map(|rounds| format!("tollgate_audit_runs_total{{outcome=\"drifts\"}} {rounds}\n"));
    until("two rounds have seen the drift", || async {
        let text = get(&server, "/metrics").await;
        (!few.iter().any(|line| text.contains(line))).then_some(())
    })
    .await;
    server.execute("UPDATE session_usage SET calls = calls - 1").await;
    shows("tollgate_audit_drifting_rows{check=\"session_totals\"} 0\n").await;
    // Many rounds saw it; it was told once.
    let alerts = server.alerts.clone().list_alerts(v1::ListAlertsRequest::default()).await.unwrap().into_inner().alerts;
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert_eq!(alert.kind(), v1::alert::Kind::AuditMismatch);
    assert_eq!((alert.audit_check.as_str(), alert.drifting_rows), ("session_totals", 2), "{alert:?}");
    assert_eq!(alert.severity(), v1::alert::Severity::Critical);
    assert_eq!(
        alert.summary,
        "the ledger drifts: 2 rows of session_totals; run `tollgate verify`, then `tollgate rebuild`"
    );
}
