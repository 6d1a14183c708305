//! Starts the server and stops it: the listener and the signal to stop are passed in.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

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
use tonic_health::server::HealthReporter;

use crate::alerts::{AlertSettings, Alerts, webhook};
use crate::app::App;
use crate::app::audit::RequestedAudits;
use crate::app::stream::DatabaseSource;
use crate::auth::{Credentials, LOOK_UP_CONNECTIONS, LastUses};
use crate::config::{Config, ConfigError, DatabaseConfig};
use crate::embedded::{EmbeddedError, EmbeddedPostgres, Settings};
use crate::grpc::{
    AdminApi, AlertApi, AuthorizeLayer, BudgetApi, HealthApi, Methods, Observe, PriceApi, TurnAwayLayer,
    UnreadableMessages, UsageApi,
};
use crate::ledger::{Ledger, LedgerSettings, Presence};
use crate::live::{Hub, exchange_touches};
use crate::metrics::{self, FULLNESS, Metrics, Pool, State, Watch, Watched};
use crate::prices::{CatalogFile, CatalogFileError, Prices, catalog_of};
use crate::store::audit;
use crate::store::connect::{self, ConnectError};
use crate::store::dictionary::Dictionary;
use crate::store::heartbeat::Heartbeat;
use crate::store::notify::TouchChannel;
use crate::store::scoped::TenantPool;
use crate::store::{PoolUsage, StoreError};
use crate::tasks::{self, AuditTask};
use crate::transport::{Tls, TlsError, Transport};

/// Connections for what concerns every tenant. What holds one for long runs once at a time: the audit, counting back, retention.
pub const UPKEEP_CONNECTIONS: u32 = 8;

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
    /// Connections cannot be encrypted.
    #[error("server.tls cannot be used")]
    Tls(#[from] TlsError),
    /// The metrics contradict each other.
    #[error("the metrics cannot be kept")]
    Metrics(#[from] prometheus::Error),
    /// The descriptors that are compiled in are broken.
    #[error("the contract cannot be read")]
    Contract(#[from] prost_reflect::DescriptorError),
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

    /// Where the private Postgres keeps its data, where there is one.
    pub fn data_dir(&self) -> Option<&Path> {
        self.embedded.as_ref().map(EmbeddedPostgres::data_dir)
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

    /// Connections for whatever a tenant asks and administers.
    pub fn tenants(&self, config: &DatabaseConfig) -> TenantPool {
        // The first message of a transaction tries its connection.
        let pool = connect::untried_pool(self.reading(config), config.connections, config.acquire_timeout);
        TenantPool::new(pool)
    }

    /// Connections for what concerns every tenant: upkeep, audits, offline commands.
    pub fn all_tenants(&self, config: &DatabaseConfig) -> PgPool {
        connect::pool(self.reading(config), UPKEEP_CONNECTIONS, config.acquire_timeout)
    }

    /// Connections to look up credentials: every call may wait for one, so that they are lent for nothing else.
    fn look_ups(&self, config: &DatabaseConfig) -> PgPool {
        connect::pool(self.reading(config), LOOK_UP_CONNECTIONS, config.acquire_timeout)
    }

    fn reading(&self, config: &DatabaseConfig) -> PgConnectOptions {
        let timeout = config.statement_timeout.as_millis().to_string();
        // Filters that are not given are NULL parameters: only a plan for the values at hand can leave them out.
        self.pooled.clone().options([("statement_timeout", timeout.as_str()), ("plan_cache_mode", "force_custom_plan")])
    }

    /// Checks the database and brings its schema up to date.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn prepare(&self, config: &Config) -> Result<(), BootError> {
        let direct = connect::pool(self.direct.clone(), 2, config.database.acquire_timeout);
        connect::check(&direct).await?;
        connect::migrate(&direct).await?;
        connect::check_tenant_role(&direct).await?;
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
    serving: JoinHandle<Duration>,
}

impl Running {
    /// Asks it to stop; [`Self::stopped`] waits for the end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has stopped, and says how much of the time to drain is left.
    pub async fn stopped(self) -> Duration {
        self.serving.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the server ended unexpectedly");
            Duration::ZERO
        })
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
    let metrics = Metrics::new()?;
    let watch = Watch::default();
    let draining = CancellationToken::new();
    let background = TaskTracker::new();
    let stop_background = CancellationToken::new();
    // Where starting fails, what is told of it ends with it.
    let unless_started = stop_background.clone().drop_guard();
    let metrics_address = match config.metrics.listen {
        Some(address) => {
            let (draining, stop) = (draining.clone(), stop_background.clone());
            Some(serve_metrics(&background, address, metrics.clone(), watch.clone(), draining, stop).await?)
        }
        None => None,
    };
    database.prepare(config).await?;
    let tenants = database.tenants(&config.database);
    let all_tenants = database.all_tenants(&config.database);
    let prices = Prices::new(tenants.clone(), all_tenants.clone(), catalog, config.prices.free());
    for (tenant, _) in audit::tenants(&all_tenants).await? {
        // Known from the start, in case the database goes away before the first call.
        prices.book(tenant).await?;
    }
    let dictionary = Dictionary::new(config.limits.dictionary());
    let source = DatabaseSource::new(tenants.clone(), dictionary.clone());
    let hub = Hub::new(config.live.settings(), source, draining.clone());
    let writers = u32::try_from(config.ledger.writers).unwrap_or(u32::MAX);
    // The ledger bounds its batches itself; a role's own limits would only break them half way.
    let unlimited = database.pooled.clone().options([("statement_timeout", "0"), ("lock_timeout", "0")]);
    let ledger_pool = connect::writers_pool(unlimited, writers, config.database.acquire_timeout);
    let observe = Observe::new(Methods::of_contract()?, metrics.rpc.clone());
    let tls = Tls::load(&config.server.tls, metrics.transport.clone()).await?;
    let webhook = config.alerts.webhook()?;
    let settings = AlertSettings { deliver: webhook.is_some(), log: config.alerts.log };
    let alerts = Alerts::new(settings, metrics.clone(), hub.clone());
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
    let app = App::new(
        tenants.clone(),
        all_tenants.clone(),
        ledger.clone(),
        hub.clone(),
        dictionary,
        prices.clone(),
        alerts,
        audits,
    )
    .with_turns(config.limits.turns(config.database.connections))
    .with_feed(config.live.alert_streams());

    let uses = LastUses::default();
    let look_ups = database.look_ups(&config.database);
    let credentials = Credentials::new(look_ups.clone(), ledger.presence().clone(), uses.clone());
    credentials.read_recent().await;
    let authorize = AuthorizeLayer::new(credentials, config.auth.required);
    tasks::start(&background, &app, uses, config.ledger.retention, &stop_background);
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
    background.spawn(app.feed.clone().run(stop_background.clone()));
    if let Some(webhook) = webhook {
        let courier = webhook::run(webhook, all_tenants.clone(), hub.clone(), metrics.clone(), stop_background.clone());
        background.spawn(courier);
    }
    background.spawn(exchange_touches(hub, TouchChannel::new(database.direct.clone())));
    if let Some(tls) = tls.clone() {
        background.spawn(tls.watch(stop_background.clone()));
    }
    let (no_more_calls, no_more_connections) = (CancellationToken::new(), CancellationToken::new());
    let transport_metrics = metrics.transport.clone();
    background.close();

    let health = HealthReporter::new();
    let mut routes = Routes::new(HealthApi::service(health.clone(), draining.clone()));
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
    let turn_away = TurnAwayLayer::new(ledger.clone());
    let routes = routes.into_axum_router().layer(UnreadableMessages).layer(turn_away).layer(authorize);
    let routes = Routes::from(routes);
    set_health(&health, true).await;
    background.reopen();
    background.spawn(tell_database_health(ledger.presence().clone(), health.clone(), stop_background.clone()));
    background.close();
    watch.started(Parts { app: app.clone(), ledger_pool: ledger_pool.clone() });
    unless_started.disarm();
    tracing::info!(%address, catalog_version = prices.catalog().version(), "serving");

    let pools = [ledger_pool, all_tenants, look_ups];
    // Outside of everything else, so that a call that is refused is seen, too.
    let routes = Routes::from(routes.into_axum_router().layer(observe));
    let transport = Transport::new(
        &config.server,
        routes,
        tls,
        transport_metrics,
        no_more_calls.clone(),
        no_more_connections.clone(),
    );
    let lifetime = Lifetime {
        stop: stop.clone(),
        draining,
        no_more_calls,
        no_more_connections,
        stop_background,
        background,
        ledger,
        health,
        tenants,
        pools,
    };
    let serving = tokio::spawn(lifetime.serve(config.server.drain_timeout, transport.serve(listener)));
    Ok(Running { address, metrics_address, app, stop, serving })
}

/// What the metrics show of a server's state.
struct Parts {
    app: App,
    ledger_pool: PgPool,
}

impl Watched for Parts {
    fn state(&self) -> State {
        let (queued_commands, queued_bytes) = self.app.ledger.queued();
        let settings = self.app.ledger.settings();
        State {
            queued_commands,
            queued_bytes,
            queue_commands_limit: settings.queue_items,
            queue_bytes_limit: settings.queue_bytes,
            subscribers: self.app.hub.subscribers(),
            watched_scopes: self.app.hub.watched_scopes(),
            ledger_pool: shown(PoolUsage::of(&self.ledger_pool)),
            reads_pool: shown(self.app.tenants.usage()),
        }
    }

    fn counters(&self) -> [usize; FULLNESS.len()] {
        self.app.ledger.fullness()
    }
}

/// As the metrics know it.
fn shown(PoolUsage { used, idle, limit }: PoolUsage) -> Pool {
    Pool { used, idle, limit }
}

/// Serves the metrics at `address`, and says where exactly.
async fn serve_metrics(
    background: &TaskTracker,
    address: SocketAddr,
    metrics: Metrics,
    watch: Watch,
    draining: CancellationToken,
    stop: CancellationToken,
) -> Result<SocketAddr, BootError> {
    let unusable = |source| BootError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    background.spawn(metrics::serve(listener, metrics, watch, draining, stop));
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
    no_more_calls: CancellationToken,
    no_more_connections: CancellationToken,
    stop_background: CancellationToken,
    background: TaskTracker,
    ledger: Ledger,
    health: HealthReporter,
    tenants: TenantPool,
    pools: [PgPool; 3],
}

impl Lifetime {
    /// Serves, then ends everything, and says how much of the time for that is left.
    async fn serve(self, drain_timeout: Duration, server: impl Future<Output = ()> + Send + 'static) -> Duration {
        let mut server = tokio::spawn(server);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.ledger.writer_ended() => tracing::error!("a ledger writer failed: stopping, to be started anew"),
            ended = &mut server => {
                tracing::error!(?ended, "the listener ended unexpectedly");
            }
        }
        tracing::info!("draining");
        let draining_since = Instant::now();
        set_health(&self.health, false).await;
        let deadline = CancellationToken::new();
        let timer = tokio::spawn({
            let deadline = deadline.clone();
            async move {
                tokio::time::sleep(drain_timeout).await;
                deadline.cancel();
            }
        });
        // Streams end themselves; what is under way is finished; nothing new is taken.
        self.draining.cancel();
        self.no_more_calls.cancel();
        if !server.is_finished() {
            tokio::select! {
                _ = &mut server => {}
                () = deadline.cancelled() => {
                    tracing::warn!("calls under way did not end in time");
                    self.no_more_connections.cancel();
                }
            }
        }
        self.ledger.drain(&deadline).await;
        self.stop_background.cancel();
        tokio::select! {
            () = self.background.wait() => {}
            () = deadline.cancelled() => tracing::warn!("background tasks did not end in time"),
        }
        // Every connection is back before a private Postgres is stopped under it.
        let closed = async {
            self.tenants.close().await;
            for pool in &self.pools {
                pool.close().await;
            }
        };
        tokio::select! {
            () = closed => {}
            () = deadline.cancelled() => {}
        }
        timer.abort();
        tracing::info!("stopped");
        drain_timeout.saturating_sub(draining_since.elapsed())
    }
}
