//! Store the objects of a prepared batch and return what is to be committed.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::Origin;
use super::prepare::{Prepared, PreparedDraft};
use super::rows::{PubmedRows, Stored};
use super::versions;
use crate::archive::{Books, Draft, Names, PutOutcome, ReadError, VersionId};
use crate::ingest::{Engine, RecordOutcome, Rejected, UnitContext, UnitError};
use crate::pubmed::IntegrityNote;
use crate::records::{self, Accepted, Arrived, PointerStamp, Whole};
use crate::words::{Outcome, Pmid, Reason, Sha256, SkipReason, UnitId};

/// Stores the objects of prepared batches (distinct PMIDs) together, and returns for each what is to be
/// committed: together, or in this order.
pub async fn store(context: &UnitContext, prepared: Vec<Prepared>) -> Result<Vec<Stored>, UnitError> {
    let engine = &context.engine;
    let mut batches = Vec::with_capacity(prepared.len());
    for mut one in prepared {
        for bad in std::mem::take(&mut one.bad) {
            let arrived = Arrived {
                api: one.origin.source.api.clone(),
                as_of: Some(one.origin.as_of),
                file_number: one.origin.file_number,
                position: bad.position,
            };
            let outcome = &mut one.outcomes[bad.index];
            let rejected = Rejected {
                n: bad.n,
                key: &outcome.key,
                source: &one.origin.source.endpoint,
                reason: &bad.reason,
                bytes: &bad.bytes,
                source_metadata: arrived.write(),
            };
            let uri = context.lease.quarantine(engine, &rejected).await?;
            let (pmid, reason) = (&outcome.key.id, &bad.reason);
            tracing::warn!(pmid, s3_uri = uri, status = "failed", reason, "a record was quarantined");
            outcome.uri = Some(uri);
        }
        batches.push(one);
    }
    store_of(engine, Some(context.lease.unit), batches).await
}

/// Stores the objects of prepared batches that hold nothing to put aside, for no unit.
pub async fn store_records(engine: &Engine, prepared: Vec<Prepared>) -> Result<Vec<Stored>, UnitError> {
    store_of(engine, None, prepared).await
}

async fn store_of(engine: &Engine, unit: Option<UnitId>, prepared: Vec<Prepared>) -> Result<Vec<Stored>, UnitError> {
    // Committed before anything is stored: what no intent names is never taken for the archive's own.
    let unnamed = prepared.iter().filter(|one| one.intent.is_none()).flat_map(|one| &one.drafts);
    let unnamed: Vec<&Draft> = unnamed.map(|one| &one.draft).collect();
    let named_last = records::intend(&engine.db, unit, &unnamed).await?;
    let mut drafts = Vec::new();
    let mut batches = Vec::new();
    for Prepared { outcomes, drafts: own, intent, bad: _, found_again, advances, arrivals, fetched_at, origin } in
        prepared
    {
        let mut at = Vec::with_capacity(own.len());
        for PreparedDraft { index, draft, expected, integrity } in own {
            at.push((index, expected, integrity));
            drafts.push(draft);
        }
        let intents = intent.into_iter().collect();
        let rows = PubmedRows { advances, found_again, intents, ..PubmedRows::default() };
        batches.push((at, arrivals, fetched_at, origin, Stored { outcomes, rows }));
    }
    crate::words::crash::point("before_put");
    let outcomes = engine.archive.put_records(&drafts, &Rows(&engine.db)).await;
    let mut stored = drafts.iter().zip(outcomes);
    let mut returned = Vec::with_capacity(batches.len());
    for (at, arrivals, fetched_at, origin, mut batch) in batches {
        for ((index, expected, integrity), (draft, outcome)) in at.into_iter().zip(&mut stored) {
            let outcome = match outcome? {
                PutOutcome::Newer(why) => {
                    refuse(&mut batch.outcomes[index], &why);
                    continue;
                }
                PutOutcome::Stored(at, superseded) => {
                    let address = |version| (draft.pmid, engine.archive.uri(&draft.key, version));
                    batch.rows.superseded.extend(superseded.iter().map(address));
                    PutOutcome::Stored(at, Vec::new())
                }
                adopted @ PutOutcome::Adopted(..) => adopted,
            };
            let etag = origin.source.http_etag.as_deref();
            let accepted = accepted(engine, draft, outcome, fetched_at, etag, expected, integrity);
            let Some(accepted) = accepted else { continue };
            settle(&mut batch.outcomes[index], draft, &accepted);
            batch.rows.accepts.push(accepted);
        }
        for (index, arrival) in arrivals {
            versions::apply(engine, unit, &origin.source, fetched_at, arrival).await?.settle(&mut batch, index);
        }
        batch.rows.whole = whole(&batch.outcomes, &origin);
        returned.push(batch);
    }
    // It names objects of all of them: it goes with the one that is committed last.
    if let Some(last) = returned.last_mut() {
        last.rows.intents.extend(named_last);
    }
    Ok(returned)
}

/// The database as the books in which the archive's objects are looked up.
pub(super) struct Rows<'a>(pub &'a PgPool);

impl Books for Rows<'_> {
    type Error = UnitError;

    async fn names(&self, pmid: Pmid, version: &VersionId, bytes: Sha256) -> Result<Names, UnitError> {
        Ok(records::names(self.0, pmid, version, bytes).await?)
    }
}

/// The outcome of a record whose key holds an object of a newer program.
fn refuse(outcome: &mut RecordOutcome, why: &ReadError) {
    outcome.outcome = Outcome::Failed;
    outcome.uri = None;
    outcome.reason = Some(Reason::Fault(why.to_string()));
}

/// The records of a batch that came whole and are not older than what is archived.
fn whole(outcomes: &[RecordOutcome], origin: &Origin) -> Vec<Whole> {
    let is_whole = |one: &&RecordOutcome| match one.outcome {
        Outcome::Archived | Outcome::Deleted => true,
        Outcome::Skipped => one.reason != Some(Reason::Skip(SkipReason::Older)),
        Outcome::Failed | Outcome::Missing => false,
    };
    let of = |pmid| Whole { pmid, as_of: origin.as_of, file_number: origin.file_number };
    outcomes.iter().filter(is_whole).filter_map(|one| records::pmid(&one.key).map(of)).collect()
}

/// The outcome of a record once its object is stored, or another was found there.
fn settle(outcome: &mut RecordOutcome, draft: &Draft, accepted: &Accepted) {
    let newer = accepted.content_hash != draft.content_hash
        || (draft.content_hash.is_none() && !accepted.order.is_same_position(&draft.order));
    if newer {
        outcome.outcome = Outcome::Skipped;
        outcome.reason = Some(Reason::Skip(SkipReason::Older));
    }
    outcome.hash = accepted.content_hash;
    outcome.uri = Some(accepted.s3_uri.clone());
}

/// What is in the store now: the draft, or the same or a newer payload that lay there already.
fn accepted(
    engine: &Engine,
    draft: &Draft,
    outcome: PutOutcome,
    fetched_at: DateTime<Utc>,
    http_etag: Option<&str>,
    expected: Option<PointerStamp>,
    integrity: Option<IntegrityNote>,
) -> Option<Accepted> {
    Some(match outcome {
        PutOutcome::Newer(_) => return None,
        PutOutcome::Stored(at, _) => Accepted {
            pmid: draft.pmid,
            s3_uri: engine.archive.uri(&draft.key, &at.version),
            object_etag: Some(at.etag),
            content_hash: draft.content_hash,
            retracted: draft.retracted,
            integrity,
            fetched_at,
            api_etag: http_etag.map(str::to_owned),
            order: draft.order.clone(),
            seen: draft.seen,
            expected,
        },
        PutOutcome::Adopted(envelope, at) => {
            let integrity = envelope.payload.xml().map(IntegrityNote::of);
            Accepted {
                pmid: draft.pmid,
                s3_uri: engine.archive.uri(&draft.key, &at.version),
                object_etag: Some(at.etag),
                content_hash: envelope.content_hash(),
                retracted: integrity.as_ref().is_some_and(IntegrityNote::is_retracted),
                integrity,
                fetched_at: envelope.fetched_at,
                api_etag: envelope.source.http_etag.clone(),
                seen: draft.seen.max(envelope.order.rank()),
                order: envelope.order,
                expected,
            }
        }
    })
}
