//! Stores the objects of a prepared batch and returns what to commit.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::Origin;
use super::prepare::{PreparedObject, PreparedRecords};
use super::rows::{PubmedRows, StoredBatch};
use super::versions;
use crate::archive::{ObjectRegistry, ObjectStatus, PendingObject, PutOutcome, ReadError, VersionId};
use crate::core::{Outcome, Pmid, Reason, Sha256, SkipReason, UnitId};
use crate::ingest::{Engine, Lease, RecordOutcome, Rejected, UnitError};
use crate::pubmed::IntegrityNote;
use crate::records::{self, Arrived, PointerStamp, PointerUpdate, Whole};

/// Stores the objects of prepared batches (distinct PMIDs) together, and returns for each what to commit: together, or
/// in this order.
pub async fn store(
    engine: &Engine,
    lease: &Lease,
    prepared: Vec<PreparedRecords>,
) -> Result<Vec<StoredBatch>, UnitError> {
    let mut batches = Vec::with_capacity(prepared.len());
    for mut one in prepared {
        for record in std::mem::take(&mut one.rejected) {
            let arrived = Arrived {
                api: one.origin.source.api.clone(),
                as_of: Some(one.origin.as_of),
                file_number: one.origin.file_number,
                position: record.position,
            };
            let outcome = &mut one.outcomes[record.index];
            let rejected = Rejected {
                n: record.n,
                key: &outcome.key,
                source: &one.origin.source.endpoint,
                reason: &record.reason,
                bytes: &record.bytes,
                source_metadata: arrived.write(),
            };
            let uri = lease.quarantine(engine, &rejected).await?;
            let (pmid, reason) = (&outcome.key.id, &record.reason);
            tracing::warn!(pmid, s3_uri = uri, status = "failed", reason, "a record was quarantined");
            outcome.uri = Some(uri);
        }
        batches.push(one);
    }
    store_of(engine, Some(lease.unit), batches).await
}

/// Stores the objects of prepared batches without rejected records, for no unit.
pub async fn store_without_unit(
    engine: &Engine,
    prepared: Vec<PreparedRecords>,
) -> Result<Vec<StoredBatch>, UnitError> {
    store_of(engine, None, prepared).await
}

async fn store_of(
    engine: &Engine,
    unit: Option<UnitId>,
    prepared: Vec<PreparedRecords>,
) -> Result<Vec<StoredBatch>, UnitError> {
    // Committed before anything is stored: an object that no intent names is never treated as the archive's own.
    let unnamed = prepared.iter().filter(|one| one.intent.is_none()).flat_map(|one| &one.pending_objects);
    let unnamed: Vec<&PendingObject> = unnamed.map(|one| &one.pending).collect();
    let named_last = records::intend(&engine.db, unit, &unnamed).await?;
    let mut pending_objects = Vec::new();
    let mut batches = Vec::new();
    for PreparedRecords {
        outcomes,
        pending_objects: own,
        intent,
        rejected: _,
        reappeared,
        advances,
        arrivals,
        fetched_at,
        origin,
    } in prepared
    {
        let mut at = Vec::with_capacity(own.len());
        for PreparedObject { index, pending, expected, integrity } in own {
            at.push((index, expected, integrity));
            pending_objects.push(pending);
        }
        let intents = intent.into_iter().collect();
        let rows = PubmedRows { advances, reappeared, intents, ..PubmedRows::default() };
        batches.push((at, arrivals, fetched_at, origin, StoredBatch { outcomes, rows }));
    }
    crate::core::crash::point("before_put");
    let outcomes = engine.archive.put_records(&pending_objects, &DatabaseRegistry(&engine.db)).await;
    let mut stored = pending_objects.iter().zip(outcomes);
    let mut returned = Vec::with_capacity(batches.len());
    for (at, arrivals, fetched_at, origin, mut batch) in batches {
        for ((index, expected, integrity), (pending, outcome)) in at.into_iter().zip(&mut stored) {
            let outcome = match outcome? {
                PutOutcome::Newer(why) => {
                    refuse(&mut batch.outcomes[index], &why);
                    continue;
                }
                PutOutcome::Stored(at, superseded) => {
                    let address = |version| (pending.pmid, engine.archive.uri(&pending.key, version));
                    batch.rows.superseded.extend(superseded.iter().map(address));
                    PutOutcome::Stored(at, Vec::new())
                }
                adopted @ PutOutcome::Adopted(..) => adopted,
            };
            let etag = origin.source.http_etag.as_deref();
            let update = pointer_update(engine, pending, outcome, fetched_at, etag, expected, integrity);
            let Some(update) = update else { continue };
            apply_outcome(&mut batch.outcomes[index], pending, &update);
            batch.rows.accepts.push(update);
        }
        for (index, arrival) in arrivals {
            versions::apply(engine, unit, &origin.source, fetched_at, arrival).await?.apply_outcome(&mut batch, index);
        }
        batch.rows.whole = whole(&batch.outcomes, &origin);
        returned.push(batch);
    }
    // This intent names objects of all batches, so it belongs to the one that is committed last.
    if let Some(last) = returned.last_mut() {
        last.rows.intents.extend(named_last);
    }
    Ok(returned)
}

/// The database as the registry of the archive's objects.
pub(super) struct DatabaseRegistry<'a>(pub &'a PgPool);

impl ObjectRegistry for DatabaseRegistry<'_> {
    type Error = UnitError;

    async fn status(&self, pmid: Pmid, version: &VersionId, bytes: Sha256) -> Result<ObjectStatus, UnitError> {
        Ok(records::object_status(self.0, pmid, version, bytes).await?)
    }
}

/// The outcome of a record whose key holds an object of a newer program.
fn refuse(outcome: &mut RecordOutcome, why: &ReadError) {
    outcome.outcome = Outcome::Failed;
    outcome.uri = None;
    outcome.reason = Some(Reason::Fault(why.to_string()));
}

/// The records of a batch that arrived intact and are not older than what is archived.
fn whole(outcomes: &[RecordOutcome], origin: &Origin) -> Vec<Whole> {
    let is_whole = |one: &&RecordOutcome| match one.outcome {
        Outcome::Archived | Outcome::Deleted => true,
        Outcome::Skipped => one.reason != Some(Reason::Skip(SkipReason::Older)),
        Outcome::Failed | Outcome::Missing => false,
    };
    let of = |pmid| Whole { pmid, as_of: origin.as_of, file_number: origin.file_number };
    outcomes.iter().filter(is_whole).filter_map(|one| records::pmid(&one.key).map(of)).collect()
}

/// Sets the outcome of a record after its object was stored, or another one was found.
fn apply_outcome(outcome: &mut RecordOutcome, pending: &PendingObject, update: &PointerUpdate) {
    let newer = update.content_hash != pending.content_hash
        || (pending.content_hash.is_none() && !update.order.is_same_position(&pending.order));
    if newer {
        outcome.outcome = Outcome::Skipped;
        outcome.reason = Some(Reason::Skip(SkipReason::Older));
    }
    outcome.hash = update.content_hash;
    outcome.uri = Some(update.s3_uri.clone());
}

/// The current object in the store: the pending one, or the same or a newer payload that was stored already.
fn pointer_update(
    engine: &Engine,
    pending: &PendingObject,
    outcome: PutOutcome,
    fetched_at: DateTime<Utc>,
    http_etag: Option<&str>,
    expected: Option<PointerStamp>,
    integrity: Option<IntegrityNote>,
) -> Option<PointerUpdate> {
    Some(match outcome {
        PutOutcome::Newer(_) => return None,
        PutOutcome::Stored(at, _) => PointerUpdate {
            pmid: pending.pmid,
            s3_uri: engine.archive.uri(&pending.key, &at.version),
            object_etag: Some(at.etag),
            content_hash: pending.content_hash,
            retracted: pending.retracted,
            integrity,
            fetched_at,
            api_etag: http_etag.map(str::to_owned),
            order: pending.order.clone(),
            seen: pending.seen,
            expected,
        },
        PutOutcome::Adopted(envelope, at) => {
            let integrity = envelope.payload.xml().map(IntegrityNote::of);
            PointerUpdate {
                pmid: pending.pmid,
                s3_uri: engine.archive.uri(&pending.key, &at.version),
                object_etag: Some(at.etag),
                content_hash: envelope.content_hash(),
                retracted: integrity.as_ref().is_some_and(IntegrityNote::is_retracted),
                integrity,
                fetched_at: envelope.fetched_at,
                api_etag: envelope.source.http_etag.clone(),
                seen: pending.seen.max(envelope.order.rank()),
                order: envelope.order,
                expected,
            }
        }
    })
}
