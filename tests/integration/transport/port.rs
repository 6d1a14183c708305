//! The port alone, without a database behind it: what answers is the health service, and a call that never does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_server::config::{ConnectionsConfig, ServerConfig, TlsConfig};
use tollgate_server::metrics::Metrics;
use tollgate_server::transport::{ClientCertificate, Tls, Transport};
use tonic::service::Routes;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;

use super::certificates::{Authority, Identity};
use crate::harness::wait::until;

/// A call that is never answered.
pub(super) const NEVER: &str = "/tollgate.v1.UsageService/RecordUsage";

/// A port that is served as long as this lives.
pub(super) struct Port {
    pub(super) address: SocketAddr,
    pub(super) health: HealthReporter,
    pub(super) drain: CancellationToken,
    pub(super) end: CancellationToken,
    pub(super) serving: JoinHandle<()>,
    metrics: Metrics,
    seen: Arc<Mutex<Vec<Option<ClientCertificate>>>>,
    begun: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Port {
    /// With these bounds, not encrypted.
    pub(super) async fn bounded(connections: ConnectionsConfig) -> Self {
        Self::configured(ServerConfig { connections, ..ServerConfig::default() }).await
    }

    /// Encrypted.
    pub(super) async fn encrypted(tls: TlsConfig) -> Self {
        Self::configured(ServerConfig { tls, ..ServerConfig::default() }).await
    }

    pub(super) async fn configured(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::new().unwrap();
        let (health, service) = tonic_health::server::health_reporter();
        let seen: Arc<Mutex<Vec<Option<ClientCertificate>>>> = Arc::default();
        let noting = seen.clone();
        let service =
            tonic::service::interceptor::InterceptedService::new(service, move |request: tonic::Request<()>| {
                noting.lock().unwrap().push(request.extensions().get::<ClientCertificate>().cloned());
                assert!(request.remote_addr().is_some());
                Ok(request)
            });
        let begun: Arc<AtomicUsize> = Arc::default();
        let beginning = begun.clone();
        let never = move || {
            beginning.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>()
        };
        let never = axum::Router::new().route(NEVER, axum::routing::post(never));
        let reflection = tonic_reflection::server::Builder::configure().build_v1().unwrap();
        let routes = Routes::from(never).add_service(service).add_service(reflection);
        let stop = CancellationToken::new();
        let tls = Tls::load(&config.tls, metrics.transport.clone()).await.unwrap();
        if let Some(tls) = tls.clone() {
            tokio::spawn(tls.watch(stop.clone()));
        }
        let (drain, end) = (CancellationToken::new(), CancellationToken::new());
        let transport = Transport::new(&config, routes, tls, metrics.transport.clone(), drain.clone(), end.clone());
        let serving = tokio::spawn(transport.serve(listener));
        Self { address, health, drain, end, serving, metrics, seen, begun, stop }
    }

    /// A metric, by its line up to the value.
    pub(super) fn metric(&self, name: &str) -> i64 {
        let text = self.metrics.text().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until a metric is at least this.
    pub(super) async fn until_metric(&self, name: &str, least: i64) {
        until(name, || async { (self.metric(name) >= least).then_some(()) }).await;
    }

    /// The certificate that the latest call came with.
    pub(super) fn last_seen(&self) -> Option<ClientCertificate> {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    /// How many calls were answered by the health service.
    pub(super) fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// How many calls that are never answered have begun.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A channel that connects with its first call.
    pub(super) fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url()).unwrap().connect_lazy()
    }

    /// The same over TLS, for whoever trusts this authority.
    pub(super) fn encrypted_channel(&self, authority: &Authority, identity: Option<&Identity>) -> Channel {
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem));
        if let Some(Identity { certificate, key, .. }) = identity {
            config = config.identity(tonic::transport::Identity::from_pem(certificate, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(config).unwrap().connect_timeout(Duration::from_secs(10)).connect_lazy()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.stop.cancel();
        self.end.cancel();
        self.drain.cancel();
    }
}

/// Asks once.
pub(super) async fn ask(channel: Channel) -> Result<(), tonic::Status> {
    let request = HealthCheckRequest { service: String::new() };
    HealthClient::new(channel).check(request).await.map(drop)
}
