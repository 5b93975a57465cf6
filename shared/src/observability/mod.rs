//! What the program tells of itself: lines of the log, metrics of CloudWatch, spans for a collector.

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

/// Where logs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error: standard output is for results. Written by a thread of its own, so that a reader that stopped
    /// reading stops nothing else; what it leaves unread beyond eight thousand lines is dropped.
    Stderr,
    /// Standard output: a function has no other. Written at once, because a function is frozen between requests.
    Stdout,
}

/// Lines that wait for the reader of standard error.
const UNREAD_LINES: usize = 8_192;

/// The log of this process; lines that still wait are written when it is dropped, within about a second.
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

/// Where metrics go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nowhere: the program is short, and nothing asks for them.
    None,
    /// A scraper: [`prometheus`] has the text.
    Prometheus,
    /// CloudWatch: [`write_metrics`] writes lines of the log.
    Emf,
}

/// How a program reports on itself.
#[derive(Clone, Debug)]
pub struct TelemetryOptions<'a> {
    pub service: &'static str,
    /// What is worth a line: error, warn, info, debug or trace; another for some crates after a comma, `warn,shared=error`.
    pub level: &'a str,
    /// One JSON object a line, for machines; else short text for people.
    pub json: bool,
    /// Where lines go.
    pub output: LogOutput,
    /// A collector that gets spans.
    pub otlp_endpoint: Option<&'a str>,
    /// Where metrics go.
    pub metrics: Metrics,
}

/// Starts logging, metrics and spans. A second call changes nothing.
pub fn init(options: &TelemetryOptions<'_>) -> Log {
    let &TelemetryOptions { service, level, json, output, otlp_endpoint, metrics } = options;
    match metrics {
        Metrics::None => {}
        Metrics::Prometheus => prometheus::install(),
        Metrics::Emf => emf::install(),
    }
    // Libraries below say nothing about requests: their lines could hold addresses, tokens and keys. The only warning
    // of `lambda_runtime::runtime` is that emulators set AWS_LAMBDA_MAX_CONCURRENCY, also to 1, which changes nothing.
    // The SDK of AWS warns of an empty AWS_ENDPOINT_URL, which is none; what fails in it is logged by its caller.
    let filter = level
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO))
        .with_targets(
            ["sqlx", "hyper", "rustls", "reqwest", "rmcp", "opentelemetry"].map(|name| (name, LevelFilter::WARN)),
        )
        .with_targets(["lambda_runtime", "lambda_http"].map(|name| (name, LevelFilter::WARN)))
        .with_targets(["aws", "lambda_runtime::runtime"].map(|name| (name, LevelFilter::ERROR)))
        .with_target(AUDIT, LevelFilter::INFO);
    // A log whose reader is gone is not reported to the same reader: that would panic.
    let (writer, waiting) = match output {
        LogOutput::Stdout => (BoxMakeWriter::new(std::io::stdout), None),
        LogOutput::Stderr => {
            let builder = NonBlockingBuilder::default().buffered_lines_limit(UNREAD_LINES).thread_name("log");
            // What it logs may be a stranger's text.
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
    // Spans are exported at the level of the log: what is not worth a line is not worth a span.
    let subscriber = Registry::default().with(spans).with(lines).with(filter);
    // Fails only when a subscriber is there already, as in tests.
    let _ = subscriber.try_init();
    if otlp_endpoint.is_some() && !cfg!(feature = "otlp") {
        tracing::warn!("no spans are exported: OTEL_EXPORTER_OTLP_ENDPOINT needs a build with the feature `otlp`");
    }
    Log { _writer: waiting }
}

/// Writes what was counted since the last time, and these values, as CloudWatch metrics: lines of the log of a
/// function.
pub fn write_metrics(output: LogOutput, service: &str, gauges: &[crate::core::metrics::Gauge]) {
    let mut out = output.writer();
    for line in emf::take(service, gauges) {
        // A process that cannot write its log cannot report that either.
        let _ = writeln!(out, "{line}");
    }
}
