//! The lines of an export.

use std::io::Write;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use shared::archive::{Envelope, Payload, ReadError, StoredPayload};
use shared::core::{EVERY_VERSION, Pmid, Sha256};
use shared::observability;

use super::selection::Selected;
use super::sink::ExportProgress;
use crate::args::ExportFormat;
use crate::commands::get;
use crate::failure::CliError;
use crate::out;
use crate::session::Session;

/// Maximum number of objects that are read concurrently.
const READS: usize = 64;

/// Reports a record that is not in the output, and why.
pub fn leave_out(pmid: Pmid, why: impl std::fmt::Display) {
    out::note(format_args!("bio-mcp: PMID {pmid} omitted: {why}"));
}

/// Writes records, and counts them. An error of one object does not stop the export; only an unavailable archive or
/// output does. `failed` names the output.
pub async fn write(
    session: &Session,
    format: ExportFormat,
    records: &[Selected],
    out: &mut impl Write,
    progress: &mut ExportProgress,
    failed: impl Fn(&std::io::Error) -> CliError,
) -> Result<(), CliError> {
    let mut lines =
        stream::iter(records).map(async |record| (record, line(session, format, record).await)).buffered(READS);
    while let Some((record, line)) = lines.next().await {
        match line? {
            Line::Text(mut text) => {
                text.push(b'\n');
                out.write_all(&text).map_err(|error| failed(&error))?;
                match record.content_hash {
                    Some(_) => progress.records += 1,
                    None => progress.deletions += 1,
                }
            }
            Line::LeftOut(why) => {
                leave_out(record.pmid, why);
                progress.left_out += 1;
            }
        }
    }
    Ok(())
}

/// A record as it is written, or why it is omitted.
enum Line {
    Text(Vec<u8>),
    LeftOut(String),
}

async fn line(session: &Session, format: ExportFormat, record: &Selected) -> Result<Line, CliError> {
    let payload = StoredPayload::of_row(&record.s3_uri, record.content_hash.as_deref());
    let read = session.engine.archive.envelope(record.pmid, &payload).await;
    let envelope = match read {
        Ok(envelope) => Ok(envelope),
        Err(error) if error.is_one_object() || is_alone(session, &error).await => Err(observability::chain(&error)),
        Err(error) => return Err(error.into()),
    };
    let Some(hash) = &record.content_hash else {
        // The log says that it was deleted, even if its tombstone is missing or damaged.
        let version = envelope.ok().map(|envelope| envelope.order.version).filter(|version| *version != EVERY_VERSION);
        let line = json!({ "kind": "deletion", "pmid": record.pmid, "version": version });
        return Ok(Line::Text(line.to_string().into_bytes()));
    };
    Ok(match envelope.and_then(|envelope| text(format, record.pmid, hash, &envelope)) {
        Ok(text) => Line::Text(text),
        Err(why) => Line::LeftOut(why),
    })
}

/// Whether only this object cannot be read, while its store is reachable.
async fn is_alone(session: &Session, error: &ReadError) -> bool {
    matches!(error, ReadError::Store(_)) && session.engine.archive.store().check().await.is_ok()
}

fn text(format: ExportFormat, pmid: Pmid, hash: &str, envelope: &Envelope) -> Result<Vec<u8>, String> {
    let found = envelope.content_hash().map(Sha256::to_hex);
    let (Payload::Xml(xml), true) = (&envelope.payload, envelope.pmid == pmid && found.as_deref() == Some(hash)) else {
        return Err("its object does not contain the payload that the event log records".to_owned());
    };
    match format {
        ExportFormat::Json => {
            let article = get::parse(pmid, xml).map_err(|failure| failure.message)?;
            serde_json::to_vec(&article)
        }
        ExportFormat::Xml => serde_json::to_vec(&json!({ "pmid": pmid, "content_hash": hash, "xml": xml })),
    }
    .map_err(|error| error.to_string())
}
