//! The audit against a real Postgres: it holds where everything agrees, and names each row that is broken.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tollgate_domain::budget::{Budget, PerValues};
use uuid::Uuid;

use super::*;
use crate::cli::verify::{VerifyArguments, run};
use crate::embedded::{EmbeddedPostgres, Settings};
use crate::store::connect;

/// A database of its own, on a private server, or on the one that `TOLLGATE_TEST_DATABASE_URL` names.
struct Database {
    pool: PgPool,
    server: Server,
}

enum Server {
    Private(EmbeddedPostgres, PathBuf),
    Shared(PgConnectOptions, String),
}

impl Database {
    async fn create() -> Self {
        let name = format!("tollgate_audit_{}", Uuid::now_v7().simple());
        let (server, options) = match std::env::var("TOLLGATE_TEST_DATABASE_URL") {
            Ok(url) => {
                let shared: PgConnectOptions = url.parse().unwrap();
                execute(&mut PgConnection::connect_with(&shared).await.unwrap(), format!("CREATE DATABASE {name}"))
                    .await;
                (Server::Shared(shared.clone(), name.clone()), shared.database(&name))
            }
            Err(_) => {
                let folder = std::env::temp_dir().join(&name);
                std::fs::create_dir(&folder).unwrap();
                std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
                let settings = Settings { data_dir: Some(folder.join("data")), ..Settings::default() };
                let embedded = EmbeddedPostgres::start(&settings).await.unwrap();
                let options = embedded.create_database(&name).await.unwrap();
                (Server::Private(embedded, folder), options)
            }
        };
        let pool = connect::pool(options, 2, std::time::Duration::from_secs(30));
        connect::migrate(&pool).await.unwrap();
        Self { pool, server }
    }

    async fn execute(&self, statements: &str) {
        execute(&mut self.pool.acquire().await.unwrap(), statements.to_owned()).await;
    }

    async fn audit(&self) -> AuditReport {
        audit(&self.pool, &Dictionary::default(), TenantId::LOCAL).await.unwrap()
    }

    /// The checks that do not hold, with the first row that each names.
    async fn broken(&self) -> Vec<(&'static str, String)> {
        let report = self.audit().await;
        let broken = report.checks.into_iter().filter(|check| !check.holds());
        broken
            .map(|check| {
                let example = check.comparison.examples.first().unwrap();
                assert!(!example.differences.is_empty(), "{example:?}");
                (check.name, example.id.clone())
            })
            .collect()
    }

    async fn remove(self) {
        self.pool.close().await;
        match self.server {
            Server::Private(embedded, folder) => {
                embedded.stop().await.unwrap();
                std::fs::remove_dir_all(folder).unwrap();
            }
            Server::Shared(options, name) => {
                let mut connection = PgConnection::connect_with(&options).await.unwrap();
                execute(&mut connection, format!("DROP DATABASE {name}")).await;
            }
        }
    }
}

async fn execute(connection: &mut PgConnection, statements: String) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.unwrap();
}

fn budget(definition: &serde_json::Value) -> Budget {
    let mut whole = json!({ "mode": "enforced", "carry": "none" });
    whole.as_object_mut().unwrap().extend(definition.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

/// Adds the budgets and writes down, for the statements that follow, the counters that they have.
async fn add_budgets(connection: &mut PgConnection) {
    execute(
        connection,
        "CREATE TABLE counter_to_add (
             budget_number bigint, scope uuid, window_start timestamptz, window_end timestamptz, per_values jsonb,
             spent numeric, held numeric, presumed numeric, highest_limit numeric
         )"
        .to_owned(),
    )
    .await;
    let lifetime = ["0001-01-01T00:00:00Z", "9999-12-30T00:00:00Z"];
    let day = ["2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"];
    let daily = budget(&json!({
        "budget_id": "daily", "unit": "usd", "limit": "10", "window": {"kind": "day", "time_zone": "UTC"},
        "selector": [{"key": {"dimension": "project_id"}, "values": ["atlas"]}], "per": [{"dimension": "user_id"}],
        "rules": [{"at_fraction": "1", "basis": "committed", "action": "block"}],
    }));
    let total = budget(&json!({
        "budget_id": "total", "unit": "tokens", "limit": "100", "window": {"kind": "lifetime"},
        "models": [{"provider_name": "openai", "model": ""}],
    }));
    let labelled = budget(&json!({
        "budget_id": "labelled", "unit": "calls", "limit": "5", "window": {"kind": "lifetime"},
        "selector": [{"key": {"label": "team"}, "values": ["blue"]}],
    }));
    let entries = [
        (1_i64, daily, vec![Some("ada".to_owned())], day, ["0.5", "1.5", "0.25"]),
        (2, total, vec![], lifetime, ["150", "0", "0"]),
        (3, labelled, vec![], lifetime, ["1", "0", "0"]),
    ];
    for (number, budget, per_values, [start, end], [spent, held, presumed]) in entries {
        let per_values = PerValues(per_values);
        sqlx::query(
            "INSERT INTO budget
                 (tenant_id, budget_number, budget_id, definition, counted_from, etag, create_time, update_time)
             OVERRIDING SYSTEM VALUE VALUES (1, $1, $2, $3, '2026-01-01Z', '', '2026-01-01Z', '2026-01-01Z')",
        )
        .bind(number)
        .bind(&budget.budget_id)
        .bind(serde_json::to_value(&budget).unwrap())
        .execute(&mut *connection)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO counter_to_add VALUES
                 ($1, $2, $3::text::timestamptz, $4::text::timestamptz, $5, $6::text::numeric, $7::text::numeric, $8::text::numeric, 10)",
        )
        .bind(number)
        .bind(per_values.digest())
        .bind(start)
        .bind(end)
        .bind(serde_json::to_value(&per_values).unwrap())
        .bind(spent)
        .bind(held)
        .bind(presumed)
        .execute(&mut *connection)
        .await
        .unwrap();
    }
}

async fn agreeing() -> Database {
    let database = Database::create().await;
    let mut connection = database.pool.acquire().await.unwrap();
    add_budgets(&mut connection).await;
    execute(&mut connection, include_str!("agreeing.sql").to_owned()).await;
    drop(connection);
    database
}

/// What is broken, which check must name it, a part of the row's name, and how it is mended.
const BREAKS: &[(&str, &[&str], &str, &str)] = &[
    (
        "UPDATE session_usage SET input_tokens = 108 WHERE session_id = 11 AND NOT descendants AND NOT adjustment",
        &["session_totals"],
        "session root, shape 1",
        "UPDATE session_usage SET input_tokens = 107 WHERE session_id = 11 AND NOT descendants AND NOT adjustment",
    ),
    (
        "UPDATE session_usage SET errors = 0 WHERE descendants AND NOT adjustment",
        &["root_totals"],
        "root session root, shape 1",
        "UPDATE session_usage SET errors = 1 WHERE descendants AND NOT adjustment",
    ),
    (
        "UPDATE session_usage SET session_id = 12 WHERE descendants AND NOT adjustment",
        &["root_totals"],
        "root session root, shape 1",
        "UPDATE session_usage SET session_id = 11 WHERE descendants AND NOT adjustment",
    ),
    (
        "UPDATE usage_rollup SET first_time = '2026-01-05 10:02Z' WHERE grain = 1 AND bucket = '2026-01-05 10:00Z' AND NOT adjustment",
        &["usage_rollup_quarters"],
        "bucket 2026-01-05T10:00:00+00:00, shape 1",
        "UPDATE usage_rollup SET first_time = '2026-01-05 10:03Z' WHERE grain = 1 AND bucket = '2026-01-05 10:00Z' AND NOT adjustment",
    ),
    (
        "UPDATE usage_rollup SET usd = 0.500000000001, text_in_usd = 0.300000000001
         WHERE grain = 2 AND bucket = '2026-01-05 00:00Z' AND NOT adjustment",
        &["usage_rollup_days"],
        "bucket 2026-01-05T00:00:00+00:00, shape 1",
        "UPDATE usage_rollup SET usd = 0.5, text_in_usd = 0.3 WHERE grain = 2 AND bucket = '2026-01-05 00:00Z' AND NOT adjustment",
    ),
    (
        "UPDATE user_rollup SET cache_read_tokens = 0 WHERE grain = 1 AND bucket = '2026-01-05 10:15Z' AND NOT adjustment",
        &["user_rollup_quarters"],
        "user ada, bucket 2026-01-05T10:15:00+00:00, shape 1",
        "UPDATE user_rollup SET cache_read_tokens = NULL WHERE grain = 1 AND bucket = '2026-01-05 10:15Z' AND NOT adjustment",
    ),
    (
        "UPDATE user_rollup SET bucket = '2026-01-04Z' WHERE grain = 2 AND bucket = '2026-01-05 00:00Z' AND NOT adjustment",
        &["user_rollup_days"],
        "user ada, bucket 2026-01-04T00:00:00+00:00, shape 1",
        "UPDATE user_rollup SET bucket = '2026-01-05Z' WHERE grain = 2 AND bucket = '2026-01-04 00:00Z' AND NOT adjustment",
    ),
    (
        "UPDATE user_rollup SET text_out_usd = 1 WHERE grain = 2 AND bucket = '2026-01-05 00:00Z' AND NOT adjustment",
        &["class_costs"],
        "user_rollup, grain 2, bucket 2026-01-05T00:00:00+00:00, number 21, shape 1",
        "UPDATE user_rollup SET text_out_usd = NULL WHERE grain = 2 AND bucket = '2026-01-05 00:00Z' AND NOT adjustment",
    ),
    (
        "UPDATE budget_window SET spent = 0.4 WHERE budget_number = 1",
        &["budget_spend"],
        "budget daily, counter user_id = ada, window [2026-01-05T00:00:00Z, 2026-01-06T00:00:00Z)",
        "UPDATE budget_window SET spent = 0.5 WHERE budget_number = 1",
    ),
    (
        "UPDATE budget_window SET spent = 151 WHERE budget_number = 2",
        &["budget_spend"],
        "budget total, counter its only one",
        "UPDATE budget_window SET spent = 150 WHERE budget_number = 2",
    ),
    (
        "DELETE FROM budget_window WHERE budget_number = 3",
        &["budget_spend"],
        "budget labelled, counter its only one, no window for charges in [2026-01-01T00:00:00Z",
        "INSERT INTO budget_window (tenant_id, budget_number, scope, window_start, window_end, per_values, spent)
         SELECT 1, budget_number, scope, window_start, window_end, per_values, spent
         FROM counter_to_add WHERE budget_number = 3",
    ),
    (
        "UPDATE budget_window SET held = 1.4 WHERE budget_number = 1",
        &["budget_holds"],
        r#"budget daily, counter ["ada"], window from 2026-01-05T00:00:00+00:00"#,
        "UPDATE budget_window SET held = 1.5 WHERE budget_number = 1",
    ),
    (
        "UPDATE budget_window SET presumed = 0 WHERE budget_number = 1",
        &["budget_holds"],
        "budget daily",
        "UPDATE budget_window SET presumed = 0.25 WHERE budget_number = 1",
    ),
    (
        "UPDATE budget_window SET highest_limit = 2 WHERE budget_number = 1",
        &["budget_bounds"],
        "budget daily",
        "UPDATE budget_window SET highest_limit = 10 WHERE budget_number = 1",
    ),
    (
        "UPDATE budget_window SET carried = -1 WHERE budget_number = 1",
        &["budget_carry"],
        r#"budget daily, counter ["ada"], window from 2026-01-05T00:00:00Z"#,
        "UPDATE budget_window SET carried = 0 WHERE budget_number = 1",
    ),
    (
        "UPDATE reservation SET state = 3 WHERE state = 1",
        &["budget_holds", "reservation_states"],
        "budget daily",
        "UPDATE reservation SET state = 1 WHERE state = 3",
    ),
    (
        "UPDATE reservation SET parts = jsonb_set(parts, '{0,presumed}', '\"1\"') WHERE state = 2",
        &["budget_holds", "reservation_states"],
        "budget daily",
        "UPDATE reservation SET parts = jsonb_set(parts, '{0,presumed}', '\"0\"') WHERE state = 2",
    ),
    (
        "UPDATE reservation SET state = 9 WHERE state = 2",
        &["reservation_states"],
        "reservation 00000000-0000-0000-0000-0000000000f3, state 9",
        "UPDATE reservation SET state = 2 WHERE state = 9",
    ),
    (
        "UPDATE usage_event SET reservation_id = 'f0000000-0000-0000-0000-000000000000'
         WHERE reservation_id IS NOT NULL",
        &["reservation_events"],
        "event 00000000-0000-0000-0000-0000000000e1, reservation f0000000",
        "UPDATE usage_event SET reservation_id = '00000000-0000-0000-0000-0000000000f3'
         WHERE reservation_id IS NOT NULL",
    ),
    (
        "UPDATE usage_event SET reservation_id = gen_random_uuid() WHERE reservation_id IS NOT NULL",
        &["reservation_events"],
        "event 00000000-0000-0000-0000-0000000000e1",
        "UPDATE usage_event SET reservation_id = '00000000-0000-0000-0000-0000000000f3'
         WHERE reservation_id IS NOT NULL",
    ),
    (
        "UPDATE usage_event SET usd = 0.6 WHERE usd = 0.5",
        &[
            "session_totals",
            "usage_rollup_quarters",
            "usage_rollup_days",
            "user_rollup_quarters",
            "user_rollup_days",
            "budget_spend",
        ],
        "session root, shape 1",
        "UPDATE usage_event SET usd = 0.5 WHERE usd = 0.6",
    ),
    (
        "UPDATE usage_adjustment SET usd = 0.3 WHERE usd = 0.25",
        &["usage_rollup_quarters", "usage_rollup_days", "user_rollup_quarters", "user_rollup_days"],
        "bucket 2025-12-31T23:45:00+00:00, shape 1, corrections",
        "UPDATE usage_adjustment SET usd = 0.25 WHERE usd = 0.3",
    ),
    (
        "UPDATE session_usage SET unpriced = 0 WHERE session_id = 12 AND adjustment",
        &["session_totals"],
        "session leaf, shape 1, corrections",
        "UPDATE session_usage SET unpriced = -1 WHERE session_id = 12 AND adjustment",
    ),
    (
        "UPDATE user_rollup SET usd = 0.25 WHERE usd = 0.125 AND grain = 2 AND adjustment",
        &["user_rollup_days", "class_costs"],
        "user ada, bucket 2025-12-31T00:00:00+00:00, shape 1, corrections",
        "UPDATE user_rollup SET usd = 0.125 WHERE usd = 0.25 AND grain = 2 AND adjustment",
    ),
    (
        "UPDATE usage_adjustment SET call_id = 'another' WHERE usd = 0.125",
        &["adjustment_chains"],
        "event 00000000-0000-0000-0000-0000000000e5, revision 2",
        "UPDATE usage_adjustment SET call_id = NULL WHERE usd = 0.125",
    ),
    (
        "UPDATE usage_adjustment SET revision = 3 WHERE facts >> 21 = 2",
        &["adjustment_chains"],
        "event 00000000-0000-0000-0000-0000000000e2, revision 3",
        "UPDATE usage_adjustment SET revision = 2 WHERE facts >> 21 = 2",
    ),
];

#[tokio::test]
async fn invariant_3_each_broken_row_is_named() {
    let database = agreeing().await;
    assert_eq!(database.broken().await, [], "the ledger agrees before anything is broken");
    for (broken, checks, row, mended) in BREAKS {
        database.execute(broken).await;
        let found = database.broken().await;
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(&names, checks, "{broken}");
        assert!(found[0].1.starts_with(row), "{broken}: {found:?}");
        database.execute(mended).await;
        assert_eq!(database.broken().await, [], "{mended}");
    }
    database.remove().await;
}

#[tokio::test]
async fn figures_are_exact_on_both_sides() {
    let database = agreeing().await;
    database.execute("UPDATE budget_window SET spent = 0.400000000001 WHERE budget_number = 1").await;
    let report = database.audit().await;
    let events = &report.events;
    assert_eq!((events.attempts, events.calls, events.input_tokens, events.output_tokens), (5, 4, 108, 59));
    assert_eq!((events.usd.to_string(), events.memo_usd.to_string()), ("0.625".to_owned(), "2".to_owned()));
    let found = serde_json::to_value(&report).unwrap();
    let spend = found["checks"].as_array().unwrap().iter().find(|check| check["name"] == "budget_spend").unwrap();
    assert_eq!(
        *spend,
        json!({
            "name": "budget_spend",
            "rule": "events in scope as corrected, by charge time = spent of every counter",
            "rows": 3,
            "drifting": 1,
            "figures": [
                {"name": "spent in calls", "ledger": "1", "stored": "1"},
                {"name": "spent in tokens", "ledger": "150", "stored": "150"},
                {"name": "spent in usd", "ledger": "0.5", "stored": "0.400000000001"},
            ],
            "usd_drift": "0.099999999999",
            "examples": [{
                "id": "budget daily, counter user_id = ada, window [2026-01-05T00:00:00Z, 2026-01-06T00:00:00Z)",
                "differences": [{"figure": "spent", "ledger": "0.5", "stored": "0.400000000001"}],
            }],
        })
    );
    database.remove().await;
}

#[tokio::test]
async fn verify_prints_a_table_or_json_and_says_whether_everything_holds() {
    let database = agreeing().await;
    let verify = async |json: bool| {
        let mut output = Vec::new();
        let holds = run(&database.pool, &VerifyArguments { json }, &mut output).await.unwrap();
        (holds, String::from_utf8(output).unwrap())
    };
    let (holds, table) = verify(false).await;
    assert!(holds && table.contains("every check holds"), "{table}");
    database.execute("UPDATE usage_rollup SET calls = calls + 1 WHERE grain = 2").await;
    let (holds, table) = verify(false).await;
    assert!(!holds && table.contains("DRIFT usage_rollup_days"), "{table}");
    let (holds, text) = verify(true).await;
    let reports: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(!holds && reports[0]["holds"] == false && reports[0]["tenant"] == "local", "{text}");
    let as_of: Timestamp = reports[0]["events"]["as_of"].as_str().unwrap().parse().unwrap();
    assert!(as_of > Timestamp::UNIX_EPOCH);
    database.remove().await;
}

/// Breaks that an audit of a part cannot find: they need every event, or every reservation.
const FOUND_BY_THE_WHOLE_ALONE: [&str; 3] =
    ["root_totals", "UPDATE budget_window SET presumed = 0", "UPDATE usage_event SET reservation_id"];

#[tokio::test]
async fn slices_take_turns_until_each_broken_row_was_seen() {
    let database = agreeing().await;
    // The smallest slices there are: hours, or the quarters of an hour that holds more.
    let settings = AuditSettings { slice_events: 2, ..AuditSettings::default() };
    let mut rotation = Rotation::default();
    let mut turn = async || {
        let mut drifting = std::collections::BTreeMap::new();
        let mut rounds = 0;
        loop {
            let round =
                audit_slices(&database.pool, &Dictionary::default(), TenantId::LOCAL, &settings, &mut rotation).await;
            let round = round.unwrap().unwrap();
            assert!(round.reports().all(|report| report.range.is_some() && report.events.attempts <= 3), "{round:?}");
            for (check, rows) in round.reports().flat_map(AuditReport::drifting) {
                *drifting.entry(check).or_insert(0) += rows;
            }
            rounds += 1;
            if round.older.is_none() {
                drifting.retain(|_, rows| *rows > 0);
                return (rounds, drifting, rotation.drifting(&round));
            }
        }
    };
    let (rounds, drifting, _) = turn().await;
    assert!(rounds > 2 && drifting.is_empty(), "{rounds} {drifting:?}");
    for (broken, checks, _, mended) in BREAKS {
        if FOUND_BY_THE_WHOLE_ALONE.iter().any(|left| checks.contains(left) || broken.starts_with(left)) {
            continue;
        }
        database.execute(broken).await;
        let (_, drifting, shown) = turn().await;
        assert!(!drifting.is_empty(), "{broken}: {checks:?}");
        for check in drifting.keys() {
            assert!(shown.get(check).is_some_and(|rows| *rows > 0), "{check}: {shown:?}");
        }
        database.execute(mended).await;
        let (_, drifting, _) = turn().await;
        assert!(drifting.is_empty(), "{mended}: {drifting:?}");
    }
    database.remove().await;
}

#[tokio::test]
async fn one_replica_at_a_time_audits_in_the_background() {
    let database = agreeing().await;
    let mut other = database.pool.begin().await.unwrap();
    assert!(crate::store::audit_range::lock(&mut other, TenantId::LOCAL).await.unwrap());
    let settings = AuditSettings::default();
    let mut rotation = Rotation::default();
    let mut round = async || {
        audit_slices(&database.pool, &Dictionary::default(), TenantId::LOCAL, &settings, &mut rotation).await.unwrap()
    };
    assert!(round().await.is_none());
    other.rollback().await.unwrap();
    let whole = round().await.unwrap();
    assert!(whole.newest.range.is_none() && whole.newest.holds() && whole.older.is_none());
    database.remove().await;
}
