//! Telemetry: log lines, metrics of CloudWatch, spans for a collector.

mod emf;
#[cfg_attr(not(feature = "otlp"), path = "no_export.rs")]
mod export;
mod json_lines;
mod prometheus;
pub mod terminal;

use std::io::{IsTerminal as _, Write};

use crate::core::access::AUDIT;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt};

use terminal::Terminal;

pub use crate::core::chain;
pub use export::{continue_trace, flush_spans};
pub use prometheus::prometheus;

/// Where logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error: standard output is for results. Written by a separate thread, so that a reader that stopped
    /// reading blocks nothing else; more than eight thousand unread lines are dropped.
    Stderr,
    /// Standard output: a function has no other. Written immediately, because a function is frozen between requests.
    Stdout,
}

/// Maximum number of lines that wait for the reader of standard error.
const UNREAD_LINES: usize = 8_192;

/// The log of this process; waiting lines are written when it is dropped, within about a second.
#[derive(Debug)]
#[must_use = "lines that wait are lost without it"]
pub struct Log {
    _writer: Option<WorkerGuard>,
}

impl LogOutput {
    fn writer(self) -> Box<dyn std::io::Write> {
        match self {
            Self::Stderr => Box::new(std::io::stderr()),
            Self::Stdout => Box::new(std::io::stdout()),
        }
    }
}

/// Where metrics are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nowhere: the program is short-lived, and nothing reads them.
    None,
    /// A scraper: [`prometheus`] returns the text.
    Prometheus,
    /// CloudWatch: [`write_metrics`] writes log lines.
    Emf,
}

/// Telemetry settings of a program.
#[derive(Clone, Debug)]
pub struct TelemetryOptions<'a> {
    pub service: &'static str,
    /// Log level: error, warn, info, debug or trace; after a comma, another one for some crates, `warn,shared=error`.
    pub level: &'a str,
    /// One JSON object per line, for machines; otherwise short text for people.
    pub json: bool,
    pub output: LogOutput,
    /// A collector that receives spans.
    pub otlp_endpoint: Option<&'a str>,
    pub metrics: Metrics,
}

/// Starts logging, metrics and spans. A second call has no effect.
pub fn init(options: &TelemetryOptions<'_>) -> Log {
    let &TelemetryOptions { service, level, json, output, otlp_endpoint, metrics } = options;
    match metrics {
        Metrics::None => {}
        Metrics::Prometheus => prometheus::install(),
        Metrics::Emf => emf::install(),
    }
    // Requests are not logged by libraries: their lines could contain URLs, tokens and keys. The only warning of
    // `lambda_runtime::runtime` is that emulators set AWS_LAMBDA_MAX_CONCURRENCY, even to 1, which has no effect. The
    // AWS SDK warns of an empty AWS_ENDPOINT_URL, which counts as not set; its errors are logged by the caller.
    let filter = level
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO))
        .with_targets(
            ["sqlx", "hyper", "rustls", "reqwest", "rmcp", "opentelemetry"].map(|name| (name, LevelFilter::WARN)),
        )
        .with_targets(["lambda_runtime", "lambda_http"].map(|name| (name, LevelFilter::WARN)))
        .with_targets(["aws", "lambda_runtime::runtime"].map(|name| (name, LevelFilter::ERROR)))
        .with_target(AUDIT, LevelFilter::INFO);
    // A log that is no longer read is not reported to the same output: that would panic.
    let (writer, waiting) = match output {
        LogOutput::Stdout => (BoxMakeWriter::new(std::io::stdout), None),
        LogOutput::Stderr => {
            let builder = NonBlockingBuilder::default().buffered_lines_limit(UNREAD_LINES).thread_name("log");
            // Logged text may be untrusted.
            let stream: Box<dyn Write + Send> = match std::io::stderr() {
                stream if stream.is_terminal() => Box::new(Terminal::new(stream)),
                stream => Box::new(stream),
            };
            let (writer, waiting) = builder.finish(stream);
            (BoxMakeWriter::new(writer), Some(waiting))
        }
    };
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines = if json {
        lines.fmt_fields(json_lines::JsonFields).event_format(json_lines::JsonLines { service }).boxed()
    } else {
        lines.with_target(false).with_ansi(false).boxed()
    };
    let spans = otlp_endpoint.map(|endpoint| export::layer::<Registry>(service, endpoint));
    // Spans are exported at the level of the log: spans below it are not exported either.
    let subscriber = Registry::default().with(spans).with(lines).with(filter);
    // Fails only if a subscriber is set already, as in tests.
    let _ = subscriber.try_init();
    if otlp_endpoint.is_some() && !cfg!(feature = "otlp") {
        tracing::warn!("no spans are exported: OTEL_EXPORTER_OTLP_ENDPOINT needs a build with the feature `otlp`");
    }
    Log { _writer: waiting }
}

/// Writes what was counted since the last call, and these values, as CloudWatch metrics: lines in the log of a
/// function.
pub fn write_metrics(output: LogOutput, service: &str, gauges: &[crate::core::metrics::Gauge]) {
    let mut out = output.writer();
    for line in emf::take(service, gauges) {
        // A process that cannot write its log cannot report that either.
        let _ = writeln!(out, "{line}");
    }
}
