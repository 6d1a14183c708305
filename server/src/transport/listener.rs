//! The loop that accepts connections.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use super::admission::Admission;
use super::calls::Calls;
use super::connection::{self, Shared};
use super::peer::Peer;
use super::tls::Tls;
use crate::config::ServerConfig;
use crate::metrics::TransportMetrics;

/// Pause where the system has no connection to give: what it lacks, such as files, comes back when connections end.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Least time between two lines of the log about that.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Serves calls over connections within their bounds.
#[derive(Debug)]
pub struct Transport {
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    metrics: TransportMetrics,
}

impl Transport {
    /// What answers `routes`. From `drain` on nothing new is taken and every connection is told to go; at `end` what is left is
    /// closed.
    pub fn new(
        config: &ServerConfig,
        routes: Routes,
        tls: Option<Tls>,
        metrics: TransportMetrics,
        drain: CancellationToken,
        end: CancellationToken,
    ) -> Self {
        let admission = Admission::new(&config.connections, metrics.clone());
        let shared = Shared {
            http2: connection::http2(config),
            calls: Calls::new(routes, config, metrics.clone()),
            bounds: config.connections.clone(),
            tls,
            metrics: metrics.clone(),
            drain,
            end,
        };
        Self { shared: Arc::new(shared), admission, metrics }
    }

    /// Accepts connections until the drain, and waits until the last one has ended.
    pub async fn serve(self, listener: TcpListener) {
        let connections = TaskTracker::new();
        let mut logged: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shared.drain.cancelled() => break,
            };
            match accepted {
                Ok((stream, remote)) => self.take(&connections, stream, remote),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    self.metrics.accept_failed();
                    if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                        logged = Some(Instant::now());
                        tracing::error!(%error, "no connection can be accepted: trying on");
                    }
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
        // Closed before the drain ends: whoever comes now is refused by the system and goes elsewhere.
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    fn take(&self, connections: &TaskTracker, stream: TcpStream, remote: std::net::SocketAddr) {
        let Ok(admitted) = self.admission.admit(remote.ip()) else { return };
        // An answer's last packet would otherwise wait for the caller's delayed acknowledgement, 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
        let peer = Peer { local: stream.local_addr().ok(), remote, certificate: None };
        let shared = self.shared.clone();
        connections.spawn(async move {
            connection::run(stream, peer, shared).await;
            drop(admitted);
        });
    }
}

/// Whether only the connection that was about to be accepted is lost.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
