//! Progress and result of jobs: the content of the columns `progress` and `result`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use bio_mcp_core::Tally;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Number of records with an outcome.
    pub done: i64,
    /// Total number of records, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Done fraction of the work of the current phase, from 0 to 1.
    pub fraction: f64,
    /// Completed work, counted like `work_total`.
    pub work_done: i64,
    /// Total work of the phase.
    pub work_total: i64,
    /// What the job waits for, if it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Records by outcome.
    #[serde(flatten)]
    pub counts: Tally,
}

impl Progress {
    /// Starts a planned phase with this total of work, and of records if that is known.
    pub fn plan(&mut self, work_total: i64, records_total: Option<i64>) {
        self.work_done = 0;
        self.work_total = work_total;
        self.total = records_total.or(self.total);
    }

    /// Adds a committed batch; the job no longer waits.
    pub fn add(&mut self, counted: &Tally, work: i64) {
        self.counts.merge(counted);
        self.done = self.counts.requested;
        self.work_done += work;
        self.waiting = None;
        #[expect(clippy::cast_precision_loss, reason = "a fraction for a progress bar")]
        let fraction = self.work_done as f64 / self.work_total as f64;
        self.fraction = if self.work_total > 0 { fraction.min(1.0) } else { 0.0 };
    }

    /// Ends the job: with everything done, if it succeeded.
    pub fn end(&mut self, succeeded: bool, counts: &Tally) {
        self.waiting = None;
        if succeeded {
            self.done = counts.requested;
            self.total = Some(counts.requested);
            self.fraction = 1.0;
        }
    }
}

/// Result of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobResult {
    /// Records by outcome.
    #[serde(flatten)]
    pub counts: Tally,
    /// Address of the manifest.
    pub manifest: Option<String>,
    /// Additional fields of its source.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// An additional field by its name; null if it does not exist.
impl std::ops::Index<&str> for JobResult {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.more.get(name).unwrap_or(&Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_read_from_what_earlier_programs_wrote() {
        let read = |value: Value| serde_json::from_value::<Progress>(value).expect("readable");
        assert_eq!(read(json!({})), Progress::default());
        let planned =
            read(json!({ "work_total": 10, "work_done": 4, "requested": 3, "archived": 3, "waiting": "a server" }));
        assert_eq!(
            (planned.work_total, planned.counts.archived, planned.waiting.as_deref()),
            (10, 3, Some("a server"))
        );
    }

    #[test]
    fn a_batch_moves_the_bar_and_ends_the_wait() {
        let mut progress = Progress { waiting: Some("a server".into()), ..Progress::default() };
        progress.plan(8, Some(3));
        let counted = Tally { requested: 2, archived: 2, ..Tally::default() };
        progress.add(&counted, 6);
        assert_eq!((progress.done, progress.total, progress.waiting.is_none()), (2, Some(3), true));
        assert!((progress.fraction - 0.75).abs() < 1e-9);
        progress.add(&counted, 6);
        assert!((progress.fraction - 1.0).abs() < 1e-9, "never above it");
        progress.plan(0, None);
        progress.add(&Tally::default(), 1);
        assert_eq!((progress.fraction, progress.total), (0.0, Some(3)), "a phase that counts no work has no bar");
        let json = serde_json::to_value(&progress).expect("JSON");
        assert_eq!((&json["done"], &json["archived"], json.get("waiting")), (&json!(4), &json!(4), None));
    }

    #[test]
    fn a_result_keeps_what_its_source_says() {
        let json = json!({ "requested": 1, "archived": 1, "manifest": "m", "files": [{ "name": "a" }] });
        let result: JobResult = serde_json::from_value(json).expect("readable");
        assert_eq!((result.counts.archived, result.manifest.as_deref()), (1, Some("m")));
        assert_eq!((&result["files"][0]["name"], &result["other"]), (&json!("a"), &Value::Null));
        let again = serde_json::to_value(&result).expect("JSON");
        assert_eq!((&again["files"][0]["name"], &again["skipped"]), (&json!("a"), &json!(0)));
    }
}
