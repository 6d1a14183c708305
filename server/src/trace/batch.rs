//! The span of a batch, linked to the calls that it carries.

use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{CallTrace, TARGET, is_on};

/// Most calls that are linked with their batch.
const LINKS_LIMIT: usize = 64;

/// One span for one batch of `commands` commands; none where no call of it is sampled. The first sampled call is its parent, so that
/// one trace leads from the client to the statements; it and all others are linked with it, in both directions.
pub fn batch<'a>(commands: usize, calls: impl Iterator<Item = &'a CallTrace>) -> Span {
    if !is_on() {
        return Span::none();
    }
    let linked: Vec<&Span> = calls.filter_map(CallTrace::span).take(LINKS_LIMIT).collect();
    let Some(first) = linked.first() else { return Span::none() };
    let batch = info_span!(
        target: TARGET,
        parent: *first,
        "ledger.batch",
        tollgate.batch.commands = commands,
        tollgate.batch.linked_calls = linked.len(),
    );
    for call in &linked {
        batch.add_link(context_of(call));
    }
    let own = context_of(&batch);
    for call in linked {
        call.add_link(own.clone());
    }
    batch
}

fn context_of(span: &Span) -> SpanContext {
    span.context().span().span_context().clone()
}
