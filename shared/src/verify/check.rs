//! Checks every pointer, object, hash and history row.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use sqlx::PgPool;

use super::assess::latest;
use super::objects::check_objects;
use super::report::{MAX_PROBLEMS_KEPT, Problem, Report};
use super::{PAGE, VerifyError, VerifyProgress, VerifyRun, side_by_side};
use crate::archive::{Address, Archive, EnvelopeError, ReadError, StoreError, StoredPayload};
use crate::checkpoints;
use crate::core::{Pmid, PmidSet};
use crate::observability::chain;
use crate::records::{self, HistoryRow, Pointer};

/// Checks every pointer, object, hash and history row, and searches for orphans.
pub async fn check(db: &PgPool, archive: &Archive, run: &VerifyRun<'_>) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    let shared = Arc::new(archive.clone());
    let sound = check_pointers(db, &shared, run, &mut report).await?;
    check_history(db, &shared, run, &sound, &mut report).await?;
    for (pmid, what) in records::inconsistent(db, PAGE).await? {
        report.add(Problem::of("rows_disagree", pmid, what));
    }
    for key in checkpoints::wrong_digests(db).await? {
        let whose = if key.is_empty() { "the archive".to_owned() } else { format!("the query {key}") };
        let detail = format!("the digest of {whose} does not match its records");
        report.add(Problem { kind: "digest_mismatch", pmid: None, detail });
    }
    if records::wrong_counts(db).await? {
        let detail = "the stored counts of deleted records, payloads and changes do not match the rows".to_owned();
        report.add(Problem { kind: "count_mismatch", pmid: None, detail });
    }
    check_objects(db, archive, run, &mut report).await?;
    let kept = i64::try_from(MAX_PROBLEMS_KEPT).unwrap_or(i64::MAX);
    (report.set_aside, report.set_aside_count) = records::foreign(db, kept).await?;
    (report.from_objects, report.from_objects_count) = records::from_objects(db, kept).await?;
    Ok(report)
}

/// Checks pointers; returns the records whose pointer matches its object.
async fn check_pointers(
    db: &PgPool,
    archive: &Arc<Archive>,
    run: &VerifyRun<'_>,
    report: &mut Report,
) -> Result<PmidSet, VerifyError> {
    let mut sound = run.verified.clone();
    let latest = latest(db).await?;
    let mut after = None;
    let mut done = 0;
    loop {
        let page = records::page(db, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(sound) };
        after = Some(last.pmid);
        done += page.len() as u64;
        report.pointers += i64::try_from(page.len()).unwrap_or(0);
        let mut checks = Vec::new();
        for pointer in page.into_iter().filter(|pointer| !run.verified.contains(pointer.pmid)) {
            checks.push(check_pointer(archive.clone(), pointer, latest));
        }
        let mut checks = side_by_side(checks);
        while let Some(checked) = checks.next().await {
            match checked? {
                Ok(pmid) => sound.insert(pmid),
                Err(problem) => report.add(problem),
            }
        }
        (run.on_progress)(VerifyProgress { phase: "pointers", done });
    }
}

async fn check_pointer(
    archive: Arc<Archive>,
    pointer: Pointer,
    latest: DateTime<Utc>,
) -> Result<Result<Pmid, Problem>, VerifyError> {
    let pmid = pointer.pmid;
    let address = pointer.address().address.ok();
    let key = archive.layout().record_again(pmid, address.as_ref());
    let problem = |kind, detail: &str| Ok(Err(Problem::of(kind, pmid, detail)));
    let read = match archive.object(&key, None).await {
        Ok(object) => archive.decode_hashed(&key, &object.bytes).map(|read| (read, object.version)),
        Err(error) => Err(error.into()),
    };
    match read {
        Ok(((envelope, content_hash), version)) if Some(&version) == address.as_ref().map(Address::version) => {
            if content_hash != pointer.content_hash || envelope.pmid != pmid {
                problem("hash_mismatch", "the object does not contain the payload that its pointer records")
            } else if pointer.is_ahead {
                problem("future_as_of", &format!("the pointer is as of a time in the future: {}", pointer.order.as_of))
            } else if pointer.is_behind(&envelope.order.not_after(latest, envelope.fetched_at)) {
                problem("order_mismatch", "the order of the pointer does not match its object")
            } else {
                Ok(Ok(pmid))
            }
        }
        Ok((_, version)) => {
            let address = archive.uri(&key, &version);
            problem("not_newest", &format!("the newest object is not the one the pointer names: {address}"))
        }
        Err(newer @ ReadError::Newer { .. }) => problem("newer_object", &newer.to_string()),
        Err(ReadError::Damaged { source, .. }) => problem("damaged_object", &chain(&source)),
        Err(ReadError::Store(StoreError::NotFound(_))) => problem("missing_object", &pointer.s3_uri),
        Err(ReadError::Store(error)) if is_alone(&archive).await => problem("unreadable_object", &chain(&error)),
        Err(ReadError::Store(error)) => Err(error.into()),
    }
}

/// Whether an object that cannot be read is an isolated case: its store is reachable.
pub(super) async fn is_alone(archive: &Archive) -> bool {
    archive.store().check().await.is_ok()
}

async fn check_history(
    db: &PgPool,
    archive: &Arc<Archive>,
    run: &VerifyRun<'_>,
    sound: &PmidSet,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let mut after = (String::new(), String::new());
    let mut done = 0;
    loop {
        let page = records::history(db, (&after.0, &after.1), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.pmid.clone(), last.content_hash.clone());
        done += page.len() as u64;
        report.history_rows += i64::try_from(page.len()).unwrap_or(0);
        let mut checks = Vec::new();
        for row in page {
            let Ok(pmid) = Pmid::parse(&row.pmid) else {
                let detail = "the PMID of the history row is not valid".to_owned();
                report.add(Problem { kind: "bad_row", pmid: Some(row.pmid), detail });
                continue;
            };
            // The payload of a pointer whose object was read already.
            if run.verified.contains(pmid) || (row.is_pointer && sound.contains(pmid)) {
                continue;
            }
            checks.push(check_history_row(archive.clone(), pmid, row));
        }
        let mut checks = side_by_side(checks);
        while let Some(checked) = checks.next().await {
            if let Some(problem) = checked? {
                report.add(problem);
            }
        }
        (run.on_progress)(VerifyProgress { phase: "history rows", done });
    }
}

async fn check_history_row(archive: Arc<Archive>, pmid: Pmid, row: HistoryRow) -> Result<Option<Problem>, VerifyError> {
    match archive.envelope(pmid, &StoredPayload::of_row(&row.s3_uri, Some(&row.content_hash))).await {
        Ok(_) => Ok(None),
        Err(ReadError::Damaged { source: EnvelopeError::OtherPayload, .. }) => {
            Ok(Some(Problem::of("history_mismatch", pmid, "the version contains another payload")))
        }
        Err(newer @ ReadError::Newer { .. }) => Ok(Some(Problem::of("history_newer", pmid, newer.to_string()))),
        Err(ReadError::Damaged { .. }) => Ok(Some(Problem::of("history_damaged", pmid, row.s3_uri.clone()))),
        Err(ReadError::Store(StoreError::NotFound(_))) => {
            Ok(Some(Problem::of("history_missing", pmid, row.s3_uri.clone())))
        }
        Err(ReadError::Store(error)) if is_alone(&archive).await => {
            Ok(Some(Problem::of("history_unreadable", pmid, chain(&error))))
        }
        Err(ReadError::Store(error)) => Err(error.into()),
    }
}
