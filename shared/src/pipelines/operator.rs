//! What an operator does by hand to one record: take it out, or let a quarantined one in.

use chrono::{DateTime, TimeDelta, Utc};

use super::archiving;
use crate::archive::codec::{self, Encoder};
use crate::archive::{Compression, Draft, ETag, Source, envelope, uri};
use crate::db;
use crate::ingest::{self, Engine, Quarantined, UnitError};
use crate::pubmed::{Item, Splitter, identity, is_retracted};
use crate::records;
use crate::words::{ErrorCode, JobId, Pmid, RecordOrder, Sha256, UnitId, clock};

/// What a purge did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Purged {
    /// The record.
    pub pmid: Pmid,
    /// Address of the tombstone.
    pub s3_uri: String,
    /// Stored versions that were deleted.
    pub versions_deleted: usize,
}

/// Writes a tombstone as the newest version of a record, with the reason. With `versions`, deletes all
/// others: the one exception to "every stored version stays readable". Nothing if the archive never
/// had it.
pub async fn purge(
    engine: &Engine,
    pmid: Pmid,
    reason: &str,
    principal: &str,
    versions: bool,
) -> Result<Option<Purged>, UnitError> {
    let Some(pointer) = records::one(&engine.db, pmid).await? else { return Ok(None) };
    // By the clock that fetched records are dated by: one that is ahead would keep the record out until then.
    let now = db::clock::now(&engine.db).await?;
    let source = Source { api: "operator".to_owned(), endpoint: reason.to_owned(), http_status: 0, http_etag: None };
    let order = RecordOrder {
        version: pointer.order.version,
        date_revised: None,
        // A payload may be dated in the future; the purge is newer all the same.
        as_of: now.max(pointer.order.as_of + TimeDelta::microseconds(1)),
        file_number: 0,
        position: 0,
        deleted: true,
    };
    let key = engine.archive.layout().record_at(pmid, &pointer.s3_uri);
    let known = Some(ETag(pointer.object_etag.clone()));
    let draft = draft(engine, key, pmid, now, &source, order, None, known);
    // Listed beforehand: a version that somebody stores meanwhile is not for this purge to delete.
    let earlier = if versions { engine.archive.store().versions(&draft.key).await? } else { Vec::new() };
    let accepted = archiving::put_draft(engine, &draft, now).await?;
    // With the rows that point at what is about to be deleted, before it is: nothing ever dangles.
    let mut tx = db::begin(&engine.db).await?;
    let moved = records::accept(&mut tx, std::slice::from_ref(&accepted)).await?;
    if accepted.content_hash.is_some() || !moved.contains(&pmid) {
        tx.rollback().await?;
        let message = format!("PMID {pmid} was changed by somebody at the same moment: nothing was purged, try again");
        return Err(UnitError::Failed { code: ErrorCode::ArchiveError, message, retry: true });
    }
    let keep = uri::version_of(&accepted.s3_uri);
    let doomed: Vec<_> = earlier.iter().filter(|version| Some(*version) != keep.as_ref()).collect();
    records::record_purge(&mut tx, pmid, reason, principal, doomed.len()).await?;
    tx.commit().await?;
    for version in &doomed {
        engine.archive.store().delete_version(&draft.key, version).await?;
    }
    let deleted = doomed.len();
    Ok(Some(Purged { pmid, s3_uri: accepted.s3_uri, versions_deleted: deleted }))
}

/// What became of a quarantined record.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Retried {
    /// It is in the archive now, or a newer one was there already.
    Archived {
        /// The record.
        pmid: Pmid,
    },
    /// It still cannot be archived.
    StillBad {
        /// Its PMID, if that can be read: `sync --pmids` fetches it anew.
        pmid: Option<String>,
        /// Why.
        reason: String,
    },
}

/// Tries a quarantined record again with this program and its limits, in the place of the order where
/// it stood, and takes it off the list when it is archived.
pub async fn retry_quarantined(engine: &Engine, entry: &Quarantined) -> Result<Retried, UnitError> {
    let bytes = quarantined_bytes(engine, entry).await?;
    let still = async |reason: String| {
        if let Some(pmid) = entry.pmid.as_deref().and_then(|pmid| Pmid::parse(pmid).ok())
            && let Some(as_of) = entry.as_of
            && records::one(&engine.db, pmid).await?.is_some_and(|pointer| pointer.order.as_of > as_of)
        {
            // A later state of it came since, and was archived.
            ingest::release(&engine.db, entry.id).await?;
            return Ok(Retried::Archived { pmid });
        }
        Ok(Retried::StillBad { pmid: entry.pmid.clone(), reason })
    };
    if bytes.starts_with(b"<Pubmed") && !bytes.ends_with(b"Article>") {
        return still("only its first bytes were kept".to_owned()).await;
    }
    let set = [b"<PubmedArticleSet>", &bytes[..], b"</PubmedArticleSet>"].concat();
    let mut splitter = Splitter::new(&set[..], engine.archive.max_record_bytes());
    let record = match splitter.next() {
        Ok(Some(Item::Record { bytes, defect: None })) => bytes.to_vec(),
        Ok(Some(Item::Record { defect: Some(defect), .. })) => return still(defect.to_string()).await,
        Ok(_) => return still("no record".to_owned()).await,
        Err(error) => return still(crate::words::telemetry::chain(&error)).await,
    };
    let (identity, xml) = match identity::of_record(&record) {
        Ok(found) => found,
        Err(error) => return still(error.to_string()).await,
    };
    let now = clock::now();
    let source = Source { api: entry.api.clone(), endpoint: entry.source.clone(), http_status: 0, http_etag: None };
    let order = RecordOrder {
        version: identity.version,
        date_revised: identity.date_revised,
        as_of: entry.as_of.unwrap_or(entry.created_at),
        file_number: entry.file_number,
        position: entry.position,
        deleted: false,
    };
    let pmid = identity.pmid;
    let pointer = records::one(&engine.db, pmid).await?;
    let hash = Sha256::of(xml.as_bytes());
    let is_settled = pointer
        .as_ref()
        .is_some_and(|pointer| pointer.content_hash == Some(hash) || order.is_older_than(&pointer.order));
    if !is_settled {
        let layout = engine.archive.layout();
        let key =
            pointer.as_ref().map_or_else(|| layout.record(pmid), |pointer| layout.record_at(pmid, &pointer.s3_uri));
        let known = pointer.map(|pointer| ETag(pointer.object_etag));
        let draft = draft(engine, key, pmid, now, &source, order, Some((xml, hash)), known);
        let accepted = archiving::put_draft(engine, &draft, now).await?;
        let mut tx = db::begin(&engine.db).await?;
        records::accept(&mut tx, std::slice::from_ref(&accepted)).await?;
        tx.commit().await?;
    }
    ingest::release(&engine.db, entry.id).await?;
    Ok(Retried::Archived { pmid })
}

/// The bytes of a quarantined record.
pub async fn quarantined_bytes(engine: &Engine, entry: &Quarantined) -> Result<Vec<u8>, UnitError> {
    let key = engine.archive.layout().quarantine(JobId(entry.job_id), UnitId(entry.unit_id), entry.n);
    let object = engine.archive.store().get(&key, None).await?;
    codec::decode(&object.bytes, engine.archive.max_record_bytes().saturating_add(1 << 20))
        .map_err(|error| UnitError::permanent(ErrorCode::ArchiveError, error.to_string()))
}

#[expect(clippy::too_many_arguments, reason = "a draft has that many parts")]
fn draft(
    engine: &Engine,
    key: crate::archive::Key,
    pmid: Pmid,
    fetched_at: DateTime<Utc>,
    source: &Source,
    order: RecordOrder,
    xml: Option<(&str, Sha256)>,
    known: Option<ETag>,
) -> Draft {
    let mut json = Vec::new();
    envelope::write_json(&mut json, pmid, fetched_at, source, &order, xml);
    let compression = Compression::of_name(key.as_str()).unwrap_or(engine.archive.layout().compression());
    let bytes = Encoder::new(compression).encode(&json);
    let retracted = xml.is_some_and(|(xml, _)| is_retracted(xml));
    Draft { pmid, key, bytes, content_hash: xml.map(|(_, hash)| hash), retracted, order, known }
}
