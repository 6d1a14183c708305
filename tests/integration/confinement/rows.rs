//! Every table, row by row: no tenant, another tenant, and what is written for another tenant.

use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tollgate_server::store::scoped::ROLE;
use tollgate_server::tenant::TenantId;

use super::{FIRST, NOBODY, SECOND, peopled};

/// What a tenant of no number sees.
const UNSET: &str = "";

/// Every table and view that knows tenants, partitions apart.
async fn relations(connection: &mut PgConnection) -> Vec<(String, bool)> {
    sqlx::query_as(
        "SELECT relname::text, relkind = 'v' FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'tenant_id'
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition
        ORDER BY relname",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

/// From here to the end of the transaction the connection is that of this tenant, with every right to the table itself.
async fn become_tenant(connection: &mut PgConnection, table: &str, tenant: &str) {
    run(connection, &format!("RESET ROLE; GRANT ALL ON {table} TO {ROLE}")).await.unwrap();
    run(connection, &format!("SET LOCAL ROLE {ROLE}; SET LOCAL tollgate.tenant = '{tenant}'")).await.unwrap();
}

async fn run(connection: &mut PgConnection, text: &str) -> Result<u64, sqlx::Error> {
    Ok(sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(connection).await?.rows_affected())
}

async fn tenants_in(connection: &mut PgConnection, table: &str) -> Vec<i32> {
    let text = format!("SELECT DISTINCT tenant_id FROM {table} ORDER BY tenant_id");
    sqlx::query_scalar(AssertSqlSafe(text)).persistent(false).fetch_all(connection).await.unwrap()
}

#[tokio::test]
async fn a_tenant_sees_its_own_rows_of_every_table() {
    let mut connection = peopled().await.connect().await.unwrap();
    let relations = relations(&mut connection).await;
    assert!(relations.len() > 25, "{relations:?}");
    for (table, _) in relations {
        run(&mut connection, "BEGIN").await.unwrap();
        assert_eq!(tenants_in(&mut connection, &table).await, [FIRST.0, SECOND.0], "{table}, past row-level security");
        for (tenant, seen) in [
            (UNSET.to_owned(), &[][..]),
            (FIRST.0.to_string(), &[FIRST.0]),
            (SECOND.0.to_string(), &[SECOND.0]),
            (NOBODY.0.to_string(), &[]),
        ] {
            become_tenant(&mut connection, &table, &tenant).await;
            assert_eq!(tenants_in(&mut connection, &table).await, seen, "{table}, as tenant {tenant:?}");
        }
        // Where it was never set in this session, as well.
        run(&mut connection, "ROLLBACK").await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_never_set_a_tenant_sees_nothing() {
    let options = peopled().await;
    let mut connection = options.connect().await.unwrap();
    for (table, _) in relations(&mut connection).await {
        let mut fresh = options.connect().await.unwrap();
        run(&mut fresh, &format!("BEGIN; GRANT ALL ON {table} TO {ROLE}; SET LOCAL ROLE {ROLE}")).await.unwrap();
        assert_eq!(tenants_in(&mut fresh, &table).await, Vec::<i32>::new(), "{table}");
    }
}

#[tokio::test]
async fn nothing_is_written_for_another_tenant() {
    let mut connection = peopled().await.connect().await.unwrap();
    for (table, is_view) in relations(&mut connection).await {
        if is_view {
            continue;
        }
        for attempt in [copied_to(&mut connection, &table, NOBODY).await, moved_to(&table, NOBODY)] {
            run(&mut connection, "BEGIN").await.unwrap();
            become_tenant(&mut connection, &table, &FIRST.0.to_string()).await;
            let refused = run(&mut connection, &attempt).await.unwrap_err();
            let code = refused.as_database_error().and_then(|error| error.code().map(String::from));
            assert_eq!(code.as_deref(), Some("42501"), "{table}: {refused}");
            run(&mut connection, "ROLLBACK").await.unwrap();
        }
        run(&mut connection, "BEGIN").await.unwrap();
        become_tenant(&mut connection, &table, &FIRST.0.to_string()).await;
        let deleted = run(&mut connection, &format!("DELETE FROM {table}")).await.unwrap();
        assert!(deleted > 0, "{table}");
        run(&mut connection, "RESET ROLE").await.unwrap();
        assert_eq!(tenants_in(&mut connection, &table).await, [SECOND.0], "{table}, after everything was deleted");
        run(&mut connection, "ROLLBACK").await.unwrap();
    }
}

/// A statement that copies the tenant's row for another tenant.
async fn copied_to(connection: &mut PgConnection, table: &str, other: TenantId) -> String {
    let columns: String = sqlx::query_scalar(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'tenant_id'
            AND attidentity = ''",
    )
    .bind(table)
    .fetch_one(connection)
    .await
    .unwrap();
    format!("INSERT INTO {table} (tenant_id, {columns}) SELECT {}, {columns} FROM {table}", other.0)
}

/// A statement that hands the tenant's rows to another tenant.
fn moved_to(table: &str, other: TenantId) -> String {
    format!("UPDATE {table} SET tenant_id = {}", other.0)
}
