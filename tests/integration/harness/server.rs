//! A server in this process, on a port of its own.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tollgate_proto::v1::admin_service_client::AdminServiceClient;
use tollgate_proto::v1::alert_service_client::AlertServiceClient;
use tollgate_proto::v1::budget_service_client::BudgetServiceClient;
use tollgate_proto::v1::price_service_client::PriceServiceClient;
use tollgate_proto::v1::usage_service_client::UsageServiceClient;
use tollgate_server::app::audit::audit;
use tollgate_server::boot::{self, Database, Running};
use tollgate_server::config::Config;
use tollgate_server::tenant::TenantId;
use tonic::transport::Channel;

/// A running server with plain gRPC clients; it is stopped when dropped.
pub(crate) struct TestServer {
    pub(crate) usage: UsageServiceClient<Channel>,
    pub(crate) budgets: BudgetServiceClient<Channel>,
    pub(crate) prices: PriceServiceClient<Channel>,
    pub(crate) alerts: AlertServiceClient<Channel>,
    pub(crate) admin: AdminServiceClient<Channel>,
    pub(crate) url: String,
    pub(crate) options: PgConnectOptions,
    pub(crate) running: Option<Running>,
}

impl TestServer {
    /// Over a fresh database.
    pub(crate) async fn start() -> Self {
        Self::over(super::database().await, &Config::default()).await
    }

    /// Over a fresh database, configured.
    pub(crate) async fn configured(config: &Config) -> Self {
        Self::over(super::database().await, config).await
    }

    /// Another replica over the same database.
    pub(crate) async fn replica(&self) -> Self {
        Self::over(self.options.clone(), &Config::default()).await
    }

    /// Over a database that is there.
    pub(crate) async fn over(options: PgConnectOptions, config: &Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let database = Database::given(options.clone());
        let running = boot::start(config, &database, listener, CancellationToken::new()).await.unwrap();
        let url = format!("http://{}", running.address);
        let endpoint = Channel::from_shared(url.clone()).unwrap();
        // Who tests encryption connects on their own.
        let channel =
            if config.server.tls.is_on() { endpoint.connect_lazy() } else { endpoint.connect().await.unwrap() };
        Self {
            usage: UsageServiceClient::new(channel.clone()),
            budgets: BudgetServiceClient::new(channel.clone()),
            prices: PriceServiceClient::new(channel.clone()),
            alerts: AlertServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel),
            url,
            options,
            running: Some(running),
        }
    }

    /// Connections to the database itself.
    pub(crate) fn pool(&self) -> PgPool {
        PgPool::connect_lazy_with(self.options.clone())
    }

    /// Runs a statement past the server.
    pub(crate) async fn execute(&self, statement: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(statement.into())).execute(&self.pool()).await.unwrap();
    }

    /// Asserts that events, totals, rollups, budgets and reservations agree.
    pub(crate) async fn assert_audit_holds(&self) {
        let app = &self.running.as_ref().unwrap().app;
        let report = audit(&app.all_tenants, &app.dictionary, TenantId::LOCAL).await.unwrap();
        assert!(report.holds(), "{}", serde_json::to_string_pretty(&report).unwrap());
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.stop();
        }
    }
}
