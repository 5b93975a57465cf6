//! In a program without the feature `otlp`: no spans are exported.

use tracing::{Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Identity;

/// No spans are recorded.
pub(super) fn layer<S: Subscriber>(_service: &'static str, _endpoint: &str) -> impl Layer<S> + use<S> {
    Identity::new()
}

/// There are none.
pub async fn flush_spans() {}

/// Spans have no trace: log lines carry its id.
pub fn continue_trace(_span: &Span, _trace_id: &str) {}
