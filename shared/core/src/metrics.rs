//! Counters of this process: Prometheus text for a scraper, CloudWatch EMF for a log.
//!
//! Label values come from bounded sets only (tools, outcomes, error codes), never from data.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::clock;
use super::outcome::{Outcome, Tally};

/// A name and a value of a bounded set.
pub type Label = (&'static str, String);
type Key = (&'static str, Vec<Label>);

static COUNTERS: Mutex<BTreeMap<Key, f64>> = Mutex::new(BTreeMap::new());

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn add(name: &'static str, labels: Vec<(&'static str, String)>, n: i64) {
    let mut counters = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    *counters.entry((name, labels)).or_default() += n as f64;
}

/// Counts records by outcome.
pub fn records(tally: &Tally) {
    for (outcome, n) in [
        (Outcome::Archived, tally.archived),
        (Outcome::Skipped, tally.skipped),
        (Outcome::Failed, tally.failed),
        (Outcome::Deleted, tally.deleted),
        (Outcome::Missing, tally.missing),
    ] {
        add("records_total", vec![("outcome", outcome.as_str().to_owned())], n);
    }
}

/// Counts the end of a job.
pub fn job_ended(tool: &str, succeeded: bool) {
    let (name, status) = if succeeded { ("jobs_succeeded_total", "ok") } else { ("jobs_failed_total", "error") };
    add(name, vec![], 1);
    add("requests_total", vec![("tool", tool.to_owned()), ("status", status.to_owned())], 1);
}

/// Counts a call of a tool that answers at once, and how long it took.
pub fn request(tool: &str, succeeded: bool, took: std::time::Duration) {
    let status = if succeeded { "ok" } else { "error" };
    add("requests_total", vec![("tool", tool.to_owned()), ("status", status.to_owned())], 1);
    let ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    add("latency_ms_sum", vec![("tool", tool.to_owned())], ms);
    add("latency_ms_count", vec![("tool", tool.to_owned())], 1);
}

/// Counts a request to a foreign server.
pub fn upstream(api: &'static str, status: &'static str) {
    add("upstream_requests_total", vec![("api", api.to_owned()), ("status", status.to_owned())], 1);
}

/// Counts wake-ups that the queue took, and those it did not.
pub fn wake_ups(sent: usize, lost: usize) {
    for (status, n) in [("ok", sent), ("error", lost)] {
        if n > 0 {
            let n = i64::try_from(n).unwrap_or(i64::MAX);
            add("wake_ups_total", vec![("status", status.to_owned())], n);
        }
    }
}

/// Counts an error of a tool.
pub fn error(tool: &str, code: super::ErrorCode) {
    add("errors_total", vec![("tool", tool.to_owned()), ("error_code", code.as_str().to_owned())], 1);
}

/// A value of this moment.
pub type Gauge = (&'static str, Vec<Label>, f64);

/// All counters, and these values, in the Prometheus text format.
pub fn prometheus(gauges: &[Gauge]) -> String {
    let counters = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = String::new();
    let mut last = "";
    for ((name, labels), value) in counters.iter() {
        if *name != last {
            let _ = writeln!(text, "# TYPE {name} counter");
            last = name;
        }
        let _ = writeln!(text, "{name}{} {value}", written(labels));
    }
    for (name, labels, value) in gauges {
        if *name != last {
            let _ = writeln!(text, "# TYPE {name} gauge");
            last = name;
        }
        let _ = writeln!(text, "{name}{} {value}", written(labels));
    }
    text
}

fn written(labels: &[Label]) -> String {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}

/// What CloudWatch was told so far.
static TOLD: Mutex<BTreeMap<Key, f64>> = Mutex::new(BTreeMap::new());

/// What was counted since the last call, and these values, in CloudWatch's embedded metric format: one line per set of
/// labels. Each metric stands under its labels with and without `service`, so that an alarm needs no function's name.
pub fn take_emf(service: &str, gauges: &[Gauge]) -> Vec<Value> {
    let mut by_labels: BTreeMap<Vec<Label>, Vec<(&'static str, f64, &'static str)>> = BTreeMap::new();
    {
        let counters = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        for ((name, labels), value) in counters.iter() {
            let before = told.insert((name, labels.clone()), *value).unwrap_or_default();
            if *value > before {
                by_labels.entry(labels.clone()).or_default().push((name, value - before, "Count"));
            }
        }
    }
    for (name, labels, value) in gauges {
        let unit = if name.ends_with("_seconds") { "Seconds" } else { "None" };
        by_labels.entry(labels.clone()).or_default().push((name, *value, unit));
    }
    by_labels.into_iter().map(|(labels, metrics)| emf_line(service, &labels, &metrics)).collect()
}

fn emf_line(service: &str, labels: &[Label], metrics: &[(&'static str, f64, &'static str)]) -> Value {
    let mut line = Map::new();
    line.insert("service".into(), json!(service));
    line.extend(labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
    line.extend(metrics.iter().map(|(name, value, _)| ((*name).to_owned(), json!(value))));
    let keys: Vec<&str> = labels.iter().map(|(key, _)| *key).collect();
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
    use super::*;

    #[test]
    fn counters_show_in_both_formats() {
        records(&Tally { archived: 2, ..Tally::default() });
        job_ended("pubmed.ingest_files", true);
        error("pubmed.ingest_files", crate::ErrorCode::ArchiveError);
        let text = prometheus(&[("breaker_open", vec![("dependency", "ncbi".to_owned())], 1.0)]);
        assert!(text.ends_with("# TYPE breaker_open gauge\nbreaker_open{dependency=\"ncbi\"} 1\n"), "{text}");
        assert!(text.contains("# TYPE records_total counter\n"), "{text}");
        assert!(text.contains("records_total{outcome=\"archived\"} 2"), "{text}");
        assert!(text.contains("errors_total{tool=\"pubmed.ingest_files\",error_code=\"ARCHIVE_ERROR\"} 1"), "{text}");
        let ready = ("ready", vec![], 1.0);
        let lines = take_emf("test", std::slice::from_ref(&ready));
        let archived = lines.iter().find(|line| line["outcome"] == "archived").expect("a line per label set");
        assert_eq!(archived["records_total"], 2.0);
        let dimensions = &archived["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
        assert_eq!(*dimensions, json!([["service", "outcome"], ["outcome"]]));
        let failed = lines.iter().find(|line| line["error_code"] == "ARCHIVE_ERROR").expect("a line per label set");
        let dimensions = &failed["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
        assert_eq!(dimensions[2], json!(["error_code"]));
        let ready = lines.iter().find(|line| line["ready"] == 1.0).expect("a line without labels");
        assert_eq!(ready["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["service"], []]));
        records(&Tally { archived: 3, ..Tally::default() });
        let lines = take_emf("test", &[]);
        assert!(lines.iter().any(|line| line["records_total"] == 3.0), "only what is new: {lines:?}");
    }
}
