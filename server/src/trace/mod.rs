//! Spans of calls that are traced: the call, its wait, the batch that carries it, the statements of that batch.
//!
//! A span is made only for a call that is sampled, and only where an exporter runs: without one, each of these functions reads
//! one flag. No span carries a value that a caller chose.

mod batch;
mod call;
mod rpc;
mod statement;

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};

pub use batch::batch;
pub use call::CallTrace;
pub use rpc::RpcSpan;
pub use statement::statement;

/// What spans are made under: the exporter takes these alone, and the log none of them.
pub const TARGET: &str = "tollgate::trace";

/// Whether an exporter runs. The subscriber belongs to the process, and so does this.
static EXPORTED: AtomicBool = AtomicBool::new(false);

/// Spans are made from here on.
pub(crate) fn switch_on() {
    EXPORTED.store(true, Ordering::Relaxed);
}

fn is_on() -> bool {
    EXPORTED.load(Ordering::Relaxed)
}

/// Whether what runs here belongs to a call that is sampled.
fn is_sampled() -> bool {
    is_on() && Context::map_current(|context| context.span().span_context().is_sampled())
}

/// The trace and span in which this runs, where they are sampled.
pub fn current() -> Option<SpanContext> {
    is_on()
        .then(|| Context::map_current(|context| context.span().span_context().clone()))
        .filter(SpanContext::is_sampled)
}
