//! Starts the server and stops it: the listener and the signal to stop are passed in.

use std::net::SocketAddr;

use secrecy::ExposeSecret as _;
use sqlx::postgres::{PgConnectOptions, PgPool};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_proto::FILE_DESCRIPTOR_SET;
use tollgate_proto::v1::admin_service_server::AdminServiceServer;
use tollgate_proto::v1::alert_service_server::AlertServiceServer;
use tollgate_proto::v1::budget_service_server::BudgetServiceServer;
use tollgate_proto::v1::price_service_server::PriceServiceServer;
use tollgate_proto::v1::usage_service_server::UsageServiceServer;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::server::HealthReporter;

use crate::alerts::{AlertSettings, Alerts, Feed, webhook};
use crate::app::App;
use crate::app::audit::RequestedAudits;
use crate::app::stream::DatabaseSource;
use crate::config::{Config, ConfigError, DatabaseConfig, ServerConfig};
use crate::embedded::{EmbeddedError, EmbeddedPostgres, Settings};
use crate::grpc::{AdminApi, AlertApi, BudgetApi, Deadlines, PriceApi, UnreadableMessages, UsageApi};
use crate::ledger::{Ledger, LedgerSettings, Presence};
use crate::live::{Hub, exchange_touches};
use crate::metrics::{self, Metrics};
use crate::prices::{CatalogFile, CatalogFileError, Prices, catalog_of};
use crate::store::StoreError;
use crate::store::audit::tenants;
use crate::store::connect::{self, ConnectError};
use crate::store::dictionary::Dictionary;
use crate::store::heartbeat::Heartbeat;
use crate::store::notify::TouchChannel;
use crate::tasks::{self, AuditTask};

/// Why the server does not start or ends early.
#[derive(Debug, Error)]
pub enum BootError {
    /// The database is refused or cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The private Postgres does not start.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The price catalog cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogFileError),
    /// A URL is broken.
    #[error("a database URL cannot be used")]
    Url(#[source] sqlx::Error),
    /// The listener fails.
    #[error("the address {address} cannot be served")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The webhook cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The metrics contradict each other.
    #[error("the metrics cannot be kept")]
    Metrics(#[from] prometheus::Error),
    /// The descriptors cannot be served.
    #[error("reflection cannot be served")]
    Reflection(#[source] tonic_reflection::server::Error),
}

impl From<StoreError> for BootError {
    fn from(error: StoreError) -> Self {
        Self::Connect(error.into())
    }
}

/// The database to use: a given one, or a private one that runs as long as it is needed.
#[derive(Debug)]
pub struct Database {
    /// How statements reach it, perhaps through a pooler.
    pub pooled: PgConnectOptions,
    /// How migrations and notices reach it.
    pub direct: PgConnectOptions,
    embedded: Option<EmbeddedPostgres>,
}

impl Database {
    /// Opens the configured database, or starts the embedded default.
    ///
    /// # Errors
    /// [`BootError`].
    pub async fn open(config: &Config) -> Result<Self, BootError> {
        match &config.database.url {
            Some(url) => {
                let parse = |url: &secrecy::SecretString| {
                    url.expose_secret().parse::<PgConnectOptions>().map_err(BootError::Url)
                };
                let pooled = parse(url)?;
                let direct = config.database.direct_url.as_ref().map_or_else(|| Ok(pooled.clone()), parse)?;
                Ok(Self { pooled, direct, embedded: None })
            }
            None => {
                let settings = Settings {
                    data_dir: config.embedded.data_dir.clone(),
                    binaries_dir: config.embedded.binaries_dir.clone(),
                    start_timeout: config.embedded.start_timeout,
                };
                let embedded = EmbeddedPostgres::start(&settings).await?;
                tracing::info!(
                    data_dir = %embedded.data_dir().display(),
                    version = embedded.major_version(),
                    "no DATABASE_URL is set: using a private Postgres"
                );
                let options = embedded.connect_options();
                Ok(Self { pooled: options.clone(), direct: options, embedded: Some(embedded) })
            }
        }
    }

    /// A database that is there already, for tests.
    pub fn given(options: PgConnectOptions) -> Self {
        Self { pooled: options.clone(), direct: options, embedded: None }
    }

    /// Stops the private Postgres, where there is one.
    ///
    /// # Errors
    /// [`BootError::Embedded`].
    pub async fn close(self) -> Result<(), BootError> {
        match self.embedded {
            Some(embedded) => Ok(embedded.stop().await?),
            None => Ok(()),
        }
    }

    /// A pool for reads and administration.
    pub fn pool(&self, config: &DatabaseConfig) -> PgPool {
        let timeout = config.statement_timeout.as_millis().to_string();
        // Filters that are not given are NULL parameters: only a plan for the values at hand can leave them out.
        let options = self
            .pooled
            .clone()
            .options([("statement_timeout", timeout.as_str()), ("plan_cache_mode", "force_custom_plan")]);
        connect::pool(options, config.connections, config.acquire_timeout)
    }

    /// Checks the database and brings its schema up to date.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn prepare(&self, config: &Config) -> Result<(), BootError> {
        let direct = connect::pool(self.direct.clone(), 2, config.database.acquire_timeout);
        connect::check(&direct).await?;
        connect::migrate(&direct).await?;
        tasks::prepare(&direct, config.ledger.retention).await?;
        direct.close().await;
        Ok(())
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its metrics are read.
    pub metrics_address: Option<SocketAddr>,
    /// Its use cases, for what runs beside the wire.
    pub app: App,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Running {
    /// Asks it to stop; [`Self::stopped`] waits for the end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has stopped.
    pub async fn stopped(self) {
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the server ended unexpectedly");
        }
    }
}

/// Starts serving on `listener` until `stop`.
///
/// # Errors
/// [`BootError`].
pub async fn start(
    config: &Config,
    database: &Database,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<Running, BootError> {
    let address =
        listener.local_addr().map_err(|source| BootError::Listen { address: config.server.listen, source })?;
    let mut catalog_file = config.prices.catalog_file.as_ref().map(CatalogFile::new);
    let catalog = match &mut catalog_file {
        Some(file) => file.read()?,
        None => catalog_of(None)?,
    };
    database.prepare(config).await?;
    let pool = database.pool(&config.database);
    let prices = Prices::new(pool.clone(), catalog, config.prices.free());
    for (tenant, _) in tenants(&pool).await? {
        // Known from the start, in case the database goes away before the first call.
        prices.book(tenant).await?;
    }
    let dictionary = Dictionary::new(config.limits.dictionary());
    let draining = CancellationToken::new();
    let source = DatabaseSource::new(pool.clone(), dictionary.clone());
    let hub = Hub::new(config.live.settings(), source, draining.clone());
    let writers = u32::try_from(config.ledger.writers).unwrap_or(u32::MAX);
    // The ledger bounds its batches itself; a role's own limits would only break them half way.
    let unlimited = database.pooled.clone().options([("statement_timeout", "0"), ("lock_timeout", "0")]);
    let ledger_pool = connect::writers_pool(unlimited, writers, config.database.acquire_timeout);
    let metrics = Metrics::new()?;
    let webhook = config.alerts.webhook()?;
    let settings = AlertSettings { deliver: webhook.is_some(), log: config.alerts.log };
    let alerts = Alerts::new(settings, metrics.clone(), hub.clone());
    let feed = Feed::new(pool.clone(), hub.clone());
    let ledger = Ledger::start(
        ledger_pool.clone(),
        Heartbeat::new(database.pooled.clone()),
        dictionary.clone(),
        hub.clone(),
        prices.clone(),
        metrics.clone(),
        alerts.clone(),
        LedgerSettings { reported_cost: config.prices.reported_cost(), ..config.ledger.settings() },
    );
    let audits = RequestedAudits::new(&config.audit.settings());
    let app =
        App::new(pool.clone(), ledger.clone(), hub.clone(), dictionary, prices.clone(), alerts, feed.clone(), audits)
            .with_readers(config.limits.readers(config.database.connections));

    let background = TaskTracker::new();
    let stop_background = CancellationToken::new();
    tasks::start(&background, &app, config.ledger.retention, &stop_background);
    let audit = AuditTask::new(app.clone(), metrics.clone(), config.audit.settings());
    background.spawn(audit.run(stop_background.clone()));
    if let Some(file) = catalog_file {
        background.spawn(file.watch(
            prices.clone(),
            metrics.clone(),
            config.prices.catalog_interval,
            stop_background.clone(),
        ));
    }
    background.spawn(prices.clone().watch(stop_background.clone()));
    background.spawn(hub.clone().run());
    background.spawn(feed.run(stop_background.clone()));
    if let Some(webhook) = webhook {
        let courier = webhook::run(webhook, pool.clone(), hub.clone(), metrics.clone(), stop_background.clone());
        background.spawn(courier);
    }
    background.spawn(exchange_touches(hub, TouchChannel::new(database.direct.clone())));
    let metrics_address = match config.metrics.listen {
        Some(address) => {
            Some(serve_metrics(&background, address, metrics, draining.clone(), stop_background.clone()).await?)
        }
        None => None,
    };
    background.close();

    let (health, health_service) = tonic_health::server::health_reporter();
    let mut routes = Routes::new(health_service);
    let limit = config.server.message_bytes;
    routes = routes
        .add_service(UsageServiceServer::new(UsageApi::new(app.clone())).max_decoding_message_size(limit))
        .add_service(BudgetServiceServer::new(BudgetApi::new(app.clone())).max_decoding_message_size(limit))
        .add_service(PriceServiceServer::new(PriceApi::new(app.clone())).max_decoding_message_size(limit))
        .add_service(AlertServiceServer::new(AlertApi::new(app.clone())).max_decoding_message_size(limit))
        .add_service(AdminServiceServer::new(AdminApi::new(app.clone())).max_decoding_message_size(limit));
    if config.server.reflection {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(BootError::Reflection)?;
        routes = routes.add_service(reflection);
    }
    set_health(&health, true).await;
    background.reopen();
    background.spawn(tell_database_health(ledger.presence().clone(), health.clone(), stop_background.clone()));
    background.close();
    tracing::info!(%address, catalog_version = prices.catalog().version(), "serving");

    let pools = [ledger_pool, pool];
    let lifetime = Lifetime { stop: stop.clone(), draining, stop_background, background, ledger, health, pools };
    let serving = tokio::spawn(lifetime.serve(config.server.clone(), listener, routes));
    Ok(Running { address, metrics_address, app, stop, serving })
}

/// Serves the metrics at `address`, and says where exactly.
async fn serve_metrics(
    background: &TaskTracker,
    address: SocketAddr,
    metrics: Metrics,
    draining: CancellationToken,
    stop: CancellationToken,
) -> Result<SocketAddr, BootError> {
    let unusable = |source| BootError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    background.spawn(metrics::serve(listener, metrics, draining, stop));
    tracing::info!(%address, "serving metrics");
    Ok(address)
}

/// The name under which gRPC health tells whether the database is there. The services stay SERVING without it: they answer checks.
pub const DATABASE_HEALTH: &str = "tollgate.database";

async fn tell_database_health(presence: Presence, health: HealthReporter, stop: CancellationToken) {
    loop {
        health.set_service_status(DATABASE_HEALTH, tonic_health::ServingStatus::Serving).await;
        tokio::select! {
            () = presence.went_away() => {}
            () = stop.cancelled() => return,
        }
        health.set_service_status(DATABASE_HEALTH, tonic_health::ServingStatus::NotServing).await;
        tokio::select! {
            () = presence.came_back() => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn set_health(health: &HealthReporter, serving: bool) {
    if serving {
        health.set_serving::<UsageServiceServer<UsageApi>>().await;
        health.set_serving::<BudgetServiceServer<BudgetApi>>().await;
        health.set_serving::<PriceServiceServer<PriceApi>>().await;
        health.set_serving::<AlertServiceServer<AlertApi>>().await;
        health.set_serving::<AdminServiceServer<AdminApi>>().await;
        health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    } else {
        health.set_not_serving::<UsageServiceServer<UsageApi>>().await;
        health.set_not_serving::<BudgetServiceServer<BudgetApi>>().await;
        health.set_not_serving::<PriceServiceServer<PriceApi>>().await;
        health.set_not_serving::<AlertServiceServer<AlertApi>>().await;
        health.set_not_serving::<AdminServiceServer<AdminApi>>().await;
        health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    }
}

/// What ends with the server, in this order: health, streams, calls under way, the ledger's queue, background tasks,
/// connections.
struct Lifetime {
    stop: CancellationToken,
    draining: CancellationToken,
    stop_background: CancellationToken,
    background: TaskTracker,
    ledger: Ledger,
    health: HealthReporter,
    pools: [PgPool; 2],
}

impl Lifetime {
    async fn serve(self, config: ServerConfig, listener: TcpListener, routes: Routes) {
        let shutdown = CancellationToken::new();
        // The server's own option does not reach connections of a listener that is passed in; without it, an answer's last
        // packet waits for the caller's delayed acknowledgement, 40 ms.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(std::time::Duration::from_secs(30)))
            .max_concurrent_streams(Some(config.streams_per_connection))
            .layer(Deadlines)
            .layer(UnreadableMessages)
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
        let mut server = tokio::spawn(server);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.ledger.writer_ended() => tracing::error!("a ledger writer failed: stopping, to be started anew"),
            ended = &mut server => {
                tracing::error!(?ended, "the listener ended unexpectedly");
            }
        }
        tracing::info!("draining");
        set_health(&self.health, false).await;
        let deadline = CancellationToken::new();
        let timer = tokio::spawn({
            let deadline = deadline.clone();
            async move {
                tokio::time::sleep(config.drain_timeout).await;
                deadline.cancel();
            }
        });
        // Streams end themselves; what is under way is finished; nothing new is taken.
        self.draining.cancel();
        shutdown.cancel();
        if !server.is_finished() {
            tokio::select! {
                _ = &mut server => {}
                () = deadline.cancelled() => {
                    tracing::warn!("calls under way did not end in time");
                    server.abort();
                }
            }
        }
        self.ledger.drain(&deadline).await;
        self.stop_background.cancel();
        tokio::select! {
            () = self.background.wait() => {}
            () = deadline.cancelled() => tracing::warn!("background tasks did not end in time"),
        }
        for pool in &self.pools {
            // Every connection is back before a private Postgres is stopped under it.
            tokio::select! {
                () = pool.close() => {}
                () = deadline.cancelled() => {}
            }
        }
        timer.abort();
        tracing::info!("stopped");
    }
}
