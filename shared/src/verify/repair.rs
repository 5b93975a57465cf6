//! Rebuilds rows from the archive's objects.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use sqlx::PgPool;

use super::assess::Assessor;
use super::check::is_alone;
use super::record::{Record, read_record};
use super::{CONCURRENT_READS, PAGE, VerifyError, VerifyProgress, VerifyRun};
use crate::archive::{Archive, Key, ReadError, StoreError};
use crate::checkpoints;
use crate::core::{Pmid, PmidSet};
use crate::db::{self, DbError};
use crate::records::{self, Restored};

/// The result of a repair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Record objects checked.
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
    /// Versions of objects that were set aside: this archive did not write them, or they cannot be trusted.
    pub set_aside: u64,
    /// Records whose state is from their objects alone, because no row knew it.
    pub from_objects: u64,
    /// Digests of the corpus that were computed again and had been wrong.
    pub digests: i64,
    /// Records without any readable object: they return when their files are ingested again.
    pub lost: u64,
    /// Records with an object that exists and cannot be read, or that a newer program wrote: they are not changed.
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

/// Rebuilds pointers, versions, history and missing events from the archive's objects, by the rule that decides what is
/// newer. Consistent rows are not written again; rows without any readable object stay, and `check` reports them.
///
/// Only objects that a row or a committed intent names are trusted; others are set aside: they stay stored, and if one
/// is the newest under its key, the genuine one is stored again above it. If no record was ever accepted, because the
/// rows were lost altogether, or if the run requests it, objects are trusted without rows.
///
/// An interrupted repair resumes where it stopped.
pub async fn repair(db: &PgPool, archive: &Archive, run: &mut VerifyRun<'_>) -> Result<Repaired, VerifyError> {
    let mut repaired = Repaired::default();
    let mut after = records::repair_cursor(db).await?.and_then(|key| Key::parse(&key));
    let is_resumed = after.is_some() && records::repairs_from_objects(db).await?;
    let from_objects = run.from_objects || is_resumed || records::is_empty(db).await?;
    records::pull_back_all_pointers(db).await?;
    let limit = usize::try_from(PAGE).unwrap_or(1000);
    loop {
        let page = archive.store().list_versions(&archive.layout().records(), after.as_ref(), limit).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        let listed: Vec<_> =
            page.iter().filter_map(|(key, versions)| Some((archive.layout().pmid_of(key)?, key, versions))).collect();
        let pmids: Vec<Pmid> = listed.iter().map(|(pmid, ..)| *pmid).collect();
        let pointers = records::lookup(db, &pmids).await?;
        let assessor = Assessor::of(db, &pmids, from_objects).await?;
        let mut reads = Vec::new();
        for (pmid, key, versions) in listed {
            reads.push(read_record(archive, &assessor, key, versions, pmid, pointers.get(&pmid)));
        }
        let records: Vec<Record> = stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
        // One transaction per page; no object is read inside of it.
        let mut tx = db::begin(db).await?;
        for record in &records {
            repaired.objects += 1;
            if record.is_unreadable {
                repaired.unreadable += 1;
                continue;
            }
            repaired.objects_written += u64::from(record.is_rewritten);
            repaired.from_objects += u64::from(record.found.from_objects);
            repaired.set_aside += records::put_aside(&mut tx, &record.aside, false).await?;
            if from_objects {
                records::take_back(&mut tx, &record.found).await?;
            }
            repaired.add(records::restore(&mut tx, pointers.get(&record.found.pmid), &record.found).await?);
        }
        records::save_repair_cursor(&mut tx, Some(last.as_str()), from_objects).await?;
        tx.commit().await.map_err(DbError::from)?;
        for record in records.iter().filter(|record| record.is_whole && record.found.pointer().is_some()) {
            run.verified.insert(record.found.pmid);
        }
        (run.on_progress)(VerifyProgress { phase: "objects repaired", done: repaired.objects });
    }
    // Every object has been read: one damaged from now on is left to the next repair, which begins at the start.
    let mut tx = db::begin(db).await?;
    records::save_repair_cursor(&mut tx, None, false).await?;
    tx.commit().await.map_err(DbError::from)?;
    mark_lost(db, archive, from_objects, &run.verified, &mut repaired).await?;
    repaired.digests = checkpoints::recount(db).await?;
    records::recount(db).await?;
    Ok(repaired)
}

/// Marks the pointers that still have no readable object.
async fn mark_lost(
    db: &PgPool,
    archive: &Archive,
    from_objects: bool,
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
            reads.push(async move { (pointer, archive.envelope(pointer.pmid, &pointer.address()).await) });
        }
        let mut reads = stream::iter(reads).buffered(CONCURRENT_READS);
        while let Some((pointer, read)) = reads.next().await {
            match read {
                // The check reports an object of a newer program.
                Ok(_) | Err(ReadError::Newer { .. }) => {}
                Err(ReadError::Damaged { .. } | ReadError::Store(StoreError::NotFound(_))) => {
                    // Its objects may have been read by an interrupted repair, before this one was damaged.
                    let key = archive.layout().record_again(pointer.pmid, pointer.address().address.as_ref().ok());
                    let versions = archive.store().versions(&key).await?;
                    let assessor = Assessor::of(db, &[pointer.pmid], from_objects).await?;
                    let record = read_record(archive, &assessor, &key, &versions, pointer.pmid, Some(pointer)).await?;
                    if record.is_unreadable {
                        continue;
                    }
                    if record.found.pointer().is_some() {
                        let mut tx = db::begin(db).await?;
                        repaired.set_aside += records::put_aside(&mut tx, &record.aside, false).await?;
                        repaired.add(records::restore(&mut tx, Some(pointer), &record.found).await?);
                        tx.commit().await.map_err(DbError::from)?;
                        continue;
                    }
                    records::mark_lost(db, pointer.pmid, &pointer.s3_uri).await?;
                    repaired.lost += 1;
                }
                // Reported by the check.
                Err(ReadError::Store(_)) if is_alone(archive).await => {}
                Err(ReadError::Store(error)) => return Err(error.into()),
            }
        }
    }
}
