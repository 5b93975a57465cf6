//! Outcomes of records, and the manifest parts made of them.

use serde::Serialize;

use super::Engine;
use super::unit_error::UnitError;
use crate::archive::codec::encode_zstd;
use crate::words::{JobId, Outcome, Pmid, Sha256, UnitId};

/// One line of a manifest part: what became of one record.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The record; unknown for one without a readable PMID.
    pub pmid: Option<Pmid>,
    /// What became of it.
    pub outcome: Outcome,
    /// Hash of its payload.
    pub hash: Option<Sha256>,
    /// Where it is: the archived version, the version that made it a skip, or the quarantine.
    pub uri: Option<String>,
    /// Why, for skipped and failed ones.
    pub reason: Option<String>,
}

/// Lines as a compressed frame; frames of a unit joined are one readable `.ndjson.zst`.
pub(super) fn frame(lines: &[Line]) -> Vec<u8> {
    let mut text = Vec::with_capacity(lines.len() * 256);
    for line in lines {
        serde_json::to_writer(&mut text, line).expect("plain fields are JSON");
        text.push(b'\n');
    }
    encode_zstd(&text)
}

/// Writes the manifest part of a unit whose outcomes will not change any more, and answers its
/// address. Writing it twice writes the same bytes, so the first one stays.
pub(super) async fn write_part(engine: &Engine, job: JobId, unit: UnitId) -> Result<String, UnitError> {
    let frames: Vec<Vec<u8>> =
        sqlx::query_scalar("select outcomes from ingestion_unit_outcomes where unit_id = $1 order by batch")
            .bind(unit.0)
            .fetch_all(&engine.db)
            .await?;
    Ok(engine.archive.put_once(engine.archive.layout().part(job, unit), frames.concat()).await?)
}
