//! `tollgate doctor`, on databases that ail.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use secrecy::SecretString;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tollgate_server::cli::doctor::{Finding, Verdict, examine};
use tollgate_server::config::Config;
use uuid::Uuid;

use crate::harness::database;

/// Runs statements as the database's owner.
async fn administer(options: &PgConnectOptions, statements: &str) {
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn url(options: &PgConnectOptions) -> String {
    options.to_url_lossy().to_string()
}

/// What the checks find of this database, by name.
async fn examined(options: &PgConnectOptions) -> BTreeMap<&'static str, Finding> {
    let mut config = Config::default();
    config.database.url = Some(SecretString::from(url(options)));
    config.database.acquire_timeout = std::time::Duration::from_secs(30);
    let findings = examine(&config).await;
    let count = findings.len();
    let by_name: BTreeMap<_, _> = findings.into_iter().map(|finding| (finding.check, finding)).collect();
    assert_eq!(by_name.len(), count, "each check is told once");
    by_name
}

/// Asserts that this check alone found something worse than its neighbours on a sound database do.
async fn assert_finds(options: &PgConnectOptions, check: &str, verdict: Verdict, word: &str) {
    let findings = examined(options).await;
    let found = findings.get(check).unwrap_or_else(|| panic!("{check} in {findings:?}"));
    assert_eq!(found.verdict, verdict, "{found:?}");
    assert!(found.found.contains(word) && !found.advice.is_empty(), "{word}: {found:?}");
    let others: Vec<_> = findings.values().filter(|one| one.check != check && one.verdict == Verdict::Fail).collect();
    assert!(others.is_empty(), "{others:?}");
}

async fn run(options: &PgConnectOptions, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.env_clear().env("DATABASE_URL", url(options)).args(arguments).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_sound_database_passes_and_programs_can_read_it() {
    let options = database().await;
    let answered = run(&options, &["doctor", "--json"]).await;
    let text = String::from_utf8(answered.stdout).unwrap();
    assert!(answered.status.success(), "{text}{}", String::from_utf8_lossy(&answered.stderr));
    let findings: Vec<Value> = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = findings.iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    for name in [
        "server.exposure",
        "server.metrics",
        "alerts.webhook",
        "prices.catalog",
        "database.version",
        "database.durability",
        "database.primary",
        "database.autovacuum",
        "database.connections",
        "database.checkpoints",
        "database.encryption",
        "database.pooler",
        "database.direct_url",
        "database.clock",
        "database.schema",
        "database.partitions",
        "alerts.deliveries",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(findings.iter().all(|finding| ["ok", "warn"].contains(&finding["verdict"].as_str().unwrap())), "{text}");
    for sound in ["database.pooler", "database.direct_url", "database.clock", "database.schema", "database.partitions"]
    {
        let finding = findings.iter().find(|finding| finding["check"] == sound).unwrap();
        assert_eq!(finding["verdict"], "ok", "{finding}");
    }
}

#[tokio::test]
async fn a_database_that_forgets_fails_the_program() {
    let options = database().await;
    let name = options.get_database().unwrap().to_owned();
    administer(&options, &format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
    // As its owner set it: connections of the tests ask for nothing else.
    let plain: PgConnectOptions = url(&options).parse().unwrap();
    assert_finds(&plain, "database.durability", Verdict::Fail, "synchronous_commit = off").await;
    let answered = run(&plain, &["doctor"]).await;
    let text = String::from_utf8(answered.stdout).unwrap();
    assert_eq!(answered.status.code(), Some(1), "{text}");
    assert!(text.contains("FAIL database.durability: set all of them to on"), "{text}");
}

#[tokio::test]
async fn a_schema_of_another_version_is_told() {
    let empty = database().await;
    let name = format!("empty_{}", Uuid::now_v7().simple());
    administer(&empty, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
    assert_finds(&empty.database(&name), "database.schema", Verdict::Warn, "pending").await;

    let newer = database().await;
    let row = "(9999, 'later', now(), true, '\\x00', 1)";
    let columns = "(version, description, installed_on, success, checksum, execution_time)";
    administer(&newer, &format!("INSERT INTO _sqlx_migrations {columns} VALUES {row}")).await;
    assert_finds(&newer, "database.schema", Verdict::Warn, "newer version").await;

    let edited = database().await;
    administer(&edited, "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1").await;
    assert_finds(&edited, "database.schema", Verdict::Fail, "[1]").await;
}

#[tokio::test]
async fn events_without_a_partition_are_foreseen() {
    let options = database().await;
    let drop_all = "DO $$ DECLARE name text; BEGIN \
        FOR name IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'usage_event'::regclass \
        LOOP EXECUTE 'DROP TABLE ' || name; END LOOP; END $$";
    administer(&options, drop_all).await;
    assert_finds(&options, "database.partitions", Verdict::Fail, "no partition").await;
}

#[tokio::test]
async fn alerts_that_never_arrived_are_told() {
    let options = database().await;
    let given_up = "INSERT INTO alert_delivery (tenant_id, alert_id, next_attempt_time) \
        SELECT tenant_id, gen_random_uuid(), NULL FROM tenant";
    administer(&options, given_up).await;
    assert_finds(&options, "alerts.deliveries", Verdict::Warn, "1 were given up").await;
}

#[tokio::test]
async fn a_database_that_is_not_there_is_one_finding() {
    let options = database().await.database("nowhere");
    assert_finds(&options, "database.reachable", Verdict::Fail, "nowhere").await;
    let answered = run(&options, &["doctor", "--json"]).await;
    assert_eq!(answered.status.code(), Some(1));
}

#[tokio::test]
async fn a_server_that_asks_for_keys_needs_somebody_who_keeps_them_and_a_certificate_that_is_good() {
    let options = database().await;
    let mut config = Config::default();
    config.database.url = Some(SecretString::from(url(&options)));
    config.auth.required = true;
    config.server.listen = "0.0.0.0:4747".parse().unwrap();
    config.server.tls.certificate = Some("missing.pem".into());
    config.server.tls.private_key = Some("missing.key".into());
    let found = |findings: Vec<Finding>, check: &str| findings.into_iter().find(|one| one.check == check).unwrap();
    let findings = examine(&config).await;
    assert_eq!(found(findings.clone(), "server.tls").verdict, Verdict::Fail);
    assert_eq!(found(findings.clone(), "server.exposure").verdict, Verdict::Ok);
    let keys = found(findings, "server.keys");
    assert!(keys.verdict == Verdict::Warn && keys.advice.contains("keys create"), "{keys:?}");
    config.server.tls = tollgate_server::config::TlsConfig::default();
    let created = run(&options, &["keys", "create", "--permission", "admin", "--json"]).await;
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let findings = examine(&config).await;
    assert_eq!(found(findings.clone(), "server.keys").verdict, Verdict::Ok);
    let exposure = found(findings, "server.exposure");
    assert!(exposure.verdict == Verdict::Warn && exposure.found.contains("in the clear"), "{exposure:?}");
}
