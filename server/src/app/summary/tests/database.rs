//! A database of its own for each test: on the server of `TOLLGATE_TEST_DATABASE_URL`, else on a private one.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tempfile::TempDir;
use uuid::Uuid;

use crate::embedded::{EmbeddedPostgres, Settings};
use crate::store::connect;
use crate::store::scoped::TenantPool;

/// A migrated database that accepts events of any time.
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    pub(crate) tenants: TenantPool,
    server: Server,
}

enum Server {
    Given { options: PgConnectOptions, name: String },
    Private { server: EmbeddedPostgres, _data: TempDir },
}

impl Database {
    pub(crate) async fn start() -> Self {
        let name = format!("tollgate_summary_{}", Uuid::from_u128(rand::random()).simple());
        let (server, options) = match std::env::var("TOLLGATE_TEST_DATABASE_URL") {
            Ok(url) => {
                let options: PgConnectOptions = url.parse().unwrap();
                let mut admin = PgConnection::connect_with(&options).await.unwrap();
                sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
                (Server::Given { options: options.clone(), name: name.clone() }, options.database(&name))
            }
            Err(_) => {
                let data = tempfile::tempdir().unwrap();
                let settings = Settings { data_dir: Some(data.path().join("data")), ..Settings::default() };
                let server = EmbeddedPostgres::start(&settings).await.unwrap();
                let options = server.create_database(&name).await.unwrap();
                (Server::Private { server, _data: data }, options)
            }
        };
        let pool = connect::pool(options, 4, Duration::from_secs(30));
        connect::migrate(&pool).await.unwrap();
        sqlx::query("CREATE TABLE usage_event_any PARTITION OF usage_event DEFAULT").execute(&pool).await.unwrap();
        Self { tenants: TenantPool::new(pool.clone()), pool, server }
    }

    pub(crate) async fn stop(self) {
        self.pool.close().await;
        match self.server {
            Server::Given { options, name } => {
                let mut admin = PgConnection::connect_with(&options).await.unwrap();
                sqlx::query(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)")))
                    .execute(&mut admin)
                    .await
                    .unwrap();
            }
            Server::Private { server, .. } => server.stop().await.unwrap(),
        }
    }
}
