//! Metrics for CloudWatch: log lines in its embedded metric format.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use metrics::{Counter, Gauge as GaugeHandle, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_util::registry::{AtomicStorage, Registry};
use serde_json::{Map, Value, json};

use crate::core::clock;
use crate::core::metrics::Gauge;

/// Maximum number of values of one metric that CloudWatch reads from a line.
const MAX_VALUES: usize = 100;

/// Stores what was recorded since it was last taken. Values of histograms are stored individually, so it is for
/// processes that take them regularly.
struct EmfRecorder(Registry<Key, AtomicStorage>);

static RECORDER: LazyLock<EmfRecorder> = LazyLock::new(EmfRecorder::new);

impl EmfRecorder {
    fn new() -> Self {
        Self(Registry::atomic())
    }
}

/// Records metrics from now on.
pub(super) fn install() {
    // Fails if there is a recorder already, as for a function whose log is started twice.
    let _ = metrics::set_global_recorder(&*RECORDER);
}

impl Recorder for EmfRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.0.get_or_create_counter(key, |counter| counter.clone().into())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> GaugeHandle {
        self.0.get_or_create_gauge(key, |gauge| gauge.clone().into())
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.0.get_or_create_histogram(key, |histogram| histogram.clone().into())
    }
}

type Labels = Vec<(String, String)>;

/// A metric of a line: name, value or values, and unit.
type Metric = (String, Value, &'static str);

fn labels(key: &Key) -> Labels {
    key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect()
}

/// What was recorded since the last call, and these values: one line per set of labels, and one per hundred values of a
/// histogram. Each metric has its labels with and without `service`, so that an alarm needs no function name.
pub(super) fn take(service: &str, gauges: &[Gauge]) -> Vec<Value> {
    RECORDER.take(service, gauges)
}

impl EmfRecorder {
    fn take(&self, service: &str, gauges: &[Gauge]) -> Vec<Value> {
        let mut by_labels: BTreeMap<Labels, Vec<Metric>> = BTreeMap::new();
        self.0.visit_counters(|key, counter| {
            let n = counter.swap(0, Ordering::AcqRel);
            if n > 0 {
                by_labels.entry(labels(key)).or_default().push((key.name().to_owned(), json!(n), "Count"));
            }
        });
        for (name, labels, value) in gauges {
            let unit = if name.ends_with("_seconds") { "Seconds" } else { "None" };
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
            by_labels.entry(labels).or_default().push(((*name).to_owned(), json!(value), unit));
        }
        let mut lines: Vec<Value> = by_labels.iter().map(|(labels, metrics)| line(service, labels, metrics)).collect();
        self.0.visit_histograms(|key, histogram| {
            let mut values: Vec<f64> = Vec::new();
            histogram.clear_with(|block| values.extend(block));
            let unit = if key.name().ends_with("_ms") { "Milliseconds" } else { "None" };
            for values in values.chunks(MAX_VALUES) {
                lines.push(line(service, &labels(key), &[(key.name().to_owned(), json!(values), unit)]));
            }
        });
        lines
    }
}

fn line(service: &str, labels: &[(String, String)], metrics: &[Metric]) -> Value {
    let mut line = Map::new();
    line.insert("service".into(), json!(service));
    line.extend(labels.iter().map(|(key, value)| (key.clone(), json!(value))));
    line.extend(metrics.iter().map(|(name, value, _)| (name.clone(), value.clone())));
    let keys: Vec<&str> = labels.iter().map(|(key, _)| key.as_str()).collect();
    let with_service: Vec<&str> = std::iter::once("service").chain(keys.iter().copied()).collect();
    let names: Vec<Value> = metrics.iter().map(|(name, _, unit)| json!({"Name": name, "Unit": unit})).collect();
    let mut dimensions = vec![json!(with_service), json!(keys)];
    if keys.len() > 1 && keys.contains(&"error_code") {
        dimensions.push(json!(["error_code"]));
    }
    line.insert(
        "_aws".into(),
        json!({
            "Timestamp": clock::now().timestamp_millis(),
            "CloudWatchMetrics": [{"Namespace": "bio-mcp", "Dimensions": dimensions, "Metrics": names}],
        }),
    );
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::metrics;
    use crate::core::{ErrorCode, outcome::Tally};

    #[test]
    fn counters_are_what_was_counted_since_the_last_line() {
        let recorder = EmfRecorder::new();
        let record = |archived| {
            ::metrics::with_local_recorder(&recorder, || {
                metrics::records(&Tally { archived, ..Tally::default() });
                metrics::error("pubmed.ingest_files", ErrorCode::ArchiveError);
            });
        };
        record(2);
        let lines = recorder.take("test", &[("ready", vec![], 1.0)]);
        let archived = lines.iter().find(|line| line["outcome"] == "archived").expect("a line per label set");
        assert_eq!(archived["records_total"], 2);
        let dimensions = &archived["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
        assert_eq!(*dimensions, json!([["service", "outcome"], ["outcome"]]));
        assert!(lines.iter().all(|line| line["outcome"] != "skipped"), "nothing was skipped: {lines:?}");
        let failed = lines.iter().find(|line| line["error_code"] == "ARCHIVE_ERROR").expect("a line per label set");
        let dimensions = &failed["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
        assert_eq!(dimensions[2], json!(["error_code"]));
        let ready = lines.iter().find(|line| line["ready"] == 1.0).expect("a line without labels");
        assert_eq!(ready["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["service"], []]));
        record(3);
        let lines = recorder.take("test", &[]);
        assert!(lines.iter().any(|line| line["records_total"] == 3), "only what is new: {lines:?}");
        assert_eq!(recorder.take("test", &[]), Vec::<Value>::new());
    }

    #[test]
    fn latencies_are_values_so_that_there_are_percentiles() {
        let recorder = EmfRecorder::new();
        ::metrics::with_local_recorder(&recorder, || {
            for ms in 1..=250 {
                metrics::request("ping", true, Duration::from_millis(ms));
            }
        });
        let lines = recorder.take("test", &[]);
        let latencies: Vec<&Value> = lines.iter().filter(|line| line.get("latency_ms").is_some()).collect();
        assert_eq!(latencies.len(), 3);
        let mut values: Vec<f64> = Vec::new();
        for line in latencies {
            let of_line = line["latency_ms"].as_array().expect("values");
            assert!(of_line.len() <= MAX_VALUES);
            values.extend(of_line.iter().filter_map(Value::as_f64));
            assert_eq!(line["tool"], "ping");
            let metrics = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
            assert_eq!(*metrics, json!([{ "Name": "latency_ms", "Unit": "Milliseconds" }]));
        }
        values.sort_by(f64::total_cmp);
        assert_eq!(values, (1..=250).map(f64::from).collect::<Vec<_>>());
        assert!(recorder.take("test", &[]).iter().all(|line| line.get("latency_ms").is_none()));
    }
}
