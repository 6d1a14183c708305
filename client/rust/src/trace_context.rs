//! Sends the trace of the calling program along, by W3C Trace Context, so that Tollgate's spans become part of it.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

/// Longest `tracestate` that is passed on; its specification asks for at least 512 characters.
const STATE_LIMIT: usize = 512;

/// Adds the span in which the call is made, where there is one.
pub(crate) fn send(metadata: &mut MetadataMap) {
    Context::map_current(|context| add(metadata, context.span().span_context()));
}

fn add(metadata: &mut MetadataMap, span: &SpanContext) {
    if !span.is_valid() {
        return;
    }
    let parent = format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8());
    insert(metadata, "traceparent", &parent);
    let state = span.trace_state().header();
    if !state.is_empty() && state.len() <= STATE_LIMIT {
        insert(metadata, "tracestate", &state);
    }
}

/// What no header can carry is left out: a call never fails for its trace.
fn insert(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    if let Ok(value) = MetadataValue::<Ascii>::try_from(value) {
        metadata.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

    use super::*;

    #[test]
    fn the_span_is_sent_as_the_specification_spells_it() {
        let mut metadata = MetadataMap::new();
        add(&mut metadata, &SpanContext::NONE);
        assert!(metadata.is_empty());
        let trace = TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        let span = SpanId::from_hex("00f067aa0ba902b7").unwrap();
        let state = TraceState::from_key_value([("vendor", "value")]).unwrap();
        add(&mut metadata, &SpanContext::new(trace, span, TraceFlags::SAMPLED, true, state));
        let sent = |name: &str| metadata.get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(sent("traceparent"), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(sent("tracestate"), "vendor=value");
    }
}
