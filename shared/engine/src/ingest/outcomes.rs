//! Outcomes of records, and the manifest parts made of them.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use sqlx::PgConnection;

use super::Engine;
use super::unit_error::UnitError;
use crate::db::DbError;
use bio_mcp_archive::codec::encode_zstd;
use bio_mcp_core::{JobId, Outcome, Reason, RecordKey, Sha256, UnitId};

/// Outcome of one record: a line of a manifest part.
#[derive(Clone, Debug)]
pub struct RecordOutcome {
    pub key: RecordKey,
    pub outcome: Outcome,
    /// Hash of the payload.
    pub hash: Option<Sha256>,
    /// Address of the archived version, of the version because of which it was skipped, or of the quarantined bytes.
    pub uri: Option<String>,
    /// Why it was skipped or failed.
    pub reason: Option<Reason>,
}

impl Serialize for RecordOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        self.key.serialize_into(&mut line)?;
        line.serialize_entry("outcome", &self.outcome)?;
        line.serialize_entry("hash", &self.hash)?;
        line.serialize_entry("uri", &self.uri)?;
        line.serialize_entry("reason", &self.reason)?;
        line.end()
    }
}

/// Outcomes as a compressed frame; the concatenated frames of a unit are one readable `.ndjson.zst`.
pub(super) fn frame(outcomes: &[RecordOutcome]) -> Vec<u8> {
    if outcomes.is_empty() {
        return Vec::new();
    }
    let mut text = Vec::with_capacity(outcomes.len() * 256);
    for outcome in outcomes {
        serde_json::to_writer(&mut text, outcome).expect("plain fields are JSON");
        text.push(b'\n');
    }
    encode_zstd(&text)
}

/// Stores failed and missing records, so that they can be listed and retried.
pub(super) async fn insert_failures(
    db: &mut PgConnection,
    job: JobId,
    unit: UnitId,
    outcomes: &[RecordOutcome],
) -> Result<(), DbError> {
    let failures: Vec<&RecordOutcome> =
        outcomes.iter().filter(|one| matches!(one.outcome, Outcome::Failed | Outcome::Missing)).collect();
    if failures.is_empty() {
        return Ok(());
    }
    let reason = |one: &&RecordOutcome| one.reason.as_ref().and_then(Reason::as_str).map(str::to_owned);
    sqlx::query(include_str!("sql/insert_failures.sql"))
        .bind(job.0)
        .bind(unit.0)
        .bind(failures.iter().map(|one| one.key.record_type.name()).collect::<Vec<_>>())
        .bind(failures.iter().map(|one| one.key.id.clone()).collect::<Vec<_>>())
        .bind(failures.iter().map(|one| one.outcome.as_str()).collect::<Vec<_>>())
        .bind(failures.iter().map(reason).collect::<Vec<_>>())
        .bind(failures.iter().map(|one| one.uri.clone()).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// Writes the manifest part of a unit whose outcomes do not change any more, and returns its address; none if the unit
/// has no records. A repetition writes the same bytes, so that the first object remains.
pub(super) async fn write_part(engine: &Engine, job: JobId, unit: UnitId) -> Result<Option<String>, UnitError> {
    let frames: Vec<Vec<u8>> =
        sqlx::query_scalar("select outcomes from ingestion_unit_outcomes where unit_id = $1 order by batch")
            .bind(unit.0)
            .fetch_all(&engine.db)
            .await?;
    let part = frames.concat();
    if part.is_empty() {
        return Ok(None);
    }
    Ok(Some(engine.archive.put_once(engine.archive.layout().part(job, unit), part).await?))
}
