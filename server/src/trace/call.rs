//! A call on its way through the ledger.

use tracing::{Span, info_span};

use super::{TARGET, is_sampled};

/// The spans of one command: how long it waited in the queue, then how long its batch took. Nothing where its call is not
/// sampled.
#[derive(Debug, Default)]
pub struct CallTrace(Option<Box<Stage>>);

#[derive(Debug)]
struct Stage {
    call: Span,
    current: Span,
}

impl CallTrace {
    /// It is put into the queue by the call in which this runs.
    pub fn enqueued() -> Self {
        if !is_sampled() {
            return Self::default();
        }
        let call = Span::current();
        let current = info_span!(target: TARGET, parent: &call, "ledger.queue");
        Self(Some(Box::new(Stage { call, current })))
    }

    /// A writer took it: it waits no more. The span that begins ends with the answer.
    pub fn taken(&mut self) {
        if let Some(stage) = &mut self.0 {
            stage.current = info_span!(target: TARGET, parent: &stage.call, "ledger.commit");
        }
    }

    /// The span of what happens to it now.
    pub(super) fn span(&self) -> Option<&Span> {
        self.0.as_ref().map(|stage| &stage.current)
    }
}
