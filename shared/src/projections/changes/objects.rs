//! Payloads of events without a noted integrity, read from the archive.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, stream};

use super::Event;
use crate::archive::{Archive, Payload, ReadError, StoredPayload};
use crate::core::{ErrorCode, Pmid};
use crate::ingest::UnitError;
use crate::observability;
use crate::projections::PrepareContext;
use crate::pubmed::IntegrityNote;
use crate::records;

/// Objects read at the same time.
const CONCURRENT_READS: usize = 64;

/// Other records whose objects are tried when no object could be read.
const OTHERS: i64 = 8;

/// The result of reading one object.
enum Read {
    /// The note of its payload.
    Note(IntegrityNote),
    /// The object does not exist, is damaged, contains another payload, or was written by a newer program.
    Unreadable(ReadError),
    /// The store failed.
    Failed(ReadError),
}

/// The notes of the payloads of events, by event. The integrity of an unreadable payload is unknown, so that one object
/// does not stop the projection. A failing store stops it until a repeated attempt can read other objects; an archive
/// in which no object can be read stops it too: it is the wrong one, or incompatible with this program.
pub(super) async fn read(
    prepare_context: PrepareContext<'_>,
    events: Vec<&Event>,
) -> Result<HashMap<i64, IntegrityNote>, UnitError> {
    let archive = &prepare_context.engine.archive;
    let pmids: HashSet<Pmid> = events.iter().filter_map(|event| Pmid::parse(&event.record_id).ok()).collect();
    let mut reads = Vec::with_capacity(events.len());
    for event in events {
        reads.push(async move { (event, one(archive, event).await) });
    }
    let reads: Vec<(&Event, Read)> = stream::iter(reads).buffer_unordered(CONCURRENT_READS).collect().await;
    let mut notes = HashMap::with_capacity(reads.len());
    let mut in_doubt = Vec::new();
    for (event, read) in reads {
        match read {
            Read::Note(note) => {
                notes.insert(event.seq, note);
            }
            Read::Failed(error) if !prepare_context.is_last_attempt => {
                return Err(failed(observability::chain(&error)));
            }
            Read::Unreadable(error) | Read::Failed(error) => in_doubt.push((event, error)),
        }
    }
    // If no object can be read, the cause is not in these objects.
    if notes.values().all(|note| !note.is_known())
        && let Some((_, error)) = in_doubt.first()
        && !others_can_be_read(prepare_context, &pmids).await?.unwrap_or(pmids.len() == 1)
    {
        return Err(failed(format!("no object of the archive can be read, e.g.: {}", observability::chain(error))));
    }
    for (event, error) in in_doubt {
        give_up(&mut notes, event, &error);
    }
    Ok(notes)
}

/// The error of a store that cannot be read: only this projection waits for it.
fn failed(message: String) -> UnitError {
    UnitError::Failed { code: ErrorCode::ArchiveError, message, retry: true }
}

fn give_up(notes: &mut HashMap<i64, IntegrityNote>, event: &Event, error: &ReadError) {
    let (pmid, seq, error) = (&event.record_id, event.seq, observability::chain(error));
    tracing::warn!(pmid, seq, s3_uri = event.s3_uri, error, "a payload cannot be read: its integrity is unknown");
    notes.insert(event.seq, IntegrityNote::UNKNOWN);
}

async fn one(archive: &Archive, event: &Event) -> Read {
    let Ok(pmid) = Pmid::parse(&event.record_id) else { return Read::Note(IntegrityNote::UNKNOWN) };
    let stored = StoredPayload::of_row(&event.s3_uri, event.content_hash.as_deref());
    match note(archive, pmid, &stored).await {
        Ok(note) => Read::Note(note),
        Err(error) if error.is_one_object() => Read::Unreadable(error),
        Err(error) => Read::Failed(error),
    }
}

/// Reads an object; it is decoded and parsed on a blocking thread.
async fn note(archive: &Archive, pmid: Pmid, stored: &StoredPayload) -> Result<IntegrityNote, ReadError> {
    let (key, bytes) = archive.object_at(pmid, stored).await?;
    let (archive, stored) = (archive.clone(), stored.clone());
    let read = tokio::task::spawn_blocking(move || {
        Ok(match &archive.open(pmid, &stored, &key, &bytes)?.payload {
            Payload::Xml(xml) => IntegrityNote::of(xml),
            Payload::Tombstone => IntegrityNote::UNKNOWN,
        })
    });
    // A panic affects only this payload.
    read.await.unwrap_or(Ok(IntegrityNote::UNKNOWN))
}

/// Whether objects of other records can be read; none if there are no other records.
async fn others_can_be_read(
    prepare_context: PrepareContext<'_>,
    tried: &HashSet<Pmid>,
) -> Result<Option<bool>, UnitError> {
    let db = &prepare_context.engine.db;
    if prepare_context.engine.archive.store().check().await.is_err() {
        return Ok(Some(false));
    }
    let some = OTHERS + i64::try_from(tried.len()).unwrap_or(0);
    let others = records::some_live(db, some).await?.into_iter().filter(|pmid| !tried.contains(pmid));
    let others: Vec<Pmid> = others.take(usize::try_from(OTHERS).unwrap_or(8)).collect();
    if others.is_empty() {
        return Ok(None);
    }
    let mut reads = Vec::with_capacity(others.len());
    for (pmid, pointer) in records::lookup(db, &others).await? {
        reads.push(async move { note(&prepare_context.engine.archive, pmid, &pointer.address()).await.is_ok() });
    }
    let reads = stream::iter(reads).buffer_unordered(CONCURRENT_READS);
    Ok(Some(reads.any(|is_read| async move { is_read }).await))
}
