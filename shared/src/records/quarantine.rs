//! What the engine's list of quarantined records says of those of PubMed, beyond what it says of any.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use crate::core::{Pmid, RecordKey, RecordType};
use crate::db::DbError;

/// PubMed's records: identified by their PMID.
pub const PUBMED: RecordType = RecordType::new("pubmed").with_id_field("pmid");

/// A record of PubMed; without a PMID where that could not be read.
pub fn key(pmid: Option<Pmid>) -> RecordKey {
    RecordKey { record_type: PUBMED, id: pmid.map(|pmid| pmid.to_string()) }
}

/// The PMID of a record.
pub fn pmid(key: &RecordKey) -> Option<Pmid> {
    key.id.as_deref().filter(|_| key.record_type == PUBMED).and_then(|id| Pmid::parse(id).ok())
}

/// How a quarantined record came, to archive it later as if it had come whole: the `source_metadata` of its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// `bulk_file` or `efetch`.
    pub api: String,
    /// What it is as of; unknown for those of early versions.
    pub as_of: Option<DateTime<Utc>>,
    /// Number of its file, else 0.
    pub file_number: i32,
    /// Position in its file, else 0.
    pub position: i64,
}

impl Arrived {
    /// Reads the metadata of a row.
    pub fn read(source_metadata: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(source_metadata)
    }

    /// Metadata for a row, its time as exact as the database's own.
    pub fn write(&self) -> Value {
        let as_of = self.as_of.and_then(|at| DateTime::from_timestamp_micros(at.timestamp_micros()));
        serde_json::to_value(Self { as_of, ..self.clone() }).expect("plain fields are JSON")
    }
}

/// A record that came whole, and what it is as of: damaged ones of its PMID from before are of no use any more.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    pub pmid: Pmid,
    /// What it is as of.
    pub as_of: DateTime<Utc>,
    /// Number of its file, else 0.
    pub file_number: i32,
}

/// Takes off the list what came damaged before the same records came whole; the bytes stay where they are. Two files
/// are ordered by their numbers, everything else by time.
pub async fn release_older(db: &mut PgConnection, whole: &[Whole]) -> Result<(), DbError> {
    if whole.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("release_older.sql"))
        .bind(whole.iter().map(|one| one.pmid.to_string()).collect::<Vec<_>>())
        .bind(whole.iter().map(|one| one.as_of).collect::<Vec<_>>())
        .bind(whole.iter().map(|one| one.file_number).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}
