//! Starting, serving and stopping: health, reflection, what is not there yet, configuration, and the databases that are
//! refused.

use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tollgate_proto::v1;
use tollgate_server::boot::{self, Database};
use tollgate_server::config::{Config, ServerConfig};
use tollgate_server::tenant::TenantId;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use uuid::Uuid;

use crate::harness::build::{event, record, session};
use crate::harness::refusal::{Refusal, reason};
use crate::harness::time::milliseconds;
use crate::harness::wait::bounded;
use crate::harness::{TestServer, database};
use crate::limits::{holding_up, until_held_up};

const TOLLGATE: &str = env!("CARGO_BIN_EXE_tollgate");

async fn channel(server: &TestServer) -> Channel {
    Channel::from_shared(server.url.clone()).unwrap().connect().await.unwrap()
}

fn of_service(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn health_says_not_serving_while_the_server_drains() {
    // Nothing below waits for so long.
    let server_config = ServerConfig { drain_timeout: Duration::from_secs(600), ..ServerConfig::default() };
    let mut server = TestServer::configured(&Config { server: server_config, ..Config::default() }).await;
    let mut health = HealthClient::new(channel(&server).await);
    for service in ["", "tollgate.v1.UsageService", "tollgate.v1.BudgetService"] {
        let answer = health.check(of_service(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(health.check(of_service("tollgate.v1.NoService")).await.unwrap_err().code(), Code::NotFound);

    let mut watch = health.watch(of_service("")).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let scope = v1::WatchScope {
        key: "s1".to_owned(),
        scope: Some(v1::watch_scope::Scope::SessionId("s1".to_owned())),
        ..Default::default()
    };
    let poll = v1::GetTotalsRequest {
        scopes: vec![scope],
        after_versions: [("s1".to_owned(), 0)].into(),
        wait: Some(milliseconds(30_000)),
    };
    let running = server.running.take().unwrap();
    let polling = tokio::spawn({
        let mut usage = server.usage.clone();
        async move { usage.get_totals(poll).await }
    });
    running.stop();
    let status = bounded("the end of serving", watch.next()).await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::NotServing);
    assert!(bounded("the end of the watch", watch.next()).await.is_none(), "it ends, and well");
    let refused = bounded("the end of the long poll", polling).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    bounded("the end of the server", running.stopped()).await;
    drop((watch, health));
    let gone = server.usage.record_usage(record(event(session("s1"), 1, 1))).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable);
}

#[tokio::test]
async fn what_is_under_way_when_the_server_drains_is_finished_or_refused_for_a_retry() {
    let mut server = TestServer::start().await;
    let events: Vec<v1::UsageEvent> = (0..200).map(|_| event(session("s1"), 1_000, 1_000)).collect();
    let sends: Vec<_> = events
        .iter()
        .cloned()
        .map(|event| {
            let mut usage = server.usage.clone();
            tokio::spawn(async move { usage.record_usage(record(event)).await })
        })
        .collect();
    let running = server.running.take().unwrap();
    running.stop();
    let answers: Vec<Result<_, Status>> =
        bounded("the answers", join_all(sends)).await.into_iter().map(Result::unwrap).collect();
    bounded("the end of the server", running.stopped()).await;
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        // The server's own refusals ask for a retry; others are the connection's, which ended under them.
        let from_server = !reason(refused).is_empty();
        assert!(!from_server || refused.code() == Code::Unavailable, "{refused:?}");
    }
    // Sent again with the same ids, each counts once: what was acknowledged is there.
    let replica = server.replica().await;
    for (event, answer) in events.into_iter().zip(answers) {
        let again = replica.usage.clone().record_usage(record(event)).await.unwrap().into_inner();
        assert!(answer.is_err() || again.result() == v1::RecordResult::Duplicate);
    }
    let last = replica.usage.clone().record_usage(record(event(session("s1"), 0, 0))).await.unwrap().into_inner();
    assert_eq!(last.session_totals.unwrap().calls, 201);
    replica.assert_audit_holds().await;
}

async fn reflect(server: &TestServer, request: MessageRequest) -> Result<ServerReflectionResponse, Status> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut client = ServerReflectionClient::new(channel(server).await);
    let mut answers = client.server_reflection_info(futures::stream::iter([request])).await?.into_inner();
    answers.next().await.unwrap()
}

#[tokio::test]
async fn the_server_describes_itself_only_where_it_is_told_to() {
    let list = || MessageRequest::ListServices(String::new());
    let quiet = TestServer::start().await;
    assert_eq!(reflect(&quiet, list()).await.unwrap_err().code(), Code::Unimplemented);
    let config = Config { server: ServerConfig { reflection: true, ..ServerConfig::default() }, ..Config::default() };
    let server = TestServer::configured(&config).await;
    let answer = reflect(&server, list()).await.unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(listed)) = answer else { panic!("{answer:?}") };
    let names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["tollgate.v1.UsageService", "tollgate.v1.BudgetService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
    let symbol = MessageRequest::FileContainingSymbol("tollgate.v1.UsageEvent".to_owned());
    let answer = reflect(&server, symbol).await.unwrap().message_response;
    assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");
}

#[tokio::test]
async fn what_is_defined_and_not_there_yet_says_so() {
    let server = TestServer::start().await;
    let mut usage = server.usage.clone();
    let answers: Vec<(&str, Option<Status>)> =
        vec![("ExportUsage", usage.export_usage(v1::ExportUsageRequest::default()).await.err())];
    for (name, answer) in answers {
        let status = answer.unwrap_or_else(|| panic!("{name} answers"));
        assert_eq!(Refusal::of(&status), Refusal::new(Code::Unimplemented, "NOT_IMPLEMENTED", &[]), "{name}");
        assert!(status.message().contains(name), "{}", status.message());
    }
}

/// The program, without the settings of whoever runs the tests.
fn tollgate() -> Command {
    let mut command = Command::new(TOLLGATE);
    command.env_clear().stdin(Stdio::null());
    command
}

#[tokio::test]
async fn the_printed_configuration_hides_secrets() {
    let printed = tollgate()
        .args(["serve", "--print-config"])
        .env("DATABASE_URL", "postgres://user:canary-1@db.example/tollgate")
        .env("TOLLGATE_DATABASE__DIRECT_URL", "postgres://user:canary-2@db.example/tollgate")
        .env("TOLLGATE_SERVER__DRAIN_TIMEOUT", "7s")
        .output()
        .unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.status.success(), "{text}{}", String::from_utf8_lossy(&printed.stderr));
    assert!(!text.contains("canary") && text.matches("(hidden)").count() == 2, "{text}");
    assert!(text.contains("drain_timeout = \"7s\""), "{text}");
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_refused_by_its_key() {
    for (name, value, key) in [
        ("TOLLGATE_SERVER__LISTEN", "0.0.0.0:0", "server.listen"),
        ("TOLLGATE_SERVER__LISTEN_ON", "127.0.0.1:0", "listen_on"),
        ("TOLLGATE_LEDGER__WRITERS", "0", "ledger"),
        ("DATABASE_URL", "http://user:canary@db.example/", "database.url"),
    ] {
        let refused =
            tollgate().arg("serve").env("TOLLGATE_SERVER__LISTEN", "127.0.0.1:0").env(name, value).output().unwrap();
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && text.contains(key), "{name}: {text}");
        assert!(!text.contains("canary"), "{text}");
    }
}

/// A database that loses what it acknowledged, as its owner set it; connections do not ask for anything else.
async fn forgetful_database() -> (PgConnectOptions, String) {
    let options = database().await;
    let name = options.get_database().unwrap().to_owned();
    administer(&options, &format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
    (options.to_url_lossy().as_str().parse().unwrap(), name)
}

/// A database without a schema.
async fn empty_database() -> PgConnectOptions {
    let options = database().await;
    let name = format!("empty_{}", Uuid::now_v7().simple());
    administer(&options, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
    options.database(&name)
}

async fn administer(options: &PgConnectOptions, statement: &str) {
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn replicas_that_start_at_once_on_an_empty_database_share_one_schema() {
    let options = empty_database().await;
    let config = Config::default();
    let servers = join_all((0..4).map(|_| TestServer::over(options.clone(), &config))).await;
    for server in &servers {
        server.usage.clone().record_usage(record(event(session("s1"), 1_000, 1_000))).await.unwrap();
    }
    let last = servers[0].usage.clone().record_usage(record(event(session("s1"), 0, 0))).await.unwrap().into_inner();
    let totals = last.session_totals.unwrap();
    assert_eq!((totals.calls, totals.usd.as_str()), (5, "0.05"));
    servers[3].assert_audit_holds().await;
    // And once more on the schema that is there.
    let late = servers[0].replica().await;
    late.assert_audit_holds().await;
}

#[tokio::test]
async fn a_database_that_could_lose_what_it_acknowledged_is_refused() {
    let (options, name) = forgetful_database().await;
    let start = async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let database = Database::given(options.clone());
        boot::start(&Config::default(), &database, listener, CancellationToken::new()).await
    };
    let message = start().await.unwrap_err().to_string();
    assert!(message.contains("synchronous_commit = off"), "{message}");
    assert!(message.contains("Set synchronous_commit = on"), "it says what to do: {message}");

    administer(&options, &format!("ALTER DATABASE {name} SET synchronous_commit = remote_apply")).await;
    let running = start().await.unwrap();
    running.stop();
    bounded("the end of the server", running.stopped()).await;
}

#[tokio::test]
async fn the_program_refuses_it_too_and_says_why() {
    let (options, _) = forgetful_database().await;
    let url = options.to_url_lossy().to_string();
    let refused = tokio::task::spawn_blocking(move || {
        tollgate().arg("serve").env("DATABASE_URL", url).env("TOLLGATE_SERVER__LISTEN", "127.0.0.1:0").output()
    });
    let refused = bounded("the refusal", refused).await.unwrap().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && text.contains("synchronous_commit"), "{text}");
}

#[tokio::test]
async fn a_drain_does_not_outlast_its_time() {
    let server_config = ServerConfig { drain_timeout: Duration::from_millis(300), ..ServerConfig::default() };
    let mut server = TestServer::configured(&Config { server: server_config, ..Config::default() }).await;
    // A call whose batch does not get on.
    let _locked = holding_up(&server, TenantId::LOCAL).await;
    let mut usage = server.usage.clone();
    let call = tokio::spawn(async move { usage.record_usage(record(event(session("s1"), 1, 1))).await });
    until_held_up(&server).await;
    let running = server.running.take().unwrap();
    running.stop();
    bounded("the end of the server", running.stopped()).await;
    bounded("the end of the call", call).await.unwrap().unwrap_err();
    let late = server.usage.record_usage(record(event(session("s1"), 1, 1))).await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable, "{}", reason(&late));
}
