//! Names, labels and help of every metric. Values are recorded through the facade `metrics`; they are dropped unless
//! `observability` has installed a recorder.
//!
//! Label values come from bounded sets only (tools, outcomes, error codes), never from data.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, histogram};

use super::outcome::{Outcome, Tally};

/// A name, and a value from a bounded set.
pub type Label = (&'static str, String);

/// A current value: name, labels and value. It is read when it is exported, and not stored.
pub type Gauge = (&'static str, Vec<Label>, f64);

/// Registers the help of every metric with the recorder.
pub fn describe() {
    describe_counter!("requests_total", "Calls of fast tools, and jobs that ended.");
    describe_counter!("errors_total", "Errors of tools and of work units.");
    describe_histogram!("latency_ms", "Duration of tool calls, in milliseconds.");
    describe_counter!("jobs_succeeded_total", "Jobs that ended as succeeded.");
    describe_counter!("jobs_failed_total", "Jobs that ended as failed or cancelled.");
    describe_counter!("records_total", "Records of jobs that ended, by outcome.");
    describe_counter!("upstream_requests_total", "Requests to other servers, by class of status.");
    describe_counter!("wake_ups_total", "Messages that wake workers, by whether the queue accepted them.");
    describe_gauge!("breaker_open", "1 while requests to this dependency are refused because it failed.");
    describe_gauge!("jobs_running", "Running jobs.");
    describe_gauge!("queue_age_seconds", "Age of the oldest queued job.");
    describe_gauge!("progress_pct", "Progress of the running jobs of a tool, in percent.");
    describe_gauge!("sync_age_seconds", "Time since the last successful run of the topic that is furthest behind.");
    describe_gauge!("projection_lag_events", "Events of the log that this projection has not applied yet.");
    describe_gauge!("projection_lag_seconds", "Age of the oldest event that this projection has not applied.");
    describe_gauge!("projection_stalled_seconds", "Time for which this projection has been behind without progress.");
    describe_gauge!("ready", "1 if database and archive can be used.");
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
        counter!("records_total", "outcome" => outcome.as_str()).increment(u64::try_from(n).unwrap_or(0));
    }
}

fn status(succeeded: bool) -> &'static str {
    if succeeded { "ok" } else { "error" }
}

/// Counts the end of a job.
pub fn job_ended(tool: &str, succeeded: bool) {
    let ended = if succeeded { counter!("jobs_succeeded_total") } else { counter!("jobs_failed_total") };
    ended.increment(1);
    counter!("requests_total", "tool" => tool.to_owned(), "status" => status(succeeded)).increment(1);
}

/// Counts a call of a tool that returns at once, and how long it took.
pub fn request(tool: &str, succeeded: bool, took: std::time::Duration) {
    counter!("requests_total", "tool" => tool.to_owned(), "status" => status(succeeded)).increment(1);
    histogram!("latency_ms", "tool" => tool.to_owned()).record(took.as_secs_f64() * 1000.0);
}

/// Counts a request to an upstream server.
pub fn upstream(api: &'static str, status: &'static str) {
    counter!("upstream_requests_total", "api" => api, "status" => status).increment(1);
}

/// Counts wake-ups that the queue accepted, and those it did not.
pub fn wake_ups(sent: usize, lost: usize) {
    for (succeeded, n) in [(true, sent), (false, lost)] {
        if n > 0 {
            counter!("wake_ups_total", "status" => status(succeeded)).increment(n as u64);
        }
    }
}

/// Counts an error of a tool.
pub fn error(tool: &str, code: super::ErrorCode) {
    counter!("errors_total", "tool" => tool.to_owned(), "error_code" => code.as_str()).increment(1);
}
