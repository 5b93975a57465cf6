//! The part of the engine's list of quarantined records that is specific to PubMed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use crate::core::{Pmid, RecordKey, RecordType};
use crate::db::DbError;

/// PubMed records, identified by their PMID.
pub const PUBMED: RecordType = RecordType::new("pubmed").with_id_field("pmid");

/// Key of a PubMed record; without a PMID if that could not be read.
pub fn key(pmid: Option<Pmid>) -> RecordKey {
    RecordKey { record_type: PUBMED, id: pmid.map(|pmid| pmid.to_string()) }
}

/// PMID of a record; none for other record types.
pub fn pmid(key: &RecordKey) -> Option<Pmid> {
    key.id.as_deref().filter(|_| key.record_type == PUBMED).and_then(|id| Pmid::parse(id).ok())
}

/// How a quarantined record arrived, to archive it later as if it had arrived intact: the `source_metadata` of its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// `bulk_file` or `efetch`.
    pub api: String,
    /// Its as-of time; unknown for records of early versions.
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

    /// Metadata for a row, with the precision of the database's times.
    pub fn write(&self) -> Value {
        let as_of = self.as_of.and_then(|at| DateTime::from_timestamp_micros(at.timestamp_micros()));
        serde_json::to_value(Self { as_of, ..self.clone() }).expect("plain fields are JSON")
    }
}

/// A record that arrived intact, and its as-of time: earlier damaged records of its PMID are obsolete.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    pub pmid: Pmid,
    pub as_of: DateTime<Utc>,
    /// Number of its file, else 0.
    pub file_number: i32,
}

/// Removes damaged records from the list if the same record arrived intact later; their bytes stay stored. Two files
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
