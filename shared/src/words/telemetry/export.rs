//! Spans for an OpenTelemetry collector (OTLP over HTTP, protobuf), where one is configured.
//!
//! Spans that ended wait in memory until they are sent: by a function before it answers, because it is frozen
//! afterwards; by a program that stays every few seconds. A collector that is away costs spans, never work.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, RetryPolicy, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span as SdkSpan, SpanData, SpanExporter as _, SpanProcessor};
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::super::trace;

/// Spans that wait to be sent; more are dropped.
const MAX_WAITING: usize = 4096;

/// How long a collector may take: a function's caller waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// After a failure nothing is sent for this time: else every answer of a function would wait for a collector that is away.
const QUIET: Duration = Duration::from_secs(30);

/// How often a program that stays sends its spans.
const EVERY: Duration = Duration::from_secs(5);

/// The spans that are told: a request, and a work unit.
const SPANS: [&str; 2] = ["request", "unit"];

static COLLECTOR: OnceLock<Collector> = OnceLock::new();

/// Where spans go, and those that wait.
struct Collector {
    waiting: Arc<Mutex<Vec<SpanData>>>,
    endpoint: String,
    resource: Resource,
    exporter: tokio::sync::OnceCell<opentelemetry_otlp::SpanExporter>,
    failed_at: Mutex<Option<Instant>>,
    /// One sends at a time.
    turn: tokio::sync::Mutex<()>,
}

/// Keeps what ended until it is sent.
#[derive(Debug)]
struct Waiting(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Waiting {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The layer that notes spans for the collector at this address; nothing is connected yet.
pub(super) fn layer<S>(service: &'static str, endpoint: &str) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let waiting: Arc<Mutex<Vec<SpanData>>> = Arc::default();
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder_empty().with_service_name(service).with_attribute(version).build();
    let provider = SdkTracerProvider::builder().with_span_processor(Waiting(waiting.clone())).build();
    let tracer = provider.tracer("bio-mcp");
    let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    // Fails only for a second call, which changes nothing.
    let _ = COLLECTOR.set(Collector {
        waiting,
        endpoint,
        resource,
        exporter: tokio::sync::OnceCell::new(),
        failed_at: Mutex::new(None),
        turn: tokio::sync::Mutex::const_new(()),
    });
    // Spans of libraries have no trace of ours.
    let is_ours = |metadata: &Metadata<'_>| metadata.is_span() && SPANS.contains(&metadata.name());
    OpenTelemetryLayer::new(tracer).with_threads(false).with_location(false).with_filter(filter_fn(is_ours))
}

impl Collector {
    /// Made when it is first used: it reads every root certificate of the system.
    async fn exporter(&self) -> Result<&opentelemetry_otlp::SpanExporter, ExporterBuildError> {
        let make = || async {
            // Fails when it is installed already, which is as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let http = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(PATIENCE)
                .build()
                .expect("the settings of the HTTP client are constants");
            let exporter = opentelemetry_otlp::SpanExporter::builder()
                .with_http()
                .with_http_client(http)
                .with_retry_policy(RetryPolicy::disabled())
                .with_endpoint(&self.endpoint)
                .with_timeout(PATIENCE);
            let mut exporter = exporter.build()?;
            exporter.set_resource(&self.resource);
            Ok(exporter)
        };
        self.exporter.get_or_try_init(make).await
    }

    async fn send(&self) {
        let _turn = self.turn.lock().await;
        let spans = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.is_empty() || failed_at.is_some_and(|at| at.elapsed() < QUIET) {
            return;
        }
        let count = spans.len();
        let sent = match self.exporter().await {
            Ok(exporter) => exporter.export(spans).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            // The work is done all the same.
            tracing::warn!(
                spans = count,
                error,
                "the collector did not take the spans: none are sent for half a minute"
            );
        }
    }
}

/// Sends the spans that ended, where a collector is configured; what it does not take is lost.
pub async fn send_spans() {
    if let Some(collector) = COLLECTOR.get() {
        collector.send().await;
    }
}

/// Runs a program that stays and sends its spans every few seconds, and those that are left when it ends.
pub async fn keep_exporting<F: Future>(program: F) -> F::Output {
    if COLLECTOR.get().is_none() {
        return program.await;
    }
    let sending = async {
        loop {
            tokio::time::sleep(EVERY).await;
            // In a task of its own: the program may end meanwhile, and then waits for it below.
            let _ = tokio::spawn(send_spans()).await;
        }
    };
    let ended = tokio::select! {
        ended = program => ended,
        never = sending => never,
    };
    send_spans().await;
    ended
}

/// Makes a span part of a trace.
pub fn continue_trace(span: &Span, trace_id: &str) {
    if COLLECTOR.get().is_none() || !trace::is_trace(trace_id) {
        return;
    }
    let (Ok(trace), Ok(first)) = (TraceId::from_hex(trace_id), SpanId::from_hex(trace::first_span(trace_id))) else {
        return;
    };
    let parent = SpanContext::new(trace, first, TraceFlags::SAMPLED, true, TraceState::NONE);
    // Fails only for a span that is not recorded.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}
