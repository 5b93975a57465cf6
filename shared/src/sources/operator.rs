//! Manual operations on one record: purge it, or archive a quarantined one.

use chrono::TimeDelta;

use super::store_records::{self, Arrival, Origin, RawBatch, RawRecord, SliceKind, StoredBatch};
use crate::archive::{Address, Source, codec};
use crate::core::{EVERY_VERSION, ErrorCode, JobId, Outcome, Pmid, RecordOrder, UnitId};
use crate::db;
use crate::ingest::{self, Engine, Quarantined, RecordOutcome, UnitError};
use crate::projections;
use crate::pubmed::{Item, Splitter, identity};
use crate::records::{self, Arrived};

/// The source of objects that an operator wrote.
pub const OPERATOR: &str = "operator";

/// The result of a purge.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Purged {
    pub pmid: Pmid,
    /// Address of the tombstone.
    pub s3_uri: String,
    /// Stored versions that were deleted.
    pub versions_deleted: usize,
}

/// Writes a tombstone with the reason as the newest version of a record. With `versions`, deletes all others, and their
/// text in rows: the one exception to "every stored version stays readable". None if the archive never had the record.
pub async fn purge(
    engine: &Engine,
    pmid: Pmid,
    reason: &str,
    principal: &str,
    versions: bool,
) -> Result<Option<Purged>, UnitError> {
    let found = records::lookup_to_decide(&engine.db, &[pmid]).await?.remove(&pmid);
    let Some(pointer) = found else { return Ok(None) };
    // Uses the clock that dates fetched records: if this one were ahead, the record could not return until then.
    let now = db::clock::now(&engine.db).await?;
    let source = Source { api: OPERATOR.to_owned(), endpoint: reason.to_owned(), http_status: 0, http_etag: None };
    let order = RecordOrder {
        version: EVERY_VERSION,
        date_revised: None,
        // A payload may be dated in the future; the purge must still be newer.
        as_of: now.max(pointer.order.as_of + TimeDelta::microseconds(1)),
        file_number: 0,
        position: 0,
        file_id: None,
        deleted: true,
    };
    let key = engine.archive.layout().record_again(pmid, pointer.address().address.as_ref().ok());
    // Listed beforehand: a version that another worker stores in the meantime must not be deleted.
    let earlier = if versions { engine.archive.store().versions(&key).await? } else { Vec::new() };
    let key_of = records::key(Some(pmid));
    let outcome = RecordOutcome { key: key_of, outcome: Outcome::Skipped, hash: None, uri: None, reason: None };
    let mut batch = StoredBatch { outcomes: vec![outcome], ..StoredBatch::default() };
    let arrival = Arrival { pmid, order, hash: None, xml: None };
    store_records::apply(engine, None, &source, now, arrival).await?.apply_outcome(&mut batch, 0);
    let tombstone = batch.outcomes[0].uri.clone().unwrap_or_default();
    let is_live = batch.rows.versions.iter().any(|change| change.versions.newest().is_some());
    // Rows that refer to versions are deleted before the versions, so that no reference dangles.
    let mut tx = db::begin(&engine.db).await?;
    records::forget_intents(&mut tx, &batch.rows.intents).await?;
    records::put_aside_own(&mut tx, &batch.rows.superseded).await?;
    let undecided = records::accept_versions(&mut tx, &batch.rows.versions).await?;
    if is_live || !undecided.is_empty() {
        tx.rollback().await?;
        let message = format!("PMID {pmid} was changed at the same time: nothing was purged; try again");
        return Err(UnitError::Failed { code: ErrorCode::ArchiveError, message, retry: true });
    }
    let keep = Address::version_in(&tombstone);
    let doomed: Vec<_> = earlier.iter().filter(|version| Some(*version) != keep.as_ref()).collect();
    records::record_purge(&mut tx, pmid, reason, principal, versions.then_some(doomed.len())).await?;
    if versions {
        projections::forget(&mut tx, records::PUBMED.name(), &pmid.to_string()).await?;
    }
    tx.commit().await?;
    for version in &doomed {
        engine.archive.store().delete_version(&key, version).await?;
    }
    let deleted = doomed.len();
    Ok(Some(Purged { pmid, s3_uri: tombstone, versions_deleted: deleted }))
}

/// A quarantined record for display: a PubMed record with its PMID, and how it arrived.
#[derive(Clone, Debug, serde::Serialize)]
pub struct QuarantinedRecord<'a> {
    /// Fields that every record has.
    #[serde(flatten)]
    pub entry: &'a Quarantined,
    /// Its PMID, if it could be read.
    pub pmid: Option<&'a str>,
    /// How it arrived.
    #[serde(flatten)]
    pub arrived: Option<Arrived>,
}

impl<'a> QuarantinedRecord<'a> {
    /// From an entry of the list.
    pub fn of(entry: &'a Quarantined) -> Self {
        let arrived = arrived(entry).ok();
        Self { entry, pmid: entry.record_id.as_deref().filter(|_| arrived.is_some()), arrived }
    }
}

/// How a PubMed record arrived.
fn arrived(entry: &Quarantined) -> Result<Arrived, UnitError> {
    let refused = |why: String| UnitError::permanent(ErrorCode::ValidationError, why);
    if entry.record_type != records::PUBMED.name() {
        return Err(refused(format!("quarantined record {} is not one of PubMed", entry.id)));
    }
    Arrived::read(&entry.source_metadata)
        .map_err(|error| refused(format!("the row of quarantined record {} cannot be read: {error}", entry.id)))
}

/// The result of retrying a quarantined record.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Retried {
    /// It is archived now, or a newer one was archived already.
    Archived { pmid: Pmid },
    /// It still cannot be archived.
    StillBad {
        /// Its PMID, if that can be read: `sync --pmids` fetches the record again.
        pmid: Option<String>,
        reason: String,
    },
}

/// Tries a quarantined record again with this program and its limits, at its original position in the order, and
/// removes it from the list when it is archived.
pub async fn retry_quarantined(engine: &Engine, entry: &Quarantined) -> Result<Retried, UnitError> {
    let bytes = quarantined_bytes(engine, entry).await?;
    let arrived = arrived(entry)?;
    let still = async |reason: String| {
        if let Some(pmid) = entry.record_id.as_deref().and_then(|pmid| Pmid::parse(pmid).ok())
            && let Some(as_of) = arrived.as_of
            && records::one(&engine.db, pmid).await?.is_some_and(|pointer| pointer.order.as_of > as_of)
        {
            // A later state of it has arrived since, and was archived.
            ingest::release(&engine.db, entry.id).await?;
            return Ok(Retried::Archived { pmid });
        }
        Ok(Retried::StillBad { pmid: entry.record_id.clone(), reason })
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
        Err(error) => return still(crate::observability::chain(&error)).await,
    };
    let (identity, xml) = match identity::of_record(&record) {
        Ok(found) => found,
        Err(error) => return still(error.to_string()).await,
    };
    let pmid = identity.pmid;
    let source = Source { api: arrived.api, endpoint: entry.source.clone(), http_status: 0, http_etag: None };
    let as_of = arrived.as_of.unwrap_or(entry.created_at);
    let origin = Origin { source, as_of, file_number: arrived.file_number, file_id: None };
    let item = RawRecord {
        range: 0..xml.len(),
        n: arrived.position,
        kind: SliceKind::Record(identity),
        newest_revision: None,
    };
    let raw = RawBatch { bytes: xml.as_bytes().to_vec(), items: vec![item] };
    let prepared = store_records::prepare(engine, origin, &raw).await?;
    let batch = store_records::store_without_unit(engine, vec![prepared]).await?.pop().expect("one batch, one result");
    let mut tx = db::begin(&engine.db).await?;
    records::forget_intents(&mut tx, &batch.rows.intents).await?;
    records::put_aside_own(&mut tx, &batch.rows.superseded).await?;
    let mut undecided = records::accept(&mut tx, &batch.rows.accepts).await?.undecided;
    undecided.extend(records::accept_versions(&mut tx, &batch.rows.versions).await?);
    if !undecided.is_empty() {
        tx.rollback().await?;
        let message = format!("PMID {pmid} was changed at the same time: try again");
        return Err(UnitError::Failed { code: ErrorCode::ArchiveError, message, retry: true });
    }
    tx.commit().await?;
    ingest::release(&engine.db, entry.id).await?;
    Ok(Retried::Archived { pmid })
}

/// The bytes of a quarantined record.
pub async fn quarantined_bytes(engine: &Engine, entry: &Quarantined) -> Result<Vec<u8>, UnitError> {
    let key = engine.archive.layout().quarantine(JobId(entry.job_id), UnitId(entry.unit_id), entry.n);
    // The version that was stored with the row, not the current one.
    let max_bytes = engine.archive.max_record_bytes().saturating_add(1 << 20);
    let version = Address::version_in(&entry.uri);
    let object = engine.archive.store().get(&key, version.as_ref(), codec::max_stored_bytes(max_bytes)).await?;
    codec::decode(&object.bytes, max_bytes)
        .map_err(|error| UnitError::permanent(ErrorCode::ArchiveError, error.to_string()))
}
