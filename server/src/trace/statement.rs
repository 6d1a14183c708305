//! The span of a statement.

use tracing::{Span, info_span};

use super::{TARGET, is_sampled};

/// To run a statement in that is a part of a sampled call: named by its file under `sql/`, or by what it says where it has none.
/// `operation` is its verb. What it is run with is never told.
pub fn statement(name: &'static str, operation: &'static str) -> Span {
    if !is_sampled() {
        return Span::none();
    }
    info_span!(
        target: TARGET,
        "sql",
        otel.name = name,
        otel.kind = "client",
        db.system.name = "postgresql",
        db.operation.name = operation,
        db.query.summary = name,
    )
}
