//! Bounds: shares of the queue, deadlines, and names that are made up for every call.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::task::JoinSet;
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::event::UsageEvent;
use tollgate_proto::v1;
use tollgate_server::app::{App, AppError};
use tollgate_server::config::Config;
use tollgate_server::grpc::convert::event::event as to_domain;
use tollgate_server::ledger::{Pins, RecordTold};
use tollgate_server::store::ledger::BUDGETS_LOCK;
use tollgate_server::tenant::TenantId;
use tonic::{Code, Request};

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, id, key, record, session};
use crate::harness::refusal::Refusal;
use crate::harness::wait::{bounded, until};
use crate::metrics::get;

const QUIET: TenantId = TenantId(2);

/// A connection that holds up a tenant's batches until it is closed.
pub(crate) async fn holding_up(server: &TestServer, tenant: TenantId) -> PgConnection {
    let mut connection = PgConnection::connect_with(&server.options).await.unwrap();
    sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
    // What a change of the tenant's budgets takes.
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind(BUDGETS_LOCK)
        .bind(tenant.0)
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

/// Waits until a batch of the tenant waits for the connection that holds it up.
pub(crate) async fn until_held_up(server: &TestServer) {
    let pool = server.pool();
    until("a batch waits", || async {
        let waiting: i64 = sqlx::query(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = \
                         (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(&pool)
        .await
        .unwrap()
        .get(0);
        (waiting > 0).then_some(())
    })
    .await;
}

/// Enqueues events of the local tenant in one batch.
async fn enqueued(app: &App, events: Vec<UsageEvent>) -> Result<Vec<Result<RecordTold, AppError>>, AppError> {
    app.enqueue_batch(TenantId::LOCAL, events, Ok, &Pins::default(), false).await
}

async fn count(server: &TestServer, table: &str) -> i64 {
    let statement = format!("SELECT count(*) FROM {table}");
    sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_one(&server.pool()).await.unwrap().get(0)
}

#[tokio::test]
async fn a_tenant_that_floods_leaves_room_for_the_others() {
    let mut config = Config::default();
    config.ledger.queue_items = 80;
    let server = TestServer::configured(&config).await;
    server.execute("INSERT INTO tenant (tenant_id, name) VALUES (2, 'quiet')").await;
    let app = &server.running.as_ref().unwrap().app;
    let one = || to_domain(Some(event(session("s1"), 10, 10)), "event", &Dimensions::default()).unwrap();
    let locked = holding_up(&server, TenantId::LOCAL).await;
    let mut waiting = enqueued(app, vec![one()]).await.unwrap();
    until_held_up(&server).await;
    // One batch of more than there is room for: what fits is taken, the rest is refused.
    let (taken, refused): (Vec<_>, Vec<_>) =
        enqueued(app, (0..200).map(|_| one()).collect()).await.unwrap().into_iter().partition(Result::is_ok);
    assert!(!refused.is_empty() && taken.len() + refused.len() == 200);
    for refused in refused {
        let refused = refused.err().unwrap();
        assert!(matches!(refused, AppError::Full { what, .. } if what.contains("share")), "{refused}");
    }
    waiting.extend(taken);
    let refused = enqueued(app, vec![one()]).await.err().unwrap();
    assert!(matches!(refused, AppError::Full { what, .. } if what.contains("share")), "{refused}");
    assert!(waiting.len() < 80, "the reserve is left");

    bounded("the quiet tenant's call", app.record(QUIET, one(), Pins::default(), false)).await.unwrap();

    let status = server.usage.clone().record_usage(record(event(session("s1"), 10, 10))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap();
    assert!(pushback.parse::<u64>().unwrap() > 0);
    // It is not even decoded: what these say would be refused for itself.
    let mut usage = server.usage.clone();
    let undecoded = [
        usage.record_usage(v1::RecordUsageRequest::default()).await.unwrap_err(),
        usage.batch_record_usage(v1::BatchRecordUsageRequest::default()).await.unwrap_err(),
    ];
    for status in undecoded {
        let refusal = Refusal::of(&status);
        assert_eq!((refusal.code, &*refusal.reason), (Code::ResourceExhausted, "QUEUE_FULL"), "{status:?}");
    }
    drop(locked);
    for answer in waiting {
        bounded("a call of the flood", answer.unwrap()).await.unwrap().unwrap();
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn what_is_too_late_is_never_recorded() {
    let server = TestServer::start().await;
    let locked = holding_up(&server, TenantId::LOCAL).await;
    let call = |timeout: Option<Duration>, event: v1::UsageEvent| {
        let mut usage = server.usage.clone();
        let mut request = Request::new(record(event));
        timeout.inspect(|timeout| request.set_timeout(*timeout));
        tokio::spawn(async move { usage.record_usage(request).await })
    };
    let first = call(None, event(session("in time"), 10, 10));
    until_held_up(&server).await;
    let late = event(session("late"), 10, 10);
    let timed_out = call(Some(Duration::from_millis(300)), late.clone());
    let patient = call(None, event(session("patient"), 10, 10));
    assert!(bounded("the call that is late", timed_out).await.unwrap().is_err());
    drop(locked);
    bounded("the first call", first).await.unwrap().unwrap();
    bounded("the patient call", patient).await.unwrap().unwrap();
    assert_eq!(count(&server, "usage_event").await, 2, "the late one was dropped");
    let again = server.usage.clone().record_usage(record(late)).await.unwrap().into_inner();
    assert_eq!(again.result(), v1::RecordResult::Recorded, "the same id, again, is the first telling");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_call_that_the_server_s_deadline_ended_says_so_and_is_counted_so() {
    let mut config = Config::default();
    config.server.calls.timeout = Duration::from_millis(300);
    config.metrics.listen = Some("127.0.0.1:0".parse().unwrap());
    let server = TestServer::configured(&config).await;
    let _locked = holding_up(&server, TenantId::LOCAL).await;
    let status = server.usage.clone().record_usage(record(event(session("s1"), 10, 10))).await.unwrap_err();
    assert_eq!(Refusal::of(&status), Refusal::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", &[]));
    assert!(status.metadata().get("grpc-retry-pushback-ms").is_some(), "{status:?}");
    let counted = |code: &str| {
        format!("tollgate_rpc_total{{code=\"{code}\",method=\"tollgate.v1.UsageService/RecordUsage\"}} 1\n")
    };
    until("it is counted", || async {
        get(&server, "/metrics").await.contains(&counted("DEADLINE_EXCEEDED")).then_some(())
    })
    .await;
    assert!(!get(&server, "/metrics").await.contains(&counted("CANCELLED")));
}

#[tokio::test]
async fn a_call_that_was_given_up_in_time_is_recorded() {
    let server = TestServer::start().await;
    let locked = holding_up(&server, TenantId::LOCAL).await;
    let mut usage = server.usage.clone();
    let first = tokio::spawn(async move { usage.record_usage(record(event(session("first"), 10, 10))).await });
    until_held_up(&server).await;
    let app = server.running.as_ref().unwrap().app.clone();
    let given_up = to_domain(Some(event(session("given up"), 10, 10)), "event", &Dimensions::default()).unwrap();
    drop(enqueued(&app, vec![given_up]).await.unwrap());
    drop(locked);
    bounded("the first call", first).await.unwrap().unwrap();
    until("both are recorded", || async { (count(&server, "usage_event").await == 2).then_some(()) }).await;
}

/// A server on which three values fit each dimension.
async fn narrow() -> TestServer {
    let mut config = Config::default();
    config.limits.values_per_dimension = 3;
    config.limits.shapes_per_tenant = 20;
    config.limits.price_sheets_per_tenant = 2;
    TestServer::configured(&config).await
}

/// Its agent and its model are made up.
fn made_up(number: usize) -> v1::UsageEvent {
    let mut made_up = event(session("s1"), 1_000, 0);
    if let Some(dimensions) = &mut made_up.dimensions {
        dimensions.agent_name = format!("agent-{number:03}");
        dimensions.labels.insert("request".to_owned(), number.to_string());
    }
    if let Some(model) = &mut made_up.request_model
        && number % 2 == 1
    {
        (model.provider_name, model.model) = ("ollama".to_owned(), format!("model-{number:03}"));
    }
    made_up
}

fn by_agent(budget_id: &str) -> v1::Budget {
    v1::Budget { per: vec![key("agent_name")], unit: v1::Unit::InputTokens.into(), ..budget(budget_id, "1000000") }
}

#[tokio::test]
async fn names_made_up_for_every_call_are_counted_as_one_and_told_apart_by_budgets() {
    const EVENTS: usize = 40;
    let server = narrow().await;
    server.budgets.clone().create_budget(create(by_agent("before"))).await.unwrap();
    let events: Vec<v1::UsageEvent> = (0..EVENTS).map(made_up).collect();
    for part in events.chunks(5) {
        let batch = v1::BatchRecordUsageRequest { events: part.to_vec(), ..Default::default() };
        server.usage.clone().batch_record_usage(batch).await.unwrap();
    }
    let (shapes, sheets) = (count(&server, "shape").await, count(&server, "price_sheet").await);
    assert!(shapes <= 16, "{shapes} shapes: 4 agents by 4 models at most");
    assert!(sheets <= 4, "{sheets} price sheets");
    assert!(count(&server, "symbol WHERE dimension IN (18, 43)").await <= 6);

    // What is shown of an event is exact, and so are lists.
    let last = &events[EVENTS - 1];
    let Some(v1::usage_event::Key::EventId(event_id)) = last.key.clone() else { panic!("an id") };
    let get = v1::GetUsageRequest { key: Some(v1::get_usage_request::Key::EventId(event_id.clone())) };
    let shown = server.usage.clone().get_usage(get).await.unwrap().into_inner().record.unwrap().event.unwrap();
    assert_eq!(shown.dimensions, last.dimensions, "nothing but what was told");
    assert_eq!(shown.request_model, last.request_model);
    let list = v1::ListUsageRequest {
        filter: vec![v1::DimensionMatch {
            key: Some(key("agent_name")),
            values: vec!["agent-039".to_owned()],
            ..Default::default()
        }],
        models: vec!["model-039".to_owned()],
        ..Default::default()
    };
    let listed = server.usage.clone().list_usage(list).await.unwrap().into_inner();
    assert_eq!(listed.records.len(), 1);

    // Budgets count by the exact agent, those that count back as well.
    server.budgets.clone().create_budget(create(by_agent("after"))).await.unwrap();
    for budget_id in ["before", "after"] {
        let states = v1::ListBudgetStatesRequest { budget_id: budget_id.to_owned(), ..Default::default() };
        let states = server.budgets.clone().list_budget_states(states).await.unwrap().into_inner().states;
        assert_eq!(states.len(), EVENTS, "{budget_id}");
        assert!(states.iter().all(|state| state.spent == "1000"), "{budget_id}: {states:?}");
    }
    server.assert_audit_holds().await;

    // Corrections take back what was counted, where it was counted.
    let amend = v1::AmendUsageRequest {
        request_id: crate::harness::build::id(),
        event_id,
        expected_revision: 1,
        change: Some(v1::amend_usage_request::Change::Cancel(true)),
        reason: "wrong".to_owned(),
        ..Default::default()
    };
    server.usage.clone().amend_usage(amend).await.unwrap();
    server.assert_audit_holds().await;

    // A replica that remembers nothing counts the same names under the same numbers.
    let before = count(&server, "shape").await;
    let replica = TestServer::over(server.options.clone(), &{
        let mut config = Config::default();
        config.limits.values_per_dimension = 3;
        config.limits.shapes_per_tenant = 20;
        config.limits.price_sheets_per_tenant = 2;
        config
    })
    .await;
    for number in 0..EVENTS {
        replica.usage.clone().record_usage(record(made_up(number))).await.unwrap();
    }
    assert_eq!(count(&server, "shape").await, before);
    replica.assert_audit_holds().await;
}

#[tokio::test]
async fn combinations_are_bounded_as_values_are() {
    let mut config = Config::default();
    config.limits.values_per_dimension = 5;
    config.limits.shapes_per_tenant = 10;
    let server = TestServer::configured(&config).await;
    let mut events = Vec::new();
    for agent in 0..5 {
        for task in 0..5 {
            for model in ["gpt-4o", "gpt-4o-mini"] {
                let mut event = event(session("s1"), 1_000, 0);
                let dimensions = event.dimensions.as_mut().unwrap();
                dimensions.agent_name = format!("agent-{agent}");
                dimensions.task_name = format!("task-{task}");
                event.request_model.as_mut().unwrap().model = model.to_owned();
                events.push(event);
            }
        }
    }
    for part in events.chunks(7) {
        let batch = v1::BatchRecordUsageRequest { events: part.to_vec(), ..Default::default() };
        server.usage.clone().batch_record_usage(batch).await.unwrap();
    }
    assert_eq!(count(&server, "shape").await, 12, "ten, and one for each model");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn what_reads_much_takes_turns() {
    let mut config = Config::default();
    (config.limits.summaries_per_tenant, config.limits.summaries_waiting_per_tenant) = (1, 0);
    let server = TestServer::configured(&config).await;
    let app = &server.running.as_ref().unwrap().app;
    let (mut usage, mut budgets, mut admin) = (server.usage.clone(), server.budgets.clone(), server.admin.clone());
    let mut ask = async || {
        let rehearsal = v1::EraseSubjectRequest {
            subject: Some(v1::erase_subject_request::Subject::UserId("u1".to_owned())),
            request_id: id(),
            validate_only: true,
            ..Default::default()
        };
        [
            usage.list_usage(v1::ListUsageRequest::default()).await.err(),
            budgets.list_reservations(v1::ListReservationsRequest::default()).await.err(),
            budgets.list_budget_states(v1::ListBudgetStatesRequest::default()).await.err(),
            admin.run_audit(v1::RunAuditRequest::default()).await.err(),
            admin.erase_subject(rehearsal).await.err(),
        ]
    };
    let turn = app.turn_to_read(TenantId::LOCAL).await.unwrap();
    for refused in ask().await {
        let refused = refused.map(|status| Refusal::of(&status));
        assert_eq!(refused, Some(Refusal::new(Code::ResourceExhausted, "QUEUE_FULL", &[])));
    }
    drop(turn);
    for answer in ask().await {
        assert!(answer.is_none(), "{answer:?}");
    }
}

#[tokio::test]
async fn changes_of_budgets_that_wait_leave_connections_to_reads() {
    let mut config = Config::default();
    config.database.connections = 4;
    let server = TestServer::configured(&config).await;
    let locked = holding_up(&server, TenantId::LOCAL).await;
    let mut changes = JoinSet::new();
    for number in 0..70 {
        let mut budgets = server.budgets.clone();
        changes.spawn(async move { budgets.create_budget(create(budget(&format!("b{number}"), "1"))).await });
    }
    until_held_up(&server).await;
    // One is at it, and 64 wait for it.
    for _ in 65..70 {
        let refused = bounded("a refusal", changes.join_next()).await.unwrap().unwrap().unwrap_err();
        assert_eq!(Refusal::of(&refused), Refusal::new(Code::ResourceExhausted, "QUEUE_FULL", &[]));
    }
    for _ in 0..8 {
        let list = v1::ListBudgetsRequest::default();
        server.budgets.clone().list_budgets(list).await.unwrap();
    }
    drop(locked);
    for created in bounded("the changes", changes.join_all()).await {
        created.unwrap();
    }
}

/// The rows of the table in docs/limits.md: key and default.
fn documented() -> Vec<(String, String)> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = include_str!("../../docs/limits.md").lines().filter(|line| line.starts_with("| `"));
    let keyed = rows.map(cells).map(|cells| (cells[1].trim_matches('`').to_owned(), cells[2].clone()));
    keyed.filter(|(key, _)| key.contains('.')).collect()
}

#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let defaults = toml::Value::try_from(Config::default()).unwrap();
    let value_of = |key: &str| match key.split('.').try_fold(&defaults, |table, name| table.get(name))? {
        toml::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let documented = documented();
    for (key, default) in &documented {
        assert_eq!(value_of(key).as_ref(), Some(default), "{key}");
    }
    for name in defaults["limits"].as_table().unwrap().keys() {
        assert!(documented.iter().any(|(key, _)| *key == format!("limits.{name}")), "limits.{name} is not documented");
    }
    for key in ["ledger.queue_items", "ledger.queue_bytes", "live.subscribers_per_tenant", "server.message_bytes"] {
        assert!(documented.iter().any(|(known, _)| known == key), "{key} is not documented");
    }
}
