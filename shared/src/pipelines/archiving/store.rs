//! Store the objects of a prepared batch and answer what is to be committed.

use chrono::{DateTime, Utc};

use super::Prepared;
use crate::archive::{Draft, PutOutcome};
use crate::ingest::{Batch, Engine, Rejected, UnitContext, UnitError};
use crate::records::Accepted;
use crate::words::{Outcome, SkipReason};

/// Stores a batch's objects. The batch that is answered has neither cursor nor work yet.
pub async fn store(context: &UnitContext, prepared: Prepared) -> Result<Batch, UnitError> {
    let Prepared { mut lines, drafts, bad, found_again, fetched_at, origin } = prepared;
    let engine = &context.engine;
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
    crate::words::crash::point("before_put");
    let (at, drafts): (Vec<usize>, Vec<_>) = drafts.into_iter().unzip();
    let outcomes = engine.archive.put_records(&drafts).await;
    let mut accepts = Vec::with_capacity(drafts.len());
    for ((line, draft), outcome) in at.into_iter().zip(&drafts).zip(outcomes) {
        let line = &mut lines[line];
        let accepted = accepted(engine, draft, outcome?, fetched_at, origin.source.http_etag.as_deref());
        let newer = accepted.content_hash != draft.content_hash
            || (draft.content_hash.is_none() && !accepted.order.is_same_place(&draft.order));
        if newer {
            line.outcome = Outcome::Skipped;
            line.reason = SkipReason::Older.as_str().map(str::to_owned);
        }
        line.hash = accepted.content_hash;
        line.uri = Some(accepted.s3_uri.clone());
        accepts.push(accepted);
    }
    Ok(Batch { accepts, lines, found_again, ..Batch::default() })
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
            fetched_at,
            api_etag: http_etag.map(str::to_owned),
            order: draft.order.clone(),
        },
        PutOutcome::Adopted(envelope, at) => Accepted {
            pmid: draft.pmid,
            s3_uri: engine.archive.uri(&draft.key, &at.version),
            object_etag: at.etag.0,
            content_hash: envelope.content_hash(),
            fetched_at: envelope.fetched_at,
            api_etag: envelope.source.http_etag.clone(),
            order: envelope.order.clone(),
        },
    }
}
