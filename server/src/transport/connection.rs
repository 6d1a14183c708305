//! The life of one connection: handshake, calls, and a farewell that loses none.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rand::Rng as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::calls::Calls;
use super::handshake::{self, Opened};
use super::peer::Peer;
use super::preface::Prefaced;
use super::tls::Tls;
use crate::config::{ConnectionsConfig, ServerConfig};
use crate::metrics::{HandshakeFailure, TransportMetrics};

/// How long a client that was told to go, and has nothing under way, may take to answer that it heard.
const FAREWELL: Duration = Duration::from_secs(3);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) http2: http2::Builder<TokioExecutor>,
    pub(super) calls: Calls,
    pub(super) bounds: ConnectionsConfig,
    pub(super) tls: Option<Tls>,
    pub(super) metrics: TransportMetrics,
    /// Nothing new is taken: every connection is told to go.
    pub(super) drain: CancellationToken,
    /// What is left ends at once.
    pub(super) end: CancellationToken,
}

/// HTTP/2 with its bounds. Windows are hyper's own: 1 MiB for a connection and a stream.
pub(super) fn http2(config: &ServerConfig) -> http2::Builder<TokioExecutor> {
    let bounds = &config.connections;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.streams_per_connection)
        .max_header_list_size(bounds.header_bytes)
        .max_pending_accept_reset_streams(bounds.pending_resets)
        .max_local_error_reset_streams(bounds.local_resets)
        .keep_alive_interval(bounds.ping_interval)
        .keep_alive_timeout(bounds.ping_timeout);
    builder
}

/// Runs a connection to its end.
pub(super) async fn run(stream: TcpStream, mut peer: Peer, shared: Arc<Shared>) {
    // On the heap while it lasts: ten thousand connections would carry its room with them for ever.
    let opening = Box::pin(handshake::open(stream, shared.tls.as_ref()));
    let opening = tokio::time::timeout(shared.bounds.handshake_timeout, opening);
    let opened = tokio::select! {
        opened = opening => opened,
        // Whoever has not begun to speak has nothing under way.
        () = shared.drain.cancelled() => return,
    };
    match opened {
        Ok(Ok(Opened::Plain(io))) => Box::pin(serve(io, peer, shared)).await,
        Ok(Ok(Opened::Encrypted(io, certificate))) => {
            peer.certificate = certificate;
            Box::pin(serve(*io, peer, shared)).await;
        }
        Ok(Err(error)) => {
            shared.metrics.handshake_failed(error.kind());
            tracing::debug!(error = &error as &dyn std::error::Error, remote = %peer.remote, "no connection");
        }
        Err(_) => {
            shared.metrics.handshake_failed(HandshakeFailure::TimedOut);
            tracing::debug!(remote = %peer.remote, "the handshake took too long");
        }
    }
}

/// Answers calls until the client goes, or is told to.
async fn serve<IO>(io: Prefaced<IO>, peer: Peer, shared: Arc<Shared>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let open_headers = io.open_headers();
    let context = Arc::new((shared.clone(), peer, activity.clone(), io.pace()));
    let service = service_fn(move |request: http::Request<Incoming>| {
        let context = context.clone();
        async move {
            let (shared, peer, activity, pace) = &*context;
            shared.calls.answer(request, peer, activity, pace).await
        }
    });
    let mut connection = std::pin::pin!(shared.http2.serve_connection(TokioIo::new(io), service));
    let bounds = &shared.bounds;
    let grace = tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
            return;
        }
        () = shared.end.cancelled() => return,
        // The drain has a limit of its own: the token `end`.
        () = shared.drain.cancelled() => None,
        () = elapsed(jittered(bounds.age)) => Some(bounds.age_grace),
        () = idle(&activity, bounds.idle_timeout) => Some(bounds.age_grace),
        () = open_headers.last(bounds.handshake_timeout) => {
            tracing::debug!("the headers of a request took too long");
            Some(bounds.age_grace)
        }
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection.as_mut() => {}
        () = shared.end.cancelled() => {}
        () = activity.quiet_for(FAREWELL) => {}
        () = elapsed(grace) => tracing::debug!("calls of a connection outlived its age"),
    }
}

async fn elapsed(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

async fn idle(activity: &Activity, timeout: Duration) {
    if timeout.is_zero() {
        return std::future::pending().await;
    }
    activity.quiet_for(timeout).await;
}

/// Up to a tenth more or less: connections that were opened together do not all come back together. `None` = no age is too high.
fn jittered(age: Duration) -> Option<Duration> {
    let tenth = age / 10;
    (!age.is_zero()).then(|| age - tenth + rand::rng().random_range(Duration::ZERO..=2 * tenth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_lie_within_a_tenth_and_differ() {
        let age = Duration::from_secs(1_000);
        let ages: Vec<Duration> = (0..100).filter_map(|_| jittered(age)).collect();
        assert!(
            ages.iter().all(|one| (Duration::from_secs(900)..=Duration::from_secs(1_100)).contains(one)),
            "{ages:?}"
        );
        assert!(ages.iter().any(|one| Some(one) != ages.first()), "{ages:?}");
        assert_eq!(jittered(Duration::ZERO), None);
    }
}
