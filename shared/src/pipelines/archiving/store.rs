//! Store the objects of a prepared batch and answer what is to be committed.

use chrono::{DateTime, Utc};

use super::{Origin, Prepared};
use crate::archive::{Draft, PutOutcome};
use crate::ingest::{Batch, Engine, Line, Rejected, UnitContext, UnitError, Whole};
use crate::pubmed::is_retracted;
use crate::records::Accepted;
use crate::words::{Outcome, SkipReason};

/// Stores the objects of prepared batches (distinct PMIDs) together, and answers for each what is to be
/// committed. What is answered has neither cursor nor work yet.
pub async fn store(context: &UnitContext, prepared: Vec<Prepared>) -> Result<Vec<Batch>, UnitError> {
    let engine = &context.engine;
    let mut drafts = Vec::new();
    let mut batches = Vec::new();
    for Prepared { mut lines, drafts: own, bad, found_again, fetched_at, origin } in prepared {
        for bad in &bad {
            let rejected = Rejected {
                n: bad.n,
                pmid: bad.pmid,
                api: &origin.source.api,
                source: &origin.source.endpoint,
                reason: &bad.reason,
                bytes: &bad.bytes,
                as_of: origin.as_of,
                file_number: origin.file_number,
                position: bad.position,
            };
            lines[bad.line].uri = Some(context.lease.quarantine(engine, &rejected).await?);
        }
        let (at, own): (Vec<usize>, Vec<_>) = own.into_iter().unzip();
        drafts.extend(own);
        batches.push((at, fetched_at, origin, Batch { lines, found_again, ..Batch::default() }));
    }
    crate::words::crash::point("before_put");
    let outcomes = engine.archive.put_records(&drafts).await;
    let mut stored = drafts.iter().zip(outcomes);
    let mut answered = Vec::with_capacity(batches.len());
    for (at, fetched_at, origin, mut batch) in batches {
        for (line, (draft, outcome)) in at.into_iter().zip(&mut stored) {
            let accepted = accepted(engine, draft, outcome?, fetched_at, origin.source.http_etag.as_deref());
            settle(&mut batch.lines[line], draft, &accepted);
            batch.accepts.push(accepted);
        }
        batch.whole = whole(&batch.lines, &origin);
        answered.push(batch);
    }
    Ok(answered)
}

/// The records of a batch that came whole and are not older than what is archived.
fn whole(lines: &[Line], origin: &Origin) -> Vec<Whole> {
    let older = SkipReason::Older.as_str();
    let is_whole = |line: &&Line| match line.outcome {
        Outcome::Archived | Outcome::Deleted => true,
        Outcome::Skipped => line.reason.as_deref() != older,
        Outcome::Failed | Outcome::Missing => false,
    };
    let of = |pmid| Whole { pmid, as_of: origin.as_of, file_number: origin.file_number };
    lines.iter().filter(is_whole).filter_map(|line| line.pmid.map(of)).collect()
}

/// What a record's line says once its object is stored, or another was found there.
fn settle(line: &mut Line, draft: &Draft, accepted: &Accepted) {
    let newer = accepted.content_hash != draft.content_hash
        || (draft.content_hash.is_none() && !accepted.order.is_same_place(&draft.order));
    if newer {
        line.outcome = Outcome::Skipped;
        line.reason = SkipReason::Older.as_str().map(str::to_owned);
    }
    line.hash = accepted.content_hash;
    line.uri = Some(accepted.s3_uri.clone());
}

/// Stores one draft outside of any unit: what an operator does.
pub async fn put_draft(engine: &Engine, draft: &Draft, fetched_at: DateTime<Utc>) -> Result<Accepted, UnitError> {
    let outcome = engine.archive.put_records(std::slice::from_ref(draft)).await.pop();
    Ok(accepted(engine, draft, outcome.expect("one draft, one answer")?, fetched_at, None))
}

/// What is in the store now: the draft, or the same or a newer payload that lay there already.
fn accepted(
    engine: &Engine,
    draft: &Draft,
    outcome: PutOutcome,
    fetched_at: DateTime<Utc>,
    http_etag: Option<&str>,
) -> Accepted {
    match outcome {
        PutOutcome::Stored(at) => Accepted {
            pmid: draft.pmid,
            s3_uri: engine.archive.uri(&draft.key, &at.version),
            object_etag: at.etag.0,
            content_hash: draft.content_hash,
            retracted: draft.retracted,
            fetched_at,
            api_etag: http_etag.map(str::to_owned),
            order: draft.order.clone(),
        },
        PutOutcome::Adopted(envelope, at) => Accepted {
            pmid: draft.pmid,
            s3_uri: engine.archive.uri(&draft.key, &at.version),
            object_etag: at.etag.0,
            content_hash: envelope.content_hash(),
            retracted: envelope.payload.xml().is_some_and(is_retracted),
            fetched_at: envelope.fetched_at,
            api_etag: envelope.source.http_etag.clone(),
            order: envelope.order.clone(),
        },
    }
}
