//! What is seen of every call: its span, its metrics, and a line of the log where it was not answered well.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use tonic::Code;
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::methods::{Method, Methods};
use crate::ledger::deadline;
use crate::metrics::{RpcMetrics, code_name};
use crate::trace::RpcSpan;

const GRPC_STATUS: &str = "grpc-status";

/// Watches every call that passes.
#[derive(Debug, Clone)]
pub struct Observe {
    methods: Methods,
    metrics: RpcMetrics,
}

impl Observe {
    /// Counts in `metrics`, where every method stands from the start.
    pub fn new(methods: Methods, metrics: RpcMetrics) -> Self {
        for method in methods.all() {
            metrics.show(&method.name, method.is_stream);
        }
        Self { methods, metrics }
    }
}

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { observe: self.clone(), inner }
    }
}

/// A service whose calls are watched.
#[derive(Debug, Clone)]
pub struct Observed<S> {
    observe: Observe,
    inner: S,
}

impl<S, Q, A> Service<Request<Q>> for Observed<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
    S::Error: Send,
    A: Send,
{
    type Response = Response<ObservedBody<A>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let method = self.observe.methods.at(request.uri().path());
        let mut seen = Seen::begin(method, self.observe.metrics.clone(), request.headers());
        let span = seen.span.span();
        let answering = {
            let _entered = span.enter();
            self.inner.call(request)
        };
        let answered = async move {
            let response = answering.await?;
            seen.until = None;
            // An error without a message stands in the headers; else the status follows the messages.
            seen.note(response.headers());
            Ok(response.map(|body| ObservedBody { body, seen }))
        };
        Box::pin(answered.instrument(span))
    }
}

/// A call under way. Where it is dropped without a status, its caller broke it off, or its deadline did.
#[derive(Debug)]
struct Seen {
    method: Arc<Method>,
    metrics: RpcMetrics,
    span: RpcSpan,
    since: Instant,
    /// Its deadline, until its answer begins: then it has none any more.
    until: Option<tokio::time::Instant>,
    code: Option<Code>,
}

impl Seen {
    fn begin(method: Arc<Method>, metrics: RpcMetrics, headers: &HeaderMap) -> Self {
        metrics.began(&method.name);
        let span = RpcSpan::begin(&method.name, headers);
        Self { method, metrics, span, since: Instant::now(), until: deadline::current(), code: None }
    }

    fn note(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(GRPC_STATUS) {
            self.code = Some(Code::from_bytes(status.as_bytes()));
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let is_late = self.until.is_some_and(|until| until <= tokio::time::Instant::now());
        let code = self.code.unwrap_or(if is_late { Code::DeadlineExceeded } else { Code::Cancelled });
        let took = self.since.elapsed();
        self.metrics.ended(&self.method.name, code, (!self.method.is_stream).then_some(took));
        self.span.ended(code, code_name(code));
        if code != Code::Ok {
            // Below what is usually kept: whoever calls can make as many as they like. Faults have lines of their own where they arise.
            let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.span.span().in_scope(|| {
                tracing::debug!(
                    method = %self.method.name,
                    code = code_name(code),
                    microseconds,
                    "a call was not answered well"
                );
            });
        }
    }
}

/// An answer whose end is watched.
#[derive(Debug)]
pub struct ObservedBody<B> {
    body: B,
    seen: Seen,
}

impl<B: Body<Data = Bytes> + Unpin> Body for ObservedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.seen.note(trailers);
                }
            }
            Poll::Ready(Some(Err(_))) => self.seen.code = Some(Code::Internal),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
