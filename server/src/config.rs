//! The configuration: defaults, then a TOML file, then the environment; checked at start.
//!
//! Every key has an environment variable: `TOLLGATE_` and the path in capitals, joined by two underscores, for example
//! `TOLLGATE_SERVER__LISTEN`. `DATABASE_URL` stands for `database.url`.

mod exposure;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use rust_decimal::Decimal;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use tollgate_domain::amount::Usd;
use tollgate_domain::price::{FreeProviders, ReportedCostTolerance};

use self::exposure::Exposure;
use crate::alerts::FeedSettings;
use crate::alerts::webhook::{Secret, Target, Webhook};
use crate::app::audit::AuditSettings;
use crate::app::turns::{TurnBounds, TurnSettings};
use crate::ledger::LedgerSettings;
use crate::live::HubSettings;
use crate::store::folding::DictionaryLimits;

mod transport;

pub use transport::{CallsConfig, ClientAuth, ConnectionsConfig, TlsConfig};

/// Most streams of one connection that may be configured: each may hold a message that is not complete.
const MOST_STREAMS: u32 = 10_000;
/// Calls are settled up to a week after their check, and spools are kept for weeks.
const SHORTEST_RETENTION: Duration = Duration::from_secs(35 * 86_400);

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The port and how it is served.
    pub server: ServerConfig,
    /// Who may call.
    pub auth: AuthConfig,
    /// The database.
    pub database: DatabaseConfig,
    /// The private Postgres, where no database is given.
    pub embedded: EmbeddedConfig,
    /// The ledger's bounds.
    pub ledger: LedgerConfig,
    /// What a tenant's values are bounded by.
    pub limits: LimitsConfig,
    /// Live totals.
    pub live: LiveConfig,
    /// What calls cost.
    pub prices: PricesConfig,
    /// Alerts.
    pub alerts: AlertsConfig,
    /// The audit in the background and on request.
    pub audit: AuditConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
    /// Logs.
    pub log: LogConfig,
    /// Traces.
    pub telemetry: TelemetryConfig,
}

/// The port and how it is served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address of the one port: gRPC, health and reflection.
    pub listen: SocketAddr,
    /// Whether an address other than loopback may be served although nobody has to show a credential.
    pub allow_unauthenticated: bool,
    /// Whether an address other than loopback may be served although API keys are sent to it in the clear.
    pub allow_plaintext: bool,
    /// Whether the server describes its services (gRPC reflection), where keys are required to any caller who has one.
    pub reflection: bool,
    /// Longest time from the signal to stop until the process ends.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Most requests that one connection has under way.
    pub streams_per_connection: u32,
    /// Largest message, in bytes.
    pub message_bytes: usize,
    /// Encryption of the port.
    pub tls: TlsConfig,
    /// Bounds of connections.
    pub connections: ConnectionsConfig,
    /// Bounds of calls.
    pub calls: CallsConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4747)),
            allow_unauthenticated: false,
            allow_plaintext: false,
            reflection: false,
            drain_timeout: Duration::from_secs(15),
            streams_per_connection: 256,
            message_bytes: 1 << 20,
            tls: TlsConfig::default(),
            connections: ConnectionsConfig::default(),
            calls: CallsConfig::default(),
        }
    }
}

/// Who may call.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Whether every call has to show an API key or a view token; health alone is for everybody. If not, callers without one are
    /// the local tenant with every permission, and one that is sent is checked all the same.
    pub required: bool,
}

/// The database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// `postgres://…`, perhaps through a pooler; absent = the embedded default.
    #[serde(serialize_with = "hidden")]
    pub url: Option<SecretString>,
    /// The same database without the pooler, for migrations and notices; absent = `url`.
    #[serde(serialize_with = "hidden")]
    pub direct_url: Option<SecretString>,
    /// Most connections for reads and administration; upkeep has eight more.
    pub connections: u32,
    /// Longest wait for a connection.
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    /// Longest time of one reading statement.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: None,
            direct_url: None,
            connections: 16,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
        }
    }
}

/// The private Postgres.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddedConfig {
    /// Where its data lives; absent = the user's data folder.
    pub data_dir: Option<PathBuf>,
    /// Where its programs are; absent = they are looked for.
    pub binaries_dir: Option<PathBuf>,
    /// Longest wait for its start, recovery included.
    #[serde(with = "humantime_serde")]
    pub start_timeout: Duration,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { data_dir: None, binaries_dir: None, start_timeout: Duration::from_secs(60) }
    }
}

/// The ledger's bounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// Most commands that wait.
    pub queue_items: usize,
    /// Most bytes that wait.
    pub queue_bytes: usize,
    /// Most commands of one transaction.
    pub batch_items: usize,
    /// Transactions at once.
    pub writers: usize,
    /// How long a batch is tried again while the database is away.
    #[serde(with = "humantime_serde")]
    pub retry_for: Duration,
    /// How long the database must have been unreachable until checks are answered by the budgets' `unavailable` choices; where it
    /// does not even refuse, twice as long.
    #[serde(with = "humantime_serde")]
    pub degraded_after: Duration,
    /// How old an event id may be. Months that are older as a whole are summed up and deleted.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// From how many earlier events on a new budget counts back in the background, and how many it counts at a time.
    pub count_at_once: u64,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        let LedgerSettings {
            queue_items,
            queue_bytes,
            batch_items,
            writers,
            retry_for,
            degraded_after,
            retention,
            ahead: _,
            count_at_once,
            reported_cost: _,
        } = LedgerSettings::default();
        Self { queue_items, queue_bytes, batch_items, writers, retry_for, degraded_after, retention, count_at_once }
    }
}

impl LedgerConfig {
    /// For the ledger.
    pub fn settings(&self) -> LedgerSettings {
        LedgerSettings {
            queue_items: self.queue_items,
            queue_bytes: self.queue_bytes,
            batch_items: self.batch_items,
            writers: self.writers,
            retry_for: self.retry_for,
            degraded_after: self.degraded_after,
            retention: self.retention,
            count_at_once: self.count_at_once,
            ..LedgerSettings::default()
        }
    }
}

/// What a tenant's values are bounded by. What is beyond is counted as `__other__` in totals and summaries; budgets and events go by
/// the exact values.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Most values that a tenant's totals tell apart of each dimension with few values, models included.
    pub values_per_dimension: usize,
    /// Most combinations of them.
    pub shapes_per_tenant: usize,
    /// Most price sheets that differ in the name of their model.
    pub price_sheets_per_tenant: usize,
    /// Most summaries of a tenant at once, and what else reads much: lists of usage, of reservations and of budgets' states, audits on
    /// request, steps of repricing, rehearsals of erasures. All tenants together have three quarters of `database.connections`.
    pub summaries_per_tenant: usize,
    /// Most of these of a tenant that wait.
    pub summaries_waiting_per_tenant: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let DictionaryLimits { values_per_dimension, shapes, price_sheets } = DictionaryLimits::default();
        let TurnBounds { at_once: _, per_tenant, waiting_per_tenant } = TurnSettings::default().reads;
        Self {
            values_per_dimension,
            shapes_per_tenant: shapes,
            price_sheets_per_tenant: price_sheets,
            summaries_per_tenant: per_tenant,
            summaries_waiting_per_tenant: waiting_per_tenant,
        }
    }
}

impl LimitsConfig {
    /// For what takes turns, where the pool has so many connections.
    pub fn turns(&self, connections: u32) -> TurnSettings {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        TurnSettings::of(connections, self.summaries_per_tenant, self.summaries_waiting_per_tenant)
    }

    /// For the dictionaries.
    pub fn dictionary(&self) -> DictionaryLimits {
        DictionaryLimits {
            values_per_dimension: self.values_per_dimension,
            shapes: self.shapes_per_tenant,
            price_sheets: self.price_sheets_per_tenant,
        }
    }
}

/// Live totals.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LiveConfig {
    /// Least time between two readings of the same tenant.
    #[serde(with = "humantime_serde")]
    pub refresh_interval: Duration,
    /// Every watched scope is read at least this often.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Most subscribers.
    pub subscribers: usize,
    /// Most subscribers of one tenant.
    pub subscribers_per_tenant: usize,
    /// Most streams of alerts.
    pub alert_streams: usize,
    /// Most streams of alerts of one tenant.
    pub alert_streams_per_tenant: usize,
    /// Whether replicas tell each other through the database what they touched.
    pub notify: bool,
}

impl Default for LiveConfig {
    fn default() -> Self {
        let HubSettings {
            refresh_interval,
            poll_interval,
            subscribers_limit,
            subscribers_limit_per_tenant,
            scopes_limit_per_stream: _,
            notify,
        } = HubSettings::default();
        let FeedSettings { followers, followers_per_tenant } = FeedSettings::default();
        Self {
            refresh_interval,
            poll_interval,
            subscribers: subscribers_limit,
            subscribers_per_tenant: subscribers_limit_per_tenant,
            alert_streams: followers,
            alert_streams_per_tenant: followers_per_tenant,
            notify,
        }
    }
}

impl LiveConfig {
    /// For the hub.
    pub fn settings(&self) -> HubSettings {
        HubSettings {
            refresh_interval: self.refresh_interval,
            poll_interval: self.poll_interval,
            subscribers_limit: self.subscribers,
            subscribers_limit_per_tenant: self.subscribers_per_tenant,
            notify: self.notify,
            ..HubSettings::default()
        }
    }

    /// For those who follow alerts.
    pub fn alert_streams(&self) -> FeedSettings {
        FeedSettings { followers: self.alert_streams, followers_per_tenant: self.alert_streams_per_tenant }
    }
}

/// What calls cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PricesConfig {
    /// A price catalog instead of the built-in one; it may be replaced while the server runs.
    pub catalog_file: Option<PathBuf>,
    /// How often the file is looked at.
    #[serde(with = "humantime_serde")]
    pub catalog_interval: Duration,
    /// Providers whose models cost nothing unless a price says otherwise: a list, or names joined by commas; empty = none.
    #[serde(deserialize_with = "names")]
    pub free_providers: Vec<String>,
    /// A reported cost gets a notice where it differs from ours by more than this share of the greater figure, from 0 to 1 …
    pub reported_cost_fraction: Decimal,
    /// … and by more than this many US dollars.
    pub reported_cost_usd: Usd,
}

impl Default for PricesConfig {
    fn default() -> Self {
        let ReportedCostTolerance { fraction, usd } = ReportedCostTolerance::default();
        Self {
            reported_cost_fraction: fraction,
            reported_cost_usd: usd,
            catalog_file: None,
            catalog_interval: Duration::from_secs(30),
            free_providers: FreeProviders::default().names().map(str::to_owned).collect(),
        }
    }
}

impl PricesConfig {
    /// For the ledger.
    pub fn reported_cost(&self) -> ReportedCostTolerance {
        ReportedCostTolerance { fraction: self.reported_cost_fraction, usd: self.reported_cost_usd }
    }

    /// For the price books.
    pub fn free(&self) -> FreeProviders {
        FreeProviders::new(&self.free_providers)
    }
}

/// Names joined by commas, without what is empty.
pub fn comma_separated(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A list, or names joined by commas, as an environment variable has them.
fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        Listed(Vec<String>),
        Joined(String),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::Listed(names) => names,
        Names::Joined(text) => comma_separated(&text),
    })
}

/// How alerts are passed on. Whoever calls AlertService has them in any case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// Where each alert is posted; absent = nowhere. It may carry a credential, and is kept like one.
    #[serde(serialize_with = "hidden")]
    pub webhook_url: Option<SecretString>,
    /// What posts are signed with, by Standard Webhooks: `whsec_` and 24 to 64 bytes in base64. A list, or joined by commas; with
    /// several, each post carries a signature by each, so that one can be replaced by another.
    #[serde(serialize_with = "hidden_list", deserialize_with = "secrets")]
    pub webhook_secrets: Vec<SecretString>,
    /// Whether the receiver may lie at an address that is not public, such as loopback or a private network, and be plain http.
    pub allow_private_addresses: bool,
    /// Whether each alert is a line of the log, a warning.
    pub log: bool,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self { webhook_url: None, webhook_secrets: Vec::new(), allow_private_addresses: false, log: true }
    }
}

impl AlertsConfig {
    /// The receiver; `None` = there is none.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn webhook(&self) -> Result<Option<Webhook>, ConfigError> {
        let invalid = |key, rule: String| ConfigError::Invalid { key, rule };
        let mut secrets = Vec::with_capacity(self.webhook_secrets.len());
        for secret in &self.webhook_secrets {
            let parsed = Secret::parse(secret.expose_secret());
            secrets.push(parsed.map_err(|error| invalid("alerts.webhook_secrets", error.to_string()))?);
        }
        let Some(url) = &self.webhook_url else { return Ok(None) };
        if secrets.is_empty() {
            let rule = "must be set with alerts.webhook_url: what is not signed could come from anybody";
            return Err(invalid("alerts.webhook_secrets", rule.to_owned()));
        }
        let target = Target::parse(url.expose_secret(), self.allow_private_addresses)
            .map_err(|error| invalid("alerts.webhook_url", error.to_string()))?;
        Ok(Some(Webhook::new(target, secrets, self.allow_private_addresses)))
    }
}

fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SecretString>, D::Error> {
    Ok(names(deserializer)?.into_iter().map(SecretString::from).collect())
}

/// Shows how many secrets are set.
fn hidden_list<S: Serializer>(secrets: &[SecretString], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(secrets.iter().map(|_| "(hidden)"))
}

/// The audit in the background and on request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Time between two audits in the background; 0 = none.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Most events that one slice of them reads.
    pub slice_events: u32,
    /// Longest time of one of their statements.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// Most events of an audit on request.
    pub request_events: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        let AuditSettings { interval, slice_events, statement_timeout, request_events } = AuditSettings::default();
        Self { interval, slice_events, statement_timeout, request_events }
    }
}

impl AuditConfig {
    /// For the audits.
    pub fn settings(&self) -> AuditSettings {
        let Self { interval, slice_events, statement_timeout, request_events } = *self;
        AuditSettings { interval, slice_events, statement_timeout, request_events }
    }
}

/// Metrics, for Prometheus.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Address of `GET /metrics`, for example `127.0.0.1:9474`; absent = not served. It tells counts of the whole service
    /// and nothing about tenants, and asks nobody for a credential.
    pub listen: Option<SocketAddr>,
}

/// Logs, to standard error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: LogFormat,
    /// Which, in the syntax of `RUST_LOG`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Traces, to a collector of OpenTelemetry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Where spans are sent by OTLP over gRPC, such as `http://127.0.0.1:4317`; absent = nowhere, and none are made.
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT` stand for it.
    pub otlp_endpoint: Option<String>,
    /// Which share of the calls is traced whose callers do not say, from 0 to 1. Callers that send a `traceparent` decide for
    /// theirs.
    pub sample_ratio: f64,
    /// The service's name on its spans; `OTEL_SERVICE_NAME` stands for it.
    pub service_name: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample_ratio: 0.01, service_name: "tollgate".to_owned() }
    }
}

/// The variables of OpenTelemetry that are heeded, with what they stand for; later ones win. Empty ones count as absent, as its
/// specification demands.
const OTEL_VARIABLES: [(&str, &str); 3] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "telemetry.otlp_endpoint"),
    ("OTEL_SERVICE_NAME", "telemetry.service_name"),
];

/// Why the configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file or variable cannot be read.
    #[error("the configuration cannot be read: {0}")]
    Unreadable(#[from] Box<figment::Error>),
    /// A value makes no sense.
    #[error("configuration key {key}: {rule}")]
    Invalid {
        /// Which key.
        key: &'static str,
        /// What it must be.
        rule: String,
    },
}

/// Shows that a secret is set, never what it is.
fn hidden<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_some("(hidden)"),
        None => serializer.serialize_none(),
    }
}

impl Config {
    /// Reads `file` (where it is given, it must be there) and the environment over the defaults, and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`] that names the key.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            figment = figment.merge(Toml::file_exact(file));
        }
        for (variable, key) in OTEL_VARIABLES {
            if let Some(value) = std::env::var(variable).ok().filter(|value| !value.is_empty()) {
                figment = figment.merge(Serialized::default(key, value));
            }
        }
        let environment = Env::prefixed("TOLLGATE_").split("__").ignore(&[
            "config",
            "url",
            "api_key",
            "ca",
            "client_certificate",
            "client_key",
            "test",
        ]);
        let database = Env::raw().only(&["DATABASE_URL"]).map(|_| "database.url".into());
        let config: Self = figment.merge(environment).merge(database).extract().map_err(Box::new)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key, rule: &str| Err(ConfigError::Invalid { key, rule: rule.to_owned() });
        if let Err(rule) = self.exposure().check() {
            return invalid("server.listen", rule);
        }
        if !(0.0..=1.0).contains(&self.telemetry.sample_ratio) {
            return invalid("telemetry.sample_ratio", "must be between 0 and 1");
        }
        self.server.tls.check()?;
        self.server.connections.check(self.server.message_bytes)?;
        self.server.calls.check()?;
        if self.server.streams_per_connection == 0 || self.server.streams_per_connection > MOST_STREAMS {
            return invalid("server.streams_per_connection", "must be between 1 and 10000");
        }
        if self.ledger.queue_items == 0 || self.ledger.batch_items == 0 || self.ledger.writers == 0 {
            return invalid("ledger", "queue_items, batch_items and writers must be above 0");
        }
        if self.ledger.batch_items > 5_000 || self.ledger.writers > 64 {
            return invalid("ledger", "batch_items must be at most 5000, writers at most 64");
        }
        if self.ledger.queue_bytes < 1 << 20 || u32::try_from(self.ledger.queue_bytes).is_err() {
            return invalid("ledger.queue_bytes", "must be between 1 MiB and 4 GiB");
        }
        if self.ledger.retention < SHORTEST_RETENTION {
            return invalid("ledger.retention", "must be at least 35 days: what is older is deleted for good");
        }
        if self.ledger.degraded_after < Duration::from_millis(100) || self.ledger.degraded_after > self.ledger.retry_for
        {
            return invalid("ledger.degraded_after", "must be at least 100 ms and at most ledger.retry_for");
        }
        if self.database.connections == 0 {
            return invalid("database.connections", "must be above 0");
        }
        if self.prices.reported_cost_fraction.is_sign_negative() || self.prices.reported_cost_fraction > Decimal::ONE {
            return invalid("prices.reported_cost_fraction", "must be between 0 and 1, for example \"0.05\"");
        }
        if self.prices.reported_cost_usd.is_negative() {
            return invalid("prices.reported_cost_usd", "must not be negative");
        }
        if self.prices.catalog_interval.is_zero() {
            return invalid("prices.catalog_interval", "must be above 0");
        }
        self.alerts.webhook()?;
        if self.audit.slice_events < 500 || self.audit.request_events == 0 {
            return invalid("audit", "slice_events must be at least 500, request_events above 0");
        }
        let LimitsConfig { values_per_dimension, shapes_per_tenant, price_sheets_per_tenant, .. } = self.limits;
        if values_per_dimension == 0 || shapes_per_tenant == 0 || price_sheets_per_tenant == 0 {
            return invalid("limits", "every limit of values, shapes and price sheets must be above 0");
        }
        if self.audit.statement_timeout.is_zero() {
            return invalid("audit.statement_timeout", "must be above 0");
        }
        if self.server.message_bytes < 64 << 10 {
            return invalid("server.message_bytes", "must be at least 64 KiB");
        }
        for (key, url) in [("database.url", &self.database.url), ("database.direct_url", &self.database.direct_url)] {
            let usable = |url: &str| {
                let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
                postgres && url.parse::<sqlx::postgres::PgConnectOptions>().is_ok()
            };
            if let Some(url) = url
                && !usable(url.expose_secret())
            {
                return invalid(key, "must be a URL such as postgres://user:password@host:5432/tollgate");
            }
        }
        Ok(())
    }

    /// Who reaches the server, and how.
    fn exposure(&self) -> Exposure {
        Exposure {
            loopback: self.server.listen.ip().is_loopback(),
            credentials: self.auth.required || self.server.tls.demands_certificates(),
            encrypted: self.server.tls.is_on(),
            allow_unauthenticated: self.server.allow_unauthenticated,
            allow_plaintext: self.server.allow_plaintext,
        }
    }

    /// As TOML, secrets hidden.
    pub fn printable(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_hides_secrets() {
        let mut config = Config::default();
        config.database.url = Some("postgres://u:canary@h/d".to_owned().into());
        let printed = config.printable();
        assert!(printed.contains("(hidden)") && !printed.contains("canary"), "{printed}");
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn a_webhook_needs_encryption_and_signatures_and_hides_both() {
        const SECRET: &str = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5";
        let mut config = Config::default();
        config.alerts.webhook_url = Some("https://example.com/canary".to_owned().into());
        assert!(matches!(config.check(), Err(ConfigError::Invalid { key: "alerts.webhook_secrets", .. })));
        config.alerts.webhook_secrets = vec![SECRET.to_owned().into()];
        assert!(config.check().is_ok());
        let printed = config.printable();
        assert!(!printed.contains("canary") && !printed.contains(SECRET), "{printed}");
        config.alerts.webhook_url = Some("http://example.com".to_owned().into());
        assert!(matches!(config.check(), Err(ConfigError::Invalid { key: "alerts.webhook_url", .. })));
        config.alerts.allow_private_addresses = true;
        assert!(config.check().is_ok());
    }

    #[test]
    fn a_public_address_without_credentials_is_refused() {
        let mut config = Config::default();
        config.server.listen = SocketAddr::from(([0, 0, 0, 0], 4747));
        assert!(matches!(config.check(), Err(ConfigError::Invalid { key: "server.listen", .. })));
        config.server.allow_unauthenticated = true;
        assert!(config.check().is_ok());
        config.auth.required = true;
        assert!(config.check().is_err(), "keys in the clear");
        config.server.allow_plaintext = true;
        assert!(config.check().is_ok());
    }

    #[test]
    fn free_providers_are_a_list_or_joined_by_commas() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tollgate.toml");
        assert!(Config::default().prices.free_providers.contains(&"ollama".to_owned()));
        for (text, expected) in [
            ("free_providers = []", vec![]),
            ("free_providers = \"\"", vec![]),
            ("free_providers = \"ollama, own\"", vec!["ollama", "own"]),
            ("free_providers = [\"own\"]", vec!["own"]),
        ] {
            std::fs::write(&file, format!("[prices]\n{text}\n")).unwrap();
            assert_eq!(Config::load(Some(&file)).unwrap().prices.free_providers, expected, "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tollgate.toml");
        std::fs::write(&file, "[server]\nlisten_on = \"127.0.0.1:1\"\n").unwrap();
        assert!(matches!(Config::load(Some(&file)), Err(ConfigError::Unreadable(_))));
        std::fs::write(&file, "[server]\nlisten = \"127.0.0.1:1\"\ndrain_timeout = \"3s\"\n").unwrap();
        assert_eq!(Config::load(Some(&file)).unwrap().server.drain_timeout, Duration::from_secs(3));
    }
}
