//! Sends spans to a collector over OTLP (gRPC).
//!
//! Spans wait in a bounded queue for a thread of their own, which sends them in batches. Of what the collector cannot take, spans are
//! dropped: no call ever waits for it.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};

use crate::config::TelemetryConfig;

/// Most spans that wait.
const QUEUE: usize = 4_096;
/// Most spans of one message.
const BATCH: usize = 512;
/// Longest wait for the collector's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Most attributes of one span: ours have fewer.
const ATTRIBUTES: u32 = 32;

/// What makes spans and sends them; `None` where no collector is named.
pub(super) fn provider(config: &TelemetryConfig) -> Result<Option<SdkTracerProvider>, ExporterBuildError> {
    let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(ANSWER_TIMEOUT).build()?;
    let queue = BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_max_export_batch_size(BATCH).build();
    let resource = Resource::builder()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(queue).build())
        // A caller that traces decides for its calls; of others, the share is ours.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio))))
        .with_max_attributes_per_span(ATTRIBUTES)
        .with_resource(resource)
        .build();
    Ok(Some(provider))
}
