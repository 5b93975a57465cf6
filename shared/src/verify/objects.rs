//! Checks whether a row names every version of every object under a record key.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::PgPool;

use super::assess::{Assessor, Verdict};
use super::check::is_alone;
use super::report::{Problem, Report};
use super::{CONCURRENT_READS, PAGE, VerifyError, VerifyProgress, VerifyRun};
use crate::archive::{Address, Archive, Key, StoreError, VersionId};
use crate::core::{JobId, Pmid, Sha256, counted};
use crate::records::{self, Pointer};

/// Reports objects without a pointer, whose payload no reader finds, and versions that this archive did not write.
pub(super) async fn check_objects(
    db: &PgPool,
    archive: &Archive,
    run: &VerifyRun<'_>,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let mut after = None;
    let mut done = 0;
    let limit = usize::try_from(PAGE).unwrap_or(1000);
    loop {
        let page = archive.store().list_versions(&archive.layout().records(), after.as_ref(), limit).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        let mut listed: Vec<(Pmid, &Key, &[VersionId])> = Vec::with_capacity(page.len());
        for (key, versions) in &page {
            match archive.layout().pmid_of(key) {
                Some(pmid) => listed.push((pmid, key, versions)),
                None => report.add(Problem {
                    kind: "foreign_object",
                    pmid: None,
                    detail: format!("{key} is not a record key"),
                }),
            }
        }
        report.objects += i64::try_from(listed.len()).unwrap_or(0);
        let pmids: Vec<Pmid> = listed.iter().map(|(pmid, ..)| *pmid).collect();
        let known = records::lookup(db, &pmids).await?;
        // Most records have one version, which the pointer names: no other rows are read for those.
        listed.retain(|(pmid, _, versions)| !versions.iter().all(|version| is_pointed(known.get(pmid), version)));
        if !listed.is_empty() {
            check_versions(db, archive, &known, listed, report).await?;
        }
        done += page.len() as u64;
        (run.on_progress)(VerifyProgress { phase: "objects", done });
    }
}

fn is_pointed(pointer: Option<&Pointer>, version: &VersionId) -> bool {
    pointer.and_then(|pointer| Address::version_in(&pointer.s3_uri)).is_some_and(|pointed| pointed == *version)
}

/// Checks the versions of records whose pointer does not name all of them.
async fn check_versions(
    db: &PgPool,
    archive: &Archive,
    known: &HashMap<Pmid, Pointer>,
    listed: Vec<(Pmid, &Key, &[VersionId])>,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let pmids: Vec<Pmid> = listed.iter().map(|(pmid, ..)| *pmid).collect();
    let assessor = Assessor::of(db, &pmids, false).await?;
    let mut reads = Vec::new();
    let mut orphans = Vec::new();
    for (pmid, key, versions) in listed {
        if known.contains_key(&pmid) {
            let unknown = versions.iter().filter(|version| !assessor.knows(pmid, version));
            reads.extend(unknown.map(|version| assessed(archive, &assessor, key, pmid, version)));
        } else {
            let versions: Vec<_> = versions.iter().filter(|version| !assessor.is_aside(pmid, version)).collect();
            if !versions.is_empty() {
                orphans.push((pmid, key, versions));
            }
        }
    }
    let mut reads = stream::iter(reads).buffered(CONCURRENT_READS);
    while let Some(problem) = reads.try_next().await? {
        if let Some(problem) = problem {
            report.add(problem);
        }
    }
    check_orphans(db, archive, orphans, report).await
}

/// Checks objects under the keys of records without a pointer. Those that a job has stored, not committed, are counted.
async fn check_orphans(
    db: &PgPool,
    archive: &Archive,
    orphans: Vec<(Pmid, &Key, Vec<&VersionId>)>,
    report: &mut Report,
) -> Result<(), VerifyError> {
    if orphans.is_empty() {
        return Ok(());
    }
    let pmids: Vec<Pmid> = orphans.iter().map(|(pmid, ..)| *pmid).collect();
    let unfinished = records::unfinished(db, &pmids).await?;
    // Read after the intents: the commit that deletes an intent writes the pointer, which is then found here.
    let known = records::lookup(db, &pmids).await?;
    let orphans = orphans.into_iter().filter(|(pmid, ..)| !known.contains_key(pmid));
    let named: HashSet<Pmid> = unfinished.keys().map(|(pmid, _)| *pmid).collect();
    let reads =
        orphans.map(|(pmid, key, versions)| orphan(archive, &unfinished, named.contains(&pmid), pmid, key, versions));
    let mut reads = stream::iter(reads).buffered(CONCURRENT_READS);
    while let Some(orphan) = reads.try_next().await? {
        match orphan {
            Orphan::Problem(problem) => report.add(problem),
            Orphan::Unfinished(job) => *report.unfinished.entry(job).or_default() += 1,
            Orphan::Gone => {}
        }
    }
    Ok(())
}

/// The result for an object without a pointer.
enum Orphan {
    Problem(Problem),
    Unfinished(JobId),
    /// It no longer exists.
    Gone,
}

async fn orphan(
    archive: &Archive,
    unfinished: &HashMap<(Pmid, Vec<u8>), JobId>,
    is_named: bool,
    pmid: Pmid,
    key: &Key,
    versions: Vec<&VersionId>,
) -> Result<Orphan, VerifyError> {
    let mut orphan = Orphan::Gone;
    for version in &versions {
        let bytes = if is_named {
            match archive.object(key, Some(version)).await {
                Ok(object) => Some(Sha256::of(&object.bytes)),
                Err(StoreError::NotFound(_)) => continue,
                Err(error) if error.is_bad_object() => None,
                Err(_) if is_alone(archive).await => None,
                Err(error) => return Err(error.into()),
            }
        } else {
            None
        };
        let job = bytes.and_then(|bytes| unfinished.get(&(pmid, bytes.as_bytes().to_vec())));
        let Some(job) = job else {
            let others = match versions.len() - 1 {
                0 => String::new(),
                n => format!(" and {}", counted(n, "other version")),
            };
            let detail = format!("an object without a pointer: {}{others}", archive.uri(key, version));
            return Ok(Orphan::Problem(Problem::of("orphan_object", pmid, detail)));
        };
        orphan = Orphan::Unfinished(*job);
    }
    Ok(orphan)
}

/// What is wrong with a version that no row names; none if an intent names it: its row is not committed yet.
async fn assessed(
    archive: &Archive,
    assessor: &Assessor,
    key: &Key,
    pmid: Pmid,
    version: &VersionId,
) -> Result<Option<Problem>, VerifyError> {
    let (bytes, read) = match archive.object(key, Some(version)).await {
        Ok(object) => (Some(Sha256::of(&object.bytes)), archive.decode(key, &object.bytes)),
        Err(error) if error.is_bad_object() => (None, Err(error.into())),
        // Deleted since it was listed.
        Err(StoreError::NotFound(_)) => return Ok(None),
        // If it is that of the pointer, the check of pointers has reported it.
        Err(_) if is_alone(archive).await => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let address = archive.uri(key, version);
    Ok(match assessor.assess(pmid, version, bytes, read) {
        Verdict::Own(_) | Verdict::Damaged | Verdict::Aside => None,
        Verdict::Foreign(_, reason) => Some(Problem::of("unknown_object", pmid, format!("{address}: {reason}"))),
        Verdict::Newer(reason) => Some(Problem::of("newer_object", pmid, format!("{address}: {reason}"))),
    })
}
