//! What the process tells of itself: logs, one line an event, to standard error; and traces, to a collector, where one is named.

mod exporter;
mod json_line;

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, fmt};

use self::json_line::JsonLine;
use crate::config::{LogConfig, LogFormat, TelemetryConfig};
use crate::trace;

/// Why the process cannot tell of itself.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// Logging was started before.
    #[error("logging runs already")]
    Started(#[from] TryInitError),
    /// The collector's address cannot be used.
    #[error("telemetry.otlp_endpoint cannot be used")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// What has to be told before the process ends.
#[derive(Debug)]
#[must_use = "spans that wait are lost unless they are flushed"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

/// Starts logging, and tracing where a collector is named. `RUST_LOG` wins over the configuration. Runs inside of a runtime.
///
/// # Errors
/// [`TelemetryError`].
pub fn start(log: &LogConfig, telemetry: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let traces = exporter::provider(telemetry)?;
    let mut layers = vec![log_layer(log)];
    if let Some(provider) = &traces {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("tollgate"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_error_events_to_status(false)
            .with_error_events_to_exceptions(false)
            .with_error_fields_to_exceptions(false)
            .with_error_records_to_exceptions(false);
        let ours = Targets::new().with_target(trace::TARGET, LevelFilter::INFO);
        layers.push(spans.with_filter(ours).boxed());
    }
    tracing_subscriber::registry().with(layers).try_init()?;
    if traces.is_some() {
        trace::switch_on();
    }
    Ok(Telemetry { traces })
}

/// Lines of the log. Spans of traces are none of them.
fn log_layer(config: &LogConfig) -> Box<dyn Layer<Registry> + Send + Sync> {
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&config.filter));
    if let Ok(no_spans) = format!("{}=off", trace::TARGET).parse() {
        filter = filter.add_directive(no_spans);
    }
    let lines = fmt::layer().with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.event_format(JsonLine).with_filter(filter).boxed(),
    }
}

impl Telemetry {
    /// Sends the spans that wait, for at most `limit`: a collector that is away holds up nothing.
    pub async fn flush(self, limit: Duration) {
        let Some(provider) = self.traces else { return };
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit));
        match tokio::time::timeout(limit, flushed).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "some spans were not exported"),
            Ok(Err(_)) | Err(_) => tracing::warn!("some spans were not exported in time"),
        }
    }
}
