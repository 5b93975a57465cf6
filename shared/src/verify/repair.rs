//! Rebuilds rows from the archive's objects.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use sqlx::PgPool;

use super::check::is_alone;
use super::{CONCURRENT_READS, PAGE, Progress, Run, VerifyError};
use crate::archive::{Archive, Condition, ETag, Key, Put, ReadError, StoreError, StoredVersion, VersionId, uri};
use crate::checkpoints;
use crate::db::{self, DbError};
use crate::pubmed::is_retracted;
use crate::records::{self, Found, Restored, VersionState, Versions};
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
    /// Records with an object that is there and cannot be read: they stay as they are.
    pub unreadable: u64,
}

impl Repaired {
    fn add(&mut self, restored: Restored) {
        self.pointers += restored.pointers;
        self.history += restored.history;
        self.events += restored.events;
        self.versions += restored.versions;
    }
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
            if record.is_unreadable {
                repaired.unreadable += 1;
                continue;
            }
            repaired.objects_written += u64::from(record.is_rewritten);
            repaired.add(records::restore(&mut tx, pointers.get(&record.found.pmid), &record.found).await?);
        }
        records::save_repair_cursor(&mut tx, Some(last.as_str())).await?;
        tx.commit().await.map_err(DbError::from)?;
        for record in records.iter().filter(|record| record.is_whole && record.found.pointer().is_some()) {
            run.verified.insert(record.found.pmid);
        }
        (run.on_progress)(Progress { phase: "objects repaired", done: repaired.objects });
    }
    // Every object has been read: one that is damaged from now on is for the next repair, which begins at the start.
    let mut tx = db::begin(db).await?;
    records::save_repair_cursor(&mut tx, None).await?;
    tx.commit().await.map_err(DbError::from)?;
    mark_lost(db, archive, &run.verified, &mut repaired).await?;
    repaired.digests = checkpoints::recount(db).await?;
    records::recount(db).await?;
    Ok(repaired)
}

/// A record as its objects are.
struct Record {
    found: Found,
    /// Whether every version could be read.
    is_whole: bool,
    is_rewritten: bool,
    /// Whether a version is there and could not be read: what the record is cannot be told.
    is_unreadable: bool,
}

/// Reads each version of a record once.
async fn read_record(archive: &Archive, key: &Key, versions: &[VersionId], pmid: Pmid) -> Result<Record, VerifyError> {
    let mut states: Vec<VersionState> = Vec::with_capacity(versions.len());
    let mut newest: Option<StoredVersion> = None;
    // The newest object is gone, and older versions are there.
    let mut is_absent = false;
    let mut is_unreadable = false;
    // From the oldest on: of the same payload stored twice the later address holds.
    for (n, version) in versions.iter().enumerate().rev() {
        let mut read = archive.envelope_at(key, (n > 0).then_some(version)).await;
        if n == 0 && matches!(read, Err(ReadError::Store(StoreError::NotFound(_)))) {
            is_absent = true;
            read = archive.envelope_at(key, Some(version)).await;
        }
        match read {
            Ok((envelope, at)) => {
                let s3_uri = archive.uri(key, &at.version);
                if n == 0 && !is_absent {
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
            Err(ReadError::Damaged { .. } | ReadError::Store(StoreError::NotFound(_))) => {}
            Err(ReadError::Store(_)) if is_alone(archive).await => is_unreadable = true,
            Err(ReadError::Store(error)) => return Err(error.into()),
        }
    }
    if is_unreadable {
        let found = Found { pmid, states, versions: Versions::default(), object_etag: String::new() };
        return Ok(Record { found, is_whole: false, is_rewritten: false, is_unreadable });
    }
    let is_whole = states.len() == versions.len();
    states.sort_by_key(|state| state.fetched_at);
    let folded = Versions::fold(states.clone());
    let is_newest_sound = newest.is_some() || is_absent;
    let newest_etag = match newest {
        Some(at) => at.etag.0,
        None if is_absent => String::new(),
        None => match archive.store().head(key).await {
            Ok(head) => head.etag.0,
            Err(StoreError::NotFound(_)) => String::new(),
            Err(error) => return Err(error.into()),
        },
    };
    let mut found = Found { pmid, states, versions: folded, object_etag: newest_etag };
    // A damaged newest object stays what it is until its payload arrives again.
    let newest_version = versions.first().filter(|_| !is_absent);
    let is_rewritten = is_newest_sound && make_newest(archive, key, newest_version, &mut found).await?;
    Ok(Record { found, is_whole, is_rewritten, is_unreadable })
}

/// Stores the envelope of the pointer again where another object is the newest under the key, or none is.
async fn make_newest(
    archive: &Archive,
    key: &Key,
    newest: Option<&VersionId>,
    found: &mut Found,
) -> Result<bool, VerifyError> {
    let Some(pointer) = found.pointer().cloned() else { return Ok(false) };
    let version = uri::version_of(&pointer.s3_uri);
    if version.as_ref() == newest {
        return Ok(false);
    }
    let bytes = archive.store().get(key, version.as_ref()).await?.bytes;
    let condition = newest.map_or(Condition::Absent, |_| Condition::Matches(ETag(found.object_etag.clone())));
    let put = Put { key: key.clone(), bytes: &bytes, condition, payload_hash: pointer.content_hash };
    let stored = archive.store().put_batch(&[put]).await.pop().expect("one put, one answer")?;
    found.moved(&pointer, &archive.uri(key, &stored.version), &stored.etag.0);
    Ok(true)
}

/// Marks the pointers that still have no readable object.
async fn mark_lost(
    db: &PgPool,
    archive: &Archive,
    verified: &PmidSet,
    repaired: &mut Repaired,
) -> Result<(), VerifyError> {
    let mut after = None;
    loop {
        let page = records::page(db, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
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
                    // Its objects may have been read by a repair that was stopped, before this one was damaged.
                    let key = archive.layout().record_at(pointer.pmid, &pointer.s3_uri);
                    let versions = archive.store().versions(&key).await?;
                    let record = read_record(archive, &key, &versions, pointer.pmid).await?;
                    if record.is_unreadable {
                        continue;
                    }
                    if record.found.pointer().is_some() {
                        let mut tx = db::begin(db).await?;
                        repaired.add(records::restore(&mut tx, Some(pointer), &record.found).await?);
                        tx.commit().await.map_err(DbError::from)?;
                        continue;
                    }
                    records::mark_lost(db, pointer.pmid, &pointer.s3_uri).await?;
                    repaired.lost += 1;
                }
                // Named by the check.
                Err(ReadError::Store(_)) if is_alone(archive).await => {}
                Err(ReadError::Store(error)) => return Err(error.into()),
            }
        }
    }
}
