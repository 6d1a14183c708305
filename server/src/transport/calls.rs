//! One request, from its headers to its answer: what the handlers are told of the connection, and the bounds of a call.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tower::Service as _;

use super::activity::{Activity, Answer};
use super::deadline;
use super::peer::Peer;
use super::received::ReceivedBytes;
use super::room::Sender;
use super::turn::Pace;
use crate::config::{CallsConfig, ServerConfig};
use crate::grpc::status::deadline_exceeded;
use crate::ledger::deadline::within;
use crate::metrics::TransportMetrics;

/// What every type of content of gRPC begins with.
const GRPC: &[u8] = b"application/grpc";
/// Streams that last as long as their callers like: a connection is not kept for them alone, and a drain does not wait for them.
const OPEN_ENDED: [&str; 3] = [
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Answers the requests of all connections.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    routes: Routes,
    bounds: CallsConfig,
    received: ReceivedBytes,
    metrics: TransportMetrics,
}

impl Calls {
    pub(super) fn new(routes: Routes, config: &ServerConfig, metrics: TransportMetrics) -> Self {
        Self {
            routes: routes.prepare(),
            bounds: config.calls.clone(),
            received: ReceivedBytes::new(config.message_bytes, config.connections.received_bytes),
            metrics,
        }
    }

    /// Answers a request of this connection.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        activity: &Arc<Activity>,
        pace: &Arc<Pace>,
    ) -> Result<Response<Answer>, Infallible> {
        let under_way = (!OPEN_ENDED.contains(&request.uri().path())).then(|| activity.begin());
        let response = match refusal(&request) {
            Some(code) => empty(code),
            None => self.call(request, peer, pace).await,
        };
        Ok(response.map(|body| Answer::new(body, under_way)))
    }

    async fn call(&self, request: Request<Incoming>, peer: &Peer, pace: &Arc<Pace>) -> Response<Body> {
        let limit = deadline::of_call(request.uri().path(), request.headers(), &self.bounds);
        let sender = Sender::default();
        let body = |body| Body::new(self.received.counted(body, sender.clone(), pace.clone()));
        let mut request = request.map(body);
        let extensions = request.extensions_mut();
        extensions.insert(sender);
        extensions.insert(TcpConnectInfo { local_addr: peer.local, remote_addr: Some(peer.remote) });
        if let Some(certificate) = &peer.certificate {
            extensions.insert(certificate.clone());
        }
        // What works for the call knows until when anybody waits for it.
        let mut routes = self.routes.clone();
        let call = within(Instant::now().checked_add(limit), async move { routes.call(request).await });
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                self.metrics.call_expired();
                deadline_exceeded(limit).into_http()
            }
        }
    }
}

/// What is no call of gRPC has no status of gRPC.
fn refusal<B>(request: &Request<B>) -> Option<StatusCode> {
    if request.method() != Method::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let content = request.headers().get(header::CONTENT_TYPE);
    let is_grpc = content.is_some_and(|content| content.as_bytes().starts_with(GRPC));
    (!is_grpc).then_some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

fn empty(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}
