//! A database with rows from before events were stored narrow comes out of the migration with the same facts.

use std::path::Path;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tollgate_proto::v1;

use crate::harness::build::{event_at, record, session};
use crate::harness::time::seconds_from_now;
use crate::harness::{TestServer, database};

/// The migration that narrows events.
const FIRST: &str = "0012";

/// Rows of the old tables: as few columns as there can be, all of them, and what does not fit the new columns.
const ROWS: &str = include_str!("narrowing.sql");

/// Every fact, as one value.
async fn facts(pool: &PgPool, table: &str) -> Value {
    let statement = format!("SELECT jsonb_agg(to_jsonb(told) ORDER BY to_jsonb(told)) FROM {table} AS told");
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn every_fact_outlives_the_narrowing_of_its_row() {
    let pool = PgPool::connect_with(database().await).await.unwrap();
    sqlx::raw_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").execute(&pool).await.unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut migrations: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    migrations.retain(|name| name.ends_with(".sql"));
    migrations.sort();
    let (before, after): (Vec<_>, Vec<_>) = migrations.into_iter().partition(|name| name.as_str() < FIRST);
    for name in before {
        sqlx::raw_sql(AssertSqlSafe(std::fs::read_to_string(folder.join(name)).unwrap())).execute(&pool).await.unwrap();
    }
    sqlx::raw_sql(ROWS).execute(&pool).await.unwrap();
    let tables = [
        ("usage_event", "usage_event_wide"),
        ("usage_adjustment", "usage_adjustment_wide"),
        ("session_usage", "session_usage"),
        ("usage_rollup", "usage_rollup"),
        ("user_rollup", "user_rollup"),
    ];
    let mut told = Vec::new();
    for (table, _) in tables {
        told.push(facts(&pool, table).await);
    }
    for name in after {
        sqlx::raw_sql(AssertSqlSafe(std::fs::read_to_string(folder.join(name)).unwrap())).execute(&pool).await.unwrap();
    }
    for ((table, shown), told) in tables.into_iter().zip(told) {
        let told = told.as_array().unwrap();
        assert!(told.len() > 1, "{table} was filled");
        assert_eq!(facts(&pool, shown).await.as_array().unwrap(), told, "{table}");
    }
    let partitions = "SELECT array_agg(inhrelid::regclass::text ORDER BY 1) FROM pg_inherits
        WHERE inhparent = 'usage_event'::regclass";
    let partitions: Vec<String> = sqlx::query_scalar(partitions).fetch_one(&pool).await.unwrap();
    assert_eq!(partitions, ["usage_event_2026_01", "usage_event_rest"]);
    let wide: i64 =
        sqlx::query_scalar("SELECT count(*) FROM usage_event WHERE wide IS NOT NULL").fetch_one(&pool).await.unwrap();
    assert_eq!(wide, 1, "only what does not fit is stored apart");
}

#[tokio::test]
async fn what_does_not_fit_comes_back_as_it_was_told() {
    let mut server = TestServer::start().await;
    let start = prost_types::Timestamp { nanos: 123_456_000, ..seconds_from_now(-40_000) };
    let end = prost_types::Timestamp { seconds: start.seconds + 36_000, ..start };
    let late = v1::UsageEvent {
        end_time: Some(end),
        time_to_first_token: Some(prost_types::Duration { seconds: 35_000, nanos: 1_000 }),
        attempt: 32_767,
        trace_id: "00F067AA0BA902B7-4bf92f3577b34da".to_owned(),
        span_id: "f067aa0ba902b7".to_owned(),
        ..event_at(start, session("s"), 1_000_000_000, 1_000)
    };
    let usual = v1::UsageEvent {
        end_time: Some(prost_types::Timestamp { seconds: start.seconds + 2, ..start }),
        time_to_first_token: Some(prost_types::Duration { seconds: 1, nanos: 1_000 }),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        span_id: "f067aa0ba902b700".to_owned(),
        ..event_at(start, session("s"), 1_000, 1_000)
    };
    for told in [late, usual] {
        server.usage.record_usage(record(told.clone())).await.unwrap();
        let Some(v1::usage_event::Key::EventId(event_id)) = told.key.clone() else { panic!("no id") };
        let request = v1::GetUsageRequest { key: Some(v1::get_usage_request::Key::EventId(event_id)) };
        let kept = server.usage.get_usage(request).await.unwrap().into_inner().record.unwrap().event.unwrap();
        assert_eq!(
            (kept.start_time, kept.end_time, kept.time_to_first_token, kept.trace_id, kept.span_id, kept.usage),
            (told.start_time, told.end_time, told.time_to_first_token, told.trace_id, told.span_id, told.usage),
        );
        assert_eq!(kept.attempt, told.attempt.max(1));
    }
    server.assert_audit_holds().await;
}
