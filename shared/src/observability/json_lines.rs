//! Log lines in JSON, for machines.
//!
//! Fields of the enclosing spans are written beside those of the event, under names fixed by contract: ts, level,
//! service, `trace_id`, `job_id`, `unit_id`, tool, pmid, `s3_uri`, status, `latency_ms`, attempt, message. Text from
//! outside is a field, never a format string; long values are truncated.

use std::fmt;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::core::clock;

/// Maximum length of a field's value, in bytes.
const MAX_VALUE_BYTES: usize = 4096;

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().map(|(at, _)| at).find(|at| *at >= MAX_VALUE_BYTES) {
        Some(at) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(cut(&format!("{value:?}"))));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(cut(value)));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }
}

/// Formats fields of a span as JSON, so that events can include them.
pub(super) struct JsonFields;

impl<'w> FormatFields<'w> for JsonFields {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        mut writer: Writer<'w>,
        fields: R,
    ) -> fmt::Result {
        let mut map = Fields::default();
        fields.record(&mut map);
        write!(writer, "{}", Value::Object(map.0))
    }
}

/// Formats events as lines.
pub(super) struct JsonLines {
    pub(super) service: &'static str,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Map::new();
        line.insert("ts".into(), json!(clock::rfc3339(clock::now())));
        line.insert("level".into(), json!(event.metadata().level().as_str()));
        line.insert("service".into(), json!(self.service));
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map(|fields| fields.fields.as_str());
            if let Some(Ok(Value::Object(fields))) = fields.map(serde_json::from_str) {
                line.extend(fields);
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.extend(fields.0);
        writeln!(writer, "{}", Value::Object(line))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic while writing").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_event_is_one_json_line_whatever_its_text() {
        let lines = Lines::default();
        let out = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(JsonFields)
            .event_format(JsonLines { service: "test" })
            .with_writer(move || out.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("unit", job_id = "j1", attempt = 2);
            let _in = span.enter();
            tracing::info!(pmid = 7, title = "evil\r\n{\"level\":\"ERROR\"}\u{1b}[31m {}", "stored");
            tracing::info!(long = "é".repeat(5000), "cut");
        });
        let text = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("UTF-8");
        let parsed: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(parsed.len(), 2);
        assert_eq!(parsed[0]["job_id"], "j1");
        assert_eq!(parsed[0]["attempt"], 2);
        assert_eq!(parsed[0]["pmid"], 7);
        assert_eq!(parsed[0]["message"], "stored");
        assert_eq!(parsed[0]["service"], "test");
        assert_eq!(parsed[0]["title"], "evil\r\n{\"level\":\"ERROR\"}\u{1b}[31m {}");
        assert!(text.lines().all(|line| line.len() < 16 * 1024));
    }
}
