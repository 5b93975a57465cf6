//! The plan of a phase: its work units.

use std::sync::Arc;

use serde_json::Value;

use super::commit::BatchRows;

#[derive(Clone, Default)]
pub struct Plan {
    /// The units, in the order of their numbers, from 1.
    pub units: Vec<NewUnit>,
    /// Total work for the progress: bytes, or records.
    pub work_total: i64,
    /// Total number of records, if it is known beforehand.
    pub records_total: Option<i64>,
    /// Version of the ingested content, for the list of ingests.
    pub external_version: String,
    /// Digest of the content to ingest, if it is known by now: if it differs from that of an earlier ingest of the same
    /// release version, this is a new run, which replaces the earlier one.
    pub source_digest: Option<String>,
    /// Whether all of the content is ingested.
    pub is_whole: bool,
    /// Whether it is a release, for which at most one ingest may exist that has not failed. Syncs, and files that may
    /// be ingested again, are not releases.
    pub is_release: bool,
    /// Rows that the pipeline writes in the transaction that inserts the units; there are no outcomes.
    pub rows: Option<Arc<dyn BatchRows>>,
}

/// A unit to insert.
#[derive(Clone, Debug, Default)]
pub struct NewUnit {
    /// Its input; only its pipeline reads it.
    pub input: Value,
    /// Label for people, such as the name of its file.
    pub label: Option<String>,
    /// The only machine on which it may run.
    pub required_hostname: Option<String>,
}
