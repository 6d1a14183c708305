//! What the catalog of the database says: a table that is added without its policy is found here.

use jiff::Timestamp;
use sqlx::PgPool;
use tollgate_server::store::partitions;
use tollgate_server::store::scoped::ROLE;

use crate::harness::database;

/// The one policy of each table that knows tenants; others may only narrow it.
const POLICY: &str = "(tenant_id = (NULLIF(current_setting('tollgate.tenant'::text, true), ''::text))::integer)";

/// The whole schema, with a partition that the server made later than its migrations.
async fn schema() -> PgPool {
    let pool = PgPool::connect_lazy_with(database().await);
    let later: Timestamp = "2031-05-05T00:00:00Z".parse().unwrap();
    partitions::ensure(&pool, later, later).await.unwrap();
    pool
}

#[tokio::test]
async fn every_table_that_knows_tenants_is_confined() {
    let pool = schema().await;
    let tables: Vec<(String, bool, i64, Option<String>)> = sqlx::query_as(
        "SELECT
            class.relname::text,
            class.relrowsecurity,
            count(policy.oid),
            min(concat_ws(' / ',
                policy.polname, policy.polcmd, policy.polpermissive, policy.polroles,
                pg_get_expr(policy.polqual, class.oid), pg_get_expr(policy.polwithcheck, class.oid)
            ))
        FROM pg_class AS class
        JOIN pg_attribute AS tenant ON tenant.attrelid = class.oid AND tenant.attname = 'tenant_id'
        LEFT JOIN pg_policy AS policy ON policy.polrelid = class.oid AND policy.polpermissive
        WHERE class.relnamespace = 'public'::regnamespace AND class.relkind IN ('r', 'p', 'f', 'm')
        GROUP BY class.oid
        ORDER BY class.relname",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    // For every command, permissive, for everybody.
    let expected = format!("of_tenant / * / t / {{0}} / {POLICY} / {POLICY}");
    for (table, is_enabled, policies, policy) in &tables {
        assert!(*is_enabled, "{table} has no row-level security: SELECT confine_to_tenant('{table}') in its migration");
        assert_eq!((*policies, policy.as_deref()), (1, Some(expected.as_str())), "{table}");
    }
    assert!(tables.iter().any(|(table, ..)| table == "usage_event_2031_05"), "{tables:?}");
}

#[tokio::test]
async fn every_table_knows_its_tenant() {
    let pool = schema().await;
    let without: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> '_sqlx_migrations'
            AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'tenant_id')",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(without, Vec::<String>::new());
}

#[tokio::test]
async fn views_of_tables_that_know_tenants_confine_as_the_tables_do() {
    let pool = schema().await;
    let views: Vec<(String, String)> = sqlx::query_as(
        "SELECT relname::text, pg_get_viewdef(oid) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm') ORDER BY relname",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    for (view, definition) in &views {
        let confines = definition.contains("WHERE ((NOT ( SELECT row_security_active(")
            && definition.contains("(NULLIF(current_setting('tollgate.tenant'::text, true), ''::text))::integer");
        assert!(confines, "{view}: {definition}");
    }
    assert_eq!(views.len(), 2);
}

#[tokio::test]
async fn the_role_of_tenants_can_do_no_more_than_it_needs() {
    let pool = schema().await;
    let attributes: Vec<bool> = sqlx::query_scalar(
        "SELECT unnest(ARRAY[rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb, rolreplication])
        FROM pg_roles WHERE rolname = $1",
    )
    .bind(ROLE)
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(attributes, [false; 6]);
    let owned: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relowner = $1::regrole")
        .bind(ROLE)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(owned, 0);
    // What the ledger alone writes, and what is read through views.
    let ledgers = "SELECT relname || ' ' || privilege FROM pg_class
        CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
        WHERE relname ~ '^(usage|session_usage|user_rollup|reservation|sealed|symbol|shape|price_sheet|external_key)'
            AND relkind IN ('r', 'p', 'v') AND has_table_privilege($1, pg_class.oid, privilege)
        UNION ALL
        SELECT relname || ' SELECT' FROM pg_class
        WHERE relname ~ '^usage_(event|adjustment)(_[0-9]|$)' AND has_table_privilege($1, pg_class.oid, 'SELECT')";
    let allowed: Vec<String> = sqlx::query_scalar(ledgers).bind(ROLE).fetch_all(&pool).await.unwrap();
    assert_eq!(allowed, Vec::<String>::new());
}
