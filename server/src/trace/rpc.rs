//! The span of a call as it arrives, named by OpenTelemetry's conventions for RPC.

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tracing::{Span, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{TARGET, is_on};

/// A call's span, until its last byte is sent.
#[derive(Debug)]
pub struct RpcSpan(Span);

impl RpcSpan {
    /// Begins it as a child of the span that the caller's `traceparent` names. `method` is one of the contract's names.
    pub fn begin(method: &str, headers: &HeaderMap) -> Self {
        if !is_on() {
            return Self(Span::none());
        }
        let span = info_span!(
            target: TARGET,
            "rpc",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = field::Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = field::Empty,
            error.type = field::Empty,
        );
        // Fails only for a span that nobody exports.
        let _not_exported = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
        Self(span)
    }

    /// To run the call in.
    pub fn span(&self) -> Span {
        self.0.clone()
    }

    /// Notes the outcome. By the conventions, what the caller did wrong is no error of the server.
    pub fn ended(&self, code: Code, name: &'static str) {
        self.0.record("rpc.response.status_code", name);
        if is_fault(code) {
            self.0.record("error.type", name);
            self.0.record("otel.status_code", "ERROR");
        }
    }
}

/// Whether the server is to blame for it.
fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
