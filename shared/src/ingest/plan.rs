//! What planning a phase gives: its work units.

use serde_json::Value;

/// What planning a phase gave.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The units, in the order of their numbers.
    pub units: Vec<NewUnit>,
    /// What the progress bar counts to: bytes, or records.
    pub work_total: i64,
    /// How many records that is, where it is known beforehand.
    pub records_total: Option<i64>,
    /// What is ingested, for the list of ingests.
    pub external_version: String,
    /// Whether it is a release, which is ingested whole and once; syncs are neither.
    pub is_whole: bool,
}

/// A unit to be made.
#[derive(Clone, Debug)]
pub struct NewUnit {
    /// What it is to do.
    pub input: Value,
    /// The machine that must do it.
    pub required_hostname: Option<String>,
}
