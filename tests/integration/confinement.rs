//! A tenant sees only its own, and Postgres sees to it: whatever a statement of a tenant says, it meets the rows of that tenant alone.

mod catalog;
mod connections;
mod owners;
mod rows;
mod two_tenants;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool};
use tollgate_server::store::connect;
use tollgate_server::store::scoped::TenantPool;
use tollgate_server::tenant::TenantId;

/// The tenant that every database has.
const FIRST: TenantId = TenantId::LOCAL;
/// Another one.
const SECOND: TenantId = TenantId(2);
/// One that has nothing.
const NOBODY: TenantId = TenantId(3);

/// Connections as the server opens them for tenants, and the pool behind them.
fn tenant_pool(options: &PgConnectOptions, connections: u32) -> (TenantPool, PgPool) {
    let pool = connect::untried_pool(options.clone(), connections, Duration::from_secs(30));
    (TenantPool::new(pool.clone()), pool)
}

/// A database with a second tenant, and a row of each of the two in every table that knows tenants.
async fn peopled() -> PgConnectOptions {
    let options = crate::harness::database().await;
    let pool = PgPool::connect_lazy_with(options.clone());
    sqlx::raw_sql(include_str!("confinement/seed.sql")).execute(&pool).await.unwrap();
    pool.close().await;
    options
}
