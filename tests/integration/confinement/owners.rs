//! Servers whose database account is no superuser, in a cluster that has never seen Tollgate.

use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, PgConnection};
use tollgate_proto::v1::ListUsageRequest;
use tollgate_server::boot::{BootError, Database};
use tollgate_server::config::Config;
use tollgate_server::store::StoreError;
use tollgate_server::store::connect::ConnectError;
use tollgate_server::store::scoped::ROLE;

use super::{FIRST, tenant_pool};
use crate::harness::TestServer;
use crate::harness::build::{event, record, session};
use crate::harness::outage::OwnPostgres;

/// A Postgres with an account that owns an empty database and may do nothing else.
struct Cluster {
    postgres: OwnPostgres,
    superuser: PgPool,
    owner: PgConnectOptions,
}

impl Cluster {
    async fn start() -> Self {
        let postgres = OwnPostgres::start().await;
        let superuser = PgPool::connect_lazy_with(postgres.options());
        // The private server lets nobody in but the account that it runs as.
        let rules: String = sqlx::query_scalar("SHOW hba_file").fetch_one(&superuser).await.unwrap();
        std::fs::write(rules, "local all all trust\n").unwrap();
        let owner = postgres.options().username("keeper").database("ledger");
        let cluster = Self { postgres, superuser, owner };
        cluster.run("SELECT pg_reload_conf()").await;
        cluster.run("CREATE ROLE keeper LOGIN").await;
        cluster.run("CREATE DATABASE ledger OWNER keeper").await;
        cluster
    }

    /// As an administrator.
    async fn run(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&self.superuser).await.unwrap();
    }

    async fn prepare(&self) -> Result<(), BootError> {
        Database::given(self.owner.clone()).prepare(&Config::default()).await
    }

    async fn stop(mut self) {
        self.superuser.close().await;
        self.postgres.stop().await;
    }
}

/// An error with everything that caused it.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn an_owner_who_may_make_roles_needs_nobody() {
    let cluster = Cluster::start().await;
    cluster.run("ALTER ROLE keeper CREATEROLE").await;
    let mut server = TestServer::over(cluster.owner.clone(), &Config::default()).await;
    let recorded = event(session("s"), 1_000, 100);
    for _ in 0..2 {
        server.usage.record_usage(record(recorded.clone())).await.unwrap();
    }
    let listed = server.usage.list_usage(ListUsageRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.records.len(), 1);
    server.assert_audit_holds().await;
    let running = server.running.take().unwrap();
    running.stop();
    running.stopped().await;
    cluster.stop().await;
}

#[tokio::test]
async fn an_owner_who_may_not_is_told_what_an_administrator_must_run() {
    let cluster = Cluster::start().await;
    let refused = told(&cluster.prepare().await.unwrap_err());
    let advice = format!("let an administrator run: CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO keeper");
    assert!(refused.contains(&advice), "{refused}");

    // Another database of the cluster has made the role.
    cluster.run(&format!("CREATE ROLE {ROLE} NOLOGIN")).await;
    let refused = told(&cluster.prepare().await.unwrap_err());
    assert!(refused.contains(&format!("let an administrator run: GRANT {ROLE} TO keeper")), "{refused}");

    cluster.run(&format!("GRANT {ROLE} TO keeper; ALTER ROLE {ROLE} BYPASSRLS")).await;
    let refused = told(&cluster.prepare().await.unwrap_err());
    assert!(refused.contains(&format!("ALTER ROLE {ROLE} NOSUPERUSER NOBYPASSRLS")), "{refused}");

    cluster.run(&format!("ALTER ROLE {ROLE} NOBYPASSRLS")).await;
    cluster.prepare().await.unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn what_changes_after_the_migration_is_found_at_the_next_start() {
    let cluster = Cluster::start().await;
    cluster.run("ALTER ROLE keeper CREATEROLE").await;
    cluster.prepare().await.unwrap();

    cluster.run(&format!("ALTER ROLE {ROLE} BYPASSRLS")).await;
    let refused = cluster.prepare().await.unwrap_err();
    assert!(matches!(refused, BootError::Connect(ConnectError::NotConfining)), "{refused:?}");

    // As in a cluster to which the database was moved without its roles.
    cluster.run(&format!("ALTER ROLE {ROLE} NOBYPASSRLS; REVOKE {ROLE} FROM keeper")).await;
    let refused = cluster.prepare().await.unwrap_err();
    assert!(matches!(refused, BootError::Connect(ConnectError::TenantRole { user }) if user == "keeper"));
    cluster.stop().await;
}

#[tokio::test]
async fn a_refused_role_leaves_no_transaction_behind() {
    let cluster = Cluster::start().await;
    let (tenants, pool) = tenant_pool(&cluster.owner, 1);
    for _ in 0..2 {
        let refused = tenants.snapshot(FIRST).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
        let mut connection = pool.acquire().await.unwrap();
        assert_eq!(user(&mut connection).await, "keeper");
    }
    pool.close().await;
    cluster.stop().await;
}

async fn user(connection: &mut PgConnection) -> String {
    sqlx::query_scalar("SELECT current_user::text").fetch_one(connection).await.unwrap()
}
