//! Verification: does every row point at an object that is what the row says, and does every object
//! have its row? And the way back: rows rebuilt from the objects alone.

use serde::Serialize;
use sqlx::PgPool;

use crate::archive::{Archive, Envelope, Key, ReadError, StoreError, StoredVersion, VersionId, uri};
use crate::checkpoints;
use crate::db::{self, DbError};
use crate::pubmed::is_retracted;
use crate::records::{self, Accepted, Pointer};
use crate::words::{Pmid, Sha256};

/// Rows or keys looked at together.
const PAGE: i64 = 1000;

/// How many problems are kept; all are counted.
const KEPT: usize = 1000;

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Pointers checked.
    pub pointers: i64,
    /// History rows checked.
    pub history_rows: i64,
    /// Objects found under record keys.
    pub objects: i64,
    /// Problems found.
    pub problem_count: i64,
    /// The first of them.
    pub problems: Vec<Problem>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A stable word for what it is.
    pub kind: &'static str,
    /// The record.
    pub pmid: Option<String>,
    /// What exactly.
    pub detail: String,
}

impl Report {
    /// Whether all is well.
    pub fn is_clean(&self) -> bool {
        self.problem_count == 0
    }

    fn add(&mut self, kind: &'static str, pmid: Option<&str>, detail: impl Into<String>) {
        self.problem_count += 1;
        if self.problems.len() < KEPT {
            self.problems.push(Problem { kind, pmid: pmid.map(str::to_owned), detail: detail.into() });
        }
    }
}

/// Verification could not be done.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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
    /// Digests of the corpus that were counted anew and had been wrong.
    pub digests: i64,
    /// Records without any readable object: they come back when their files are ingested again.
    pub lost: u64,
}

/// Checks every pointer, object, hash and history row, and looks for orphans.
pub async fn check(db: &PgPool, archive: &Archive) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    check_pointers(db, archive, &mut report).await?;
    check_history(db, archive, &mut report).await?;
    for (pmid, what) in records::inconsistent(db, PAGE).await? {
        report.add("rows_disagree", Some(&pmid.to_string()), what);
    }
    for key in checkpoints::wrong_digests(db).await? {
        let whose = if key.is_empty() { "the archive".to_owned() } else { format!("the query {key}") };
        report.add("digest_mismatch", None, format!("the digest of {whose} is not that of its records"));
    }
    check_objects(db, archive, &mut report).await?;
    Ok(report)
}

async fn check_pointers(db: &PgPool, archive: &Archive, report: &mut Report) -> Result<(), VerifyError> {
    let mut after = None;
    loop {
        let page = records::page(db, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.pmid);
        report.pointers += i64::try_from(page.len()).unwrap_or(0);
        for pointer in &page {
            check_pointer(archive, pointer, report).await?;
        }
    }
}

async fn check_pointer(archive: &Archive, pointer: &Pointer, report: &mut Report) -> Result<(), VerifyError> {
    let pmid = pointer.pmid.to_string();
    let key = archive.layout().record_at(pointer.pmid, &pointer.s3_uri);
    match archive.envelope_at(&key, None).await {
        Ok((envelope, at)) if Some(&at.version) == uri::version_of(&pointer.s3_uri).as_ref() => {
            if envelope.content_hash() != pointer.content_hash || envelope.pmid != pointer.pmid {
                report.add("hash_mismatch", Some(&pmid), "the object holds another payload than its pointer says");
            } else if envelope.order != pointer.order {
                report.add("order_mismatch", Some(&pmid), "the pointer's order is not the object's");
            }
        }
        Ok(_) => report.add("not_newest", Some(&pmid), "the newest object is not the one the pointer names"),
        Err(ReadError::Damaged { source, .. }) => {
            report.add("damaged_object", Some(&pmid), crate::words::telemetry::chain(&source));
        }
        Err(ReadError::Store(StoreError::NotFound(_))) => {
            report.add("missing_object", Some(&pmid), pointer.s3_uri.clone());
        }
        Err(ReadError::Store(error)) => return Err(error.into()),
    }
    Ok(())
}

async fn check_history(db: &PgPool, archive: &Archive, report: &mut Report) -> Result<(), VerifyError> {
    let mut after = (String::new(), String::new());
    loop {
        let page = records::history(db, (&after.0, &after.1), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.pmid.clone(), last.content_hash.clone());
        report.history_rows += i64::try_from(page.len()).unwrap_or(0);
        for row in &page {
            let Ok(pmid) = Pmid::parse(&row.pmid) else {
                report.add("bad_row", Some(&row.pmid), "the history row's PMID is not one");
                continue;
            };
            match archive.envelope(pmid, &row.s3_uri).await {
                Ok(envelope) if envelope.content_hash().map(Sha256::to_hex).as_ref() == Some(&row.content_hash) => {}
                Ok(_) => report.add("history_mismatch", Some(&row.pmid), "the version holds another payload"),
                Err(ReadError::Damaged { .. }) => {
                    report.add("history_damaged", Some(&row.pmid), row.s3_uri.clone());
                }
                Err(ReadError::Store(StoreError::NotFound(_))) => {
                    report.add("history_missing", Some(&row.pmid), row.s3_uri.clone());
                }
                Err(ReadError::Store(error)) => return Err(error.into()),
            }
        }
    }
}

/// Objects without a pointer. Their payload is safe, but nobody finds it.
async fn check_objects(db: &PgPool, archive: &Archive, report: &mut Report) -> Result<(), VerifyError> {
    let mut after = None;
    loop {
        let keys = page_of_keys(archive, after.as_ref()).await?;
        let Some(last) = keys.last() else { return Ok(()) };
        after = Some(last.clone());
        let mut pmids = Vec::with_capacity(keys.len());
        for key in &keys {
            match archive.layout().pmid_of(key) {
                Some(pmid) => pmids.push(pmid),
                None => report.add("foreign_object", None, format!("{key} is not a record key")),
            }
        }
        report.objects += i64::try_from(pmids.len()).unwrap_or(0);
        let known = records::lookup(db, &pmids).await?;
        for pmid in pmids.iter().filter(|pmid| !known.contains_key(pmid)) {
            report.add("orphan_object", Some(&pmid.to_string()), "an object without a pointer");
        }
    }
}

async fn page_of_keys(archive: &Archive, after: Option<&Key>) -> Result<Vec<Key>, StoreError> {
    archive.store().list(&archive.layout().records(), after, usize::try_from(PAGE).unwrap_or(1000)).await
}

/// Rebuilds pointers, history and missing events from the archive's objects. What is consistent is
/// not written again; rows without any readable object stay, for `check` to report.
pub async fn repair(db: &PgPool, archive: &Archive) -> Result<Repaired, VerifyError> {
    let mut repaired = Repaired::default();
    let mut after = None;
    loop {
        let keys = page_of_keys(archive, after.as_ref()).await?;
        let Some(last) = keys.last() else { break };
        after = Some(last.clone());
        let mut records = Vec::with_capacity(keys.len());
        for key in &keys {
            if let Some(pmid) = archive.layout().pmid_of(key) {
                records.push(readable_versions(archive, key, pmid).await?);
            }
        }
        // One transaction a page, no reading of objects inside.
        let mut tx = db::begin(db).await?;
        for versions in &records {
            repaired.objects += 1;
            let restored = records::restore(&mut tx, versions).await?;
            repaired.pointers += restored.pointers;
            repaired.history += restored.history;
            repaired.events += restored.events;
        }
        tx.commit().await.map_err(DbError::from)?;
    }
    repaired.lost = mark_lost(db, archive).await?;
    repaired.digests = checkpoints::recount(db).await?;
    Ok(repaired)
}

/// Marks the pointers that still have no readable object.
async fn mark_lost(db: &PgPool, archive: &Archive) -> Result<u64, VerifyError> {
    let mut lost = 0;
    let mut after = None;
    loop {
        let page = records::page(db, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(lost) };
        after = Some(last.pmid);
        for pointer in &page {
            match archive.envelope(pointer.pmid, &pointer.s3_uri).await {
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

/// The versions of a record that can be read, from oldest to newest payload.
async fn readable_versions(archive: &Archive, key: &Key, pmid: Pmid) -> Result<Vec<Accepted>, VerifyError> {
    let newest = match archive.envelope_at(key, None).await {
        Ok((_, at)) => Some(at),
        Err(ReadError::Damaged { .. } | ReadError::Store(StoreError::NotFound(_))) => None,
        Err(ReadError::Store(error)) => return Err(error.into()),
    };
    let mut found: Vec<(Envelope, StoredVersion)> = Vec::new();
    for version in archive.store().versions(key).await? {
        match archive.envelope_at(key, Some(&version)).await {
            Ok((envelope, at)) if envelope.pmid == pmid => found.push((envelope, at)),
            Ok(_) | Err(ReadError::Damaged { .. } | ReadError::Store(StoreError::NotFound(_))) => {}
            Err(ReadError::Store(error)) => return Err(error.into()),
        }
    }
    // What lies under the plain key was accepted last; the others came in the order they were fetched.
    // (The order of payloads would not do: with deletions among them it is not transitive.)
    let is_newest = |version: &VersionId| newest.as_ref().is_some_and(|at| at.version == *version);
    found.sort_by_key(|(envelope, at)| (is_newest(&at.version), envelope.fetched_at));
    let etag = match archive.store().head(key).await {
        Ok(head) => head.etag.0,
        Err(StoreError::NotFound(_)) => String::new(),
        Err(error) => return Err(error.into()),
    };
    let accepted = found.into_iter().map(|(envelope, at)| Accepted {
        pmid,
        s3_uri: archive.uri(key, &at.version),
        object_etag: etag.clone(),
        content_hash: envelope.content_hash(),
        retracted: envelope.payload.xml().is_some_and(is_retracted),
        fetched_at: envelope.fetched_at,
        api_etag: envelope.source.http_etag,
        order: envelope.order,
    });
    Ok(accepted.collect())
}
