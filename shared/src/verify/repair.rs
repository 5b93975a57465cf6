//! Rebuilds rows from the archive's objects.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use sqlx::PgPool;

use super::{CONCURRENT_READS, PAGE, Progress, Run, VerifyError};
use crate::archive::{Archive, Condition, ETag, Key, Put, ReadError, StoreError, StoredVersion, VersionId, uri};
use crate::checkpoints;
use crate::db::{self, DbError};
use crate::pubmed::is_retracted;
use crate::records::{self, Found, VersionState, Versions};
use crate::words::{Pmid, PmidSet};

/// What repairing wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Record objects looked at.
    pub objects: u64,
    /// Pointers written.
    pub pointers: u64,
    /// History rows written.
    pub history: u64,
    /// Events written.
    pub events: u64,
    /// Rows of versions written.
    pub versions: u64,
    /// Envelopes stored again because the newest object was not that of the pointer.
    pub objects_written: u64,
    /// Digests of the corpus that were counted again and had been wrong.
    pub digests: i64,
    /// Records without any readable object: they come back when their files are ingested again.
    pub lost: u64,
}

/// Rebuilds pointers, versions, history and missing events from the archive's objects, by the rule that decides what
/// is newer. What is consistent is not written again; rows without any readable object stay, for `check` to report.
///
/// A repair that was stopped resumes where it was.
pub async fn repair(db: &PgPool, archive: &Archive, run: &mut Run<'_>) -> Result<Repaired, VerifyError> {
    let mut repaired = Repaired::default();
    let mut after = records::repair_cursor(db).await?.and_then(|key| Key::parse(&key));
    let limit = usize::try_from(PAGE).unwrap_or(1000);
    loop {
        let page = archive.store().list_versions(&archive.layout().records(), after.as_ref(), limit).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        let mut reads = Vec::new();
        for (key, versions) in &page {
            if let Some(pmid) = archive.layout().pmid_of(key) {
                reads.push(read_record(archive, key, versions, pmid));
            }
        }
        let records: Vec<Record> = stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
        let pmids: Vec<Pmid> = records.iter().map(|record| record.found.pmid).collect();
        let pointers = records::lookup(db, &pmids).await?;
        // One transaction a page, no reading of objects inside.
        let mut tx = db::begin(db).await?;
        for record in &records {
            repaired.objects += 1;
            repaired.objects_written += u64::from(record.is_rewritten);
            let restored = records::restore(&mut tx, pointers.get(&record.found.pmid), &record.found).await?;
            repaired.pointers += restored.pointers;
            repaired.history += restored.history;
            repaired.events += restored.events;
            repaired.versions += restored.versions;
        }
        records::save_repair_cursor(&mut tx, Some(last.as_str())).await?;
        tx.commit().await.map_err(DbError::from)?;
        for record in records.iter().filter(|record| record.is_whole && record.found.pointer().is_some()) {
            run.verified.insert(record.found.pmid);
        }
        (run.on_progress)(Progress { phase: "objects repaired", done: repaired.objects });
    }
    repaired.lost = mark_lost(db, archive, &run.verified).await?;
    repaired.digests = checkpoints::recount(db).await?;
    records::recount(db).await?;
    let mut tx = db::begin(db).await?;
    records::save_repair_cursor(&mut tx, None).await?;
    tx.commit().await.map_err(DbError::from)?;
    Ok(repaired)
}

/// A record as its objects are.
struct Record {
    found: Found,
    /// Whether every version could be read.
    is_whole: bool,
    is_rewritten: bool,
}

/// Reads each version of a record once.
async fn read_record(archive: &Archive, key: &Key, versions: &[VersionId], pmid: Pmid) -> Result<Record, VerifyError> {
    let mut states: Vec<VersionState> = Vec::with_capacity(versions.len());
    let mut newest: Option<StoredVersion> = None;
    // From the oldest on: of the same payload stored twice the later address holds.
    for (n, version) in versions.iter().enumerate().rev() {
        match archive.envelope_at(key, Some(version)).await {
            Ok((envelope, at)) if envelope.pmid == pmid => {
                let s3_uri = archive.uri(key, &at.version);
                if n == 0 {
                    newest = Some(at);
                }
                states.push(VersionState {
                    s3_uri,
                    content_hash: envelope.content_hash(),
                    fetched_at: envelope.fetched_at,
                    api_etag: envelope.source.http_etag,
                    retracted: envelope.payload.xml().is_some_and(is_retracted),
                    seen: envelope.order.rank(),
                    order: envelope.order,
                });
            }
            Ok(_) | Err(ReadError::Damaged { .. } | ReadError::Store(StoreError::NotFound(_))) => {}
            Err(ReadError::Store(error)) => return Err(error.into()),
        }
    }
    let is_whole = states.len() == versions.len();
    states.sort_by_key(|state| state.fetched_at);
    let folded = Versions::fold(states.clone());
    let is_newest_readable = newest.is_some();
    let newest_etag = match newest {
        Some(at) => at.etag.0,
        None => match archive.store().head(key).await {
            Ok(head) => head.etag.0,
            Err(StoreError::NotFound(_)) => String::new(),
            Err(error) => return Err(error.into()),
        },
    };
    let mut found = Found { pmid, states, versions: folded, object_etag: newest_etag };
    // A damaged newest object stays what it is until its payload arrives again.
    let is_rewritten = is_newest_readable && make_newest(archive, key, versions, &mut found).await?;
    Ok(Record { found, is_whole, is_rewritten })
}

/// Stores the envelope of the pointer again where another object is the newest under the key.
async fn make_newest(
    archive: &Archive,
    key: &Key,
    versions: &[VersionId],
    found: &mut Found,
) -> Result<bool, VerifyError> {
    let Some(pointer) = found.pointer().cloned() else { return Ok(false) };
    let version = uri::version_of(&pointer.s3_uri);
    if version.as_ref() == versions.first() {
        return Ok(false);
    }
    let bytes = archive.store().get(key, version.as_ref()).await?.bytes;
    let condition = Condition::Matches(ETag(found.object_etag.clone()));
    let put = Put { key: key.clone(), bytes: &bytes, condition, payload_hash: pointer.content_hash };
    let stored = archive.store().put_batch(&[put]).await.pop().expect("one put, one answer")?;
    found.moved(&pointer, &archive.uri(key, &stored.version), &stored.etag.0);
    Ok(true)
}

/// Marks the pointers that still have no readable object.
async fn mark_lost(db: &PgPool, archive: &Archive, verified: &PmidSet) -> Result<u64, VerifyError> {
    let mut lost = 0;
    let mut after = None;
    loop {
        let page = records::page(db, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(lost) };
        after = Some(last.pmid);
        let mut reads = Vec::new();
        for pointer in page.iter().filter(|pointer| !verified.contains(pointer.pmid)) {
            reads.push(async move { (pointer, archive.envelope(pointer.pmid, &pointer.s3_uri).await) });
        }
        let mut reads = stream::iter(reads).buffered(CONCURRENT_READS);
        while let Some((pointer, read)) = reads.next().await {
            match read {
                Ok(_) => {}
                Err(ReadError::Damaged { .. } | ReadError::Store(StoreError::NotFound(_))) => {
                    records::mark_lost(db, pointer.pmid, &pointer.s3_uri).await?;
                    lost += 1;
                }
                Err(ReadError::Store(error)) => return Err(error.into()),
            }
        }
    }
}
