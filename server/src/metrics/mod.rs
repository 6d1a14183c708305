//! What is counted for whoever watches the service, and where it is read.
//!
//! No label has a value that a caller chooses: neither tenants nor sessions nor models, so that the number of series is
//! bounded.

mod endpoint;

use prometheus::{IntCounterVec, Opts, Registry, TextEncoder};
use tollgate_domain::price::PriceState;

pub use endpoint::serve;

/// The metrics of one server.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    events: IntCounterVec,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// Where two of them have the same name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("tollgate".to_owned()), None)?;
        let events = IntCounterVec::new(
            Opts::new("recorded_events_total", "Events recorded, without repeats, by how far they could be priced."),
            &["price_state"],
        )?;
        registry.register(Box::new(events.clone()))?;
        let metrics = Self { registry, events };
        for state in [PriceState::Priced, PriceState::Free, PriceState::Partial, PriceState::Unpriced] {
            // Shown from the start: an alert on unpriced calls must not wait for the first one.
            metrics.events.with_label_values(&[label(state)]).inc_by(0);
        }
        Ok(metrics)
    }

    /// Counts an event that was committed.
    pub fn recorded(&self, state: PriceState) {
        self.events.with_label_values(&[label(state)]).inc();
    }

    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// Where a metric cannot be written down.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn label(state: PriceState) -> &'static str {
    match state {
        PriceState::Priced => "priced",
        PriceState::Free => "free",
        PriceState::Partial => "partial",
        PriceState::Unpriced => "unpriced",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_7_every_price_state_is_counted_apart() {
        let metrics = Metrics::new().unwrap();
        metrics.recorded(PriceState::Unpriced);
        metrics.recorded(PriceState::Unpriced);
        metrics.recorded(PriceState::Free);
        let text = metrics.text().unwrap();
        for (state, count) in [("priced", 0), ("free", 1), ("partial", 0), ("unpriced", 2)] {
            let line = format!("tollgate_recorded_events_total{{price_state=\"{state}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
