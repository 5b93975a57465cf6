//! Spans for an OpenTelemetry collector (OTLP over HTTP, protobuf), where one is configured.
//!
//! The SDK's batch processor queues ended spans and sends them every few seconds, on a separate thread. A function
//! flushes it before it returns its result, because it is frozen afterwards; a program before it exits. If the
//! collector is unavailable, spans are lost, but work continues.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{RetryPolicy, SpanExporter as OtlpExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter as SpanExporterTrait,
};
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::core::trace;

/// Maximum number of spans that wait to be sent; more are dropped.
const MAX_QUEUED_SPANS: usize = 4096;

/// Maximum number of spans in one request to the collector.
const MAX_BATCH_SPANS: usize = 512;

/// Interval at which queued spans are sent.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// Time limit of a request to the collector.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Time limit of a flush, because the caller of a function waits for it too. Longer than a request may take, so that a
/// collector that never responds is logged.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(2500);

/// Time for which spans are dropped after a failure: otherwise each invocation would wait for the collector.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// The exported spans: a request, and a work unit.
const SPANS: [&str; 2] = ["request", "unit"];

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// OTLP, created when the first batch is sent: it reads every root certificate of the system, and a blocking HTTP
/// client may be created only outside the runtime, such as on the processor's thread.
#[derive(Debug)]
struct LazyExporter {
    endpoint: String,
    resource: Resource,
    exporter: OnceLock<OtlpExporter>,
    failed_at: Mutex<Option<Instant>>,
}

impl LazyExporter {
    fn exporter(&self) -> Result<&OtlpExporter, OTelSdkError> {
        if let Some(exporter) = self.exporter.get() {
            return Ok(exporter);
        }
        // Fails if it is installed already, which has the same effect.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::blocking::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(EXPORT_TIMEOUT)
            .build()
            .expect("the settings of the HTTP client are constants");
        let exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(http)
            .with_retry_policy(RetryPolicy::disabled())
            .with_endpoint(&self.endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build();
        // The error contains the endpoint, which may include a password.
        let mut exporter = exporter.map_err(|_| {
            OTelSdkError::InternalFailure("OTEL_EXPORTER_OTLP_ENDPOINT or _HEADERS is not valid".to_owned())
        })?;
        exporter.set_resource(&self.resource);
        Ok(self.exporter.get_or_init(|| exporter))
    }

    fn failed_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanExporterTrait for LazyExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.failed_at().is_some_and(|at| at.elapsed() < RETRY_AFTER_FAILURE) {
            return Err(OTelSdkError::InternalFailure("the collector failed a moment ago".to_owned()));
        }
        let spans = batch.len();
        let sent = match self.exporter() {
            Ok(exporter) => exporter.export(batch).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &sent {
            *self.failed_at() = Some(Instant::now());
            tracing::warn!(spans, %error, "the collector did not accept the spans: none are sent for half a minute");
        }
        sent
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.clone();
    }
}

/// The processor of this process's spans; does not connect yet.
fn provider(service: &'static str, endpoint: &str) -> SdkTracerProvider {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder_empty().with_service_name(service).with_attribute(version).build();
    let exporter = LazyExporter {
        endpoint: format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        resource: resource.clone(),
        exporter: OnceLock::new(),
        failed_at: Mutex::new(None),
    };
    // All options are set: missing ones would be read from the environment.
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(MAX_QUEUED_SPANS)
        .with_max_export_batch_size(MAX_BATCH_SPANS)
        .with_scheduled_delay(FLUSH_INTERVAL)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build()
}

/// The layer that records spans for the collector at this URL.
pub(super) fn layer<S>(service: &'static str, endpoint: &str) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // Spans of libraries do not have our trace id.
    let is_ours = |metadata: &Metadata<'_>| metadata.is_span() && SPANS.contains(&metadata.name());
    let tracer = PROVIDER.get_or_init(|| provider(service, endpoint)).tracer("bio-mcp");
    OpenTelemetryLayer::new(tracer).with_threads(false).with_location(false).with_filter(filter_fn(is_ours))
}

/// Sends the ended spans, if a collector is configured: before a function returns its result, and before a program
/// exits. Waits for a limited time; spans that the collector does not accept are lost, which the exporter logs.
pub async fn flush_spans() {
    let Some(provider) = PROVIDER.get() else { return };
    // Flushing blocks its thread; the processor's thread does the work.
    let flushing = tokio::task::spawn_blocking(|| provider.force_flush());
    let _ = tokio::time::timeout(FLUSH_TIMEOUT, flushing).await;
}

/// Makes a span part of a trace.
pub fn continue_trace(span: &Span, trace_id: &str) {
    if PROVIDER.get().is_none() || !trace::is_trace(trace_id) {
        return;
    }
    let (Ok(trace), Ok(first)) = (TraceId::from_hex(trace_id), SpanId::from_hex(trace::first_span(trace_id))) else {
        return;
    };
    let parent = SpanContext::new(trace, first, TraceFlags::SAMPLED, true, TraceState::NONE);
    // Fails only for a span that is not recorded.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}
