//! What planning a phase gives: its work units.

use std::sync::Arc;

use serde_json::Value;

use super::commit::BatchRows;

/// What planning a phase gave.
#[derive(Clone, Default)]
pub struct Plan {
    /// The units, in the order of their numbers: the first is 1.
    pub units: Vec<NewUnit>,
    /// What the progress bar counts to: bytes, or records.
    pub work_total: i64,
    /// How many records that is, where it is known beforehand.
    pub records_total: Option<i64>,
    /// What is ingested, for the list of ingests.
    pub external_version: String,
    /// Identifies the content that is ingested, where that is known by now: another digest under the version of a
    /// release that was ingested is a new run, which replaces it.
    pub source_digest: Option<String>,
    /// Whether it is ingested whole.
    pub is_whole: bool,
    /// Whether it is a release, of which there may be one ingest that has not failed. Syncs, and files that may come
    /// again, are none.
    pub is_release: bool,
    /// What the pipeline writes of its own in the transaction that plans the units; there are no outcomes.
    pub rows: Option<Arc<dyn BatchRows>>,
}

/// A unit to be made.
#[derive(Clone, Debug, Default)]
pub struct NewUnit {
    /// What it is to do; only its pipeline reads it.
    pub input: Value,
    /// What people call it, such as the name of its file.
    pub label: Option<String>,
    /// The machine that must do it.
    pub required_hostname: Option<String>,
}
