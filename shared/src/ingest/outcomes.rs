//! Outcomes of records, and the manifest parts made of them.

use serde::Serialize;
use sqlx::PgConnection;

use super::Engine;
use super::unit_error::UnitError;
use crate::archive::codec::encode_zstd;
use crate::db::DbError;
use crate::words::{JobId, Outcome, Pmid, Reason, Sha256, UnitId};

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
    pub reason: Option<Reason>,
}

/// Lines as a compressed frame; frames of a unit joined are one readable `.ndjson.zst`.
pub(super) fn frame(lines: &[Line]) -> Vec<u8> {
    if lines.is_empty() {
        return Vec::new();
    }
    let mut text = Vec::with_capacity(lines.len() * 256);
    for line in lines {
        serde_json::to_writer(&mut text, line).expect("plain fields are JSON");
        text.push(b'\n');
    }
    encode_zstd(&text)
}

/// Keeps the records that did not end well where they can be listed and retried.
pub(super) async fn insert_failures(
    db: &mut PgConnection,
    job: JobId,
    unit: UnitId,
    lines: &[Line],
) -> Result<(), DbError> {
    let failures: Vec<&Line> =
        lines.iter().filter(|line| matches!(line.outcome, Outcome::Failed | Outcome::Missing)).collect();
    if failures.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("sql/insert_failures.sql"))
        .bind(job.0)
        .bind(unit.0)
        .bind(failures.iter().map(|line| line.pmid.map(|pmid| pmid.to_string())).collect::<Vec<_>>())
        .bind(failures.iter().map(|line| line.outcome.as_str()).collect::<Vec<_>>())
        .bind(
            failures
                .iter()
                .map(|line| line.reason.as_ref().and_then(Reason::as_str).map(str::to_owned))
                .collect::<Vec<_>>(),
        )
        .bind(failures.iter().map(|line| line.uri.clone()).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// Writes the manifest part of a unit whose outcomes will not change any more, and answers its
/// address; a unit without records has none. Writing it twice writes the same bytes, so the first
/// one stays.
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
