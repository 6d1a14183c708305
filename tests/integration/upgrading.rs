//! Starting on a schema that another release has made, or is about to change.

use std::time::Instant;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tollgate_server::boot::{self, Database};
use tollgate_server::config::Config;
use uuid::Uuid;

use crate::harness::build::{event, record, session};
use crate::harness::wait::bounded;
use crate::harness::{LONGEST_WAIT, TestServer, database};

/// Notes migrations as applied that this program does not know.
async fn note(options: &PgConnectOptions, migrations: &[(i64, &str)]) {
    for (version, description) in migrations {
        let statement = format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ({version}, '{description}', true, '', 0)"
        );
        execute(options, &statement).await;
    }
}

async fn execute(options: &PgConnectOptions, statement: &str) {
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// What a server says that does not start.
async fn refusal(options: &PgConnectOptions) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (database, config) = (Database::given(options.clone()), Config::default());
    let started = boot::start(&config, &database, listener, CancellationToken::new());
    bounded("the refusal", started).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_server_starts_on_a_schema_that_a_later_release_has_added_to() {
    let options = database().await;
    execute(&options, "ALTER TABLE usage_event ADD COLUMN later text; ALTER TABLE budget_window ADD COLUMN later text")
        .await;
    note(&options, &[(9_001, "later"), (9_002, "contract 0001 what nobody uses")]).await;
    let server = TestServer::over(options, &Config::default()).await;
    let answer = server.usage.clone().record_usage(record(event(session("s1"), 1_000, 1_000))).await.unwrap();
    assert_eq!(answer.into_inner().session_totals.unwrap().calls, 1);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_server_does_not_start_on_a_schema_that_lacks_what_it_uses() {
    let options = database().await;
    note(&options, &[(9_001, "contract 9000 old totals")]).await;
    let message = refusal(&options).await;
    assert!(message.contains("migration 9001") && message.contains("knows migration 9000"), "{message}");
}

#[tokio::test]
async fn a_server_does_not_start_on_a_schema_of_another_line() {
    let options = database().await;
    note(&options, &[(0, "never released")]).await;
    let message = refusal(&options).await;
    assert!(message.contains("different migrations: 0"), "{message}");

    let edited = database().await;
    execute(&edited, "UPDATE _sqlx_migrations SET checksum = 'other' WHERE version = 1").await;
    let message = refusal(&edited).await;
    assert!(message.contains('1') && message.contains("modified"), "{message}");
}

#[tokio::test]
async fn a_migration_waits_for_its_tables_and_holds_nobody_up() {
    let other = database().await;
    let name = format!("unmigrated_{}", Uuid::now_v7().simple());
    execute(&other, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
    let options = other.database(&name);
    // As the migrator makes it, so that somebody can be in the way before the first migration.
    let table = "CREATE TABLE _sqlx_migrations (
        version bigint PRIMARY KEY, description text NOT NULL, installed_on timestamptz NOT NULL DEFAULT now(),
        success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL)";
    execute(&options, table).await;
    let mut reader = options.connect().await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE _sqlx_migrations IN SHARE MODE").execute(&mut *reading).await.unwrap();

    let starting = tokio::spawn({
        let options = options.clone();
        async move { TestServer::over(options, &Config::default()).await }
    });
    let mut watcher = options.connect().await.unwrap();
    for (what, expected) in [("the migration waits", true), ("it lets others go on", false), ("it tries again", true)] {
        let deadline = Instant::now() + LONGEST_WAIT;
        while is_waiting(&mut watcher).await != expected {
            assert!(Instant::now() < deadline && !starting.is_finished(), "never came: {what}");
        }
    }
    reading.commit().await.unwrap();
    let server = bounded("the start", starting).await.unwrap();
    server.usage.clone().record_usage(record(event(session("s1"), 1_000, 1_000))).await.unwrap();
}

/// Whether somebody waits for a lock of a table.
async fn is_waiting(watcher: &mut PgConnection) -> bool {
    let statement = "SELECT EXISTS (
        SELECT FROM pg_locks WHERE NOT granted AND relation = '_sqlx_migrations'::regclass)";
    sqlx::query_scalar(statement).fetch_one(watcher).await.unwrap()
}
