//! What is counted of calls, by method and outcome.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use tonic::Code;

/// From a commit on a good disk to the longest deadline that makes sense, in seconds.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The metrics of calls.
#[derive(Debug, Clone)]
pub struct RpcMetrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGaugeVec,
}

/// What became of a call, as far as its latency is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    /// By the caller's doing.
    Refused,
    /// By the server's.
    Failed,
}

impl Outcome {
    const fn of(code: Code) -> Self {
        match code {
            Code::Ok => Self::Ok,
            Code::Unknown | Code::DeadlineExceeded | Code::Internal | Code::Unavailable | Code::DataLoss => {
                Self::Failed
            }
            _ => Self::Refused,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl RpcMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let calls = IntCounterVec::new(
            Opts::new(
                "rpc_total",
                "Calls that ended, by method and gRPC status code; those that the caller broke off are CANCELLED.",
            ),
            &["method", "code"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "rpc_duration_seconds",
                "Time from a call's first byte to its answer's last, by method and outcome: ok, refused (the caller's doing) \
                 or failed (the server's). Streams, which last as long as their callers like, are left out.",
            )
            .buckets(SECONDS.to_vec()),
            &["method", "outcome"],
        )?;
        let in_flight =
            IntGaugeVec::new(Opts::new("rpc_in_flight", "Calls and streams under way, by method."), &["method"])?;
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self { calls, seconds, in_flight })
    }

    /// Shows a method of the contract from the start: a rate needs a zero before the first call.
    pub fn show(&self, method: &str, is_stream: bool) {
        self.calls.with_label_values(&[method, code_name(Code::Ok)]).inc_by(0);
        self.in_flight.with_label_values(&[method]).set(0);
        if !is_stream {
            let _shown = self.seconds.with_label_values(&[method, Outcome::Ok.label()]);
        }
    }

    /// A call begins.
    pub fn began(&self, method: &str) {
        self.in_flight.with_label_values(&[method]).inc();
    }

    /// A call ended; `took` is absent for streams.
    pub fn ended(&self, method: &str, code: Code, took: Option<Duration>) {
        self.in_flight.with_label_values(&[method]).dec();
        self.calls.with_label_values(&[method, code_name(code)]).inc();
        if let Some(took) = took {
            self.seconds.with_label_values(&[method, Outcome::of(code).label()]).observe(took.as_secs_f64());
        }
    }
}

/// The name of a code, as gRPC spells it.
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
