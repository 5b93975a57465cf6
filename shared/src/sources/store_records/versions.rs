//! Records with more than one version: decides about an arriving payload or deletion of one of them.
//!
//! Few records have versions, so each is decided and stored alone. The object under the record's key is always that of
//! its pointer: after an object of another version, the pointer's own envelope is stored again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::prepare::is_same_record;
use super::rows::StoredBatch;
use super::store::DatabaseRegistry;
use crate::archive::codec::Encoder;
use crate::archive::{
    Address, Compression, Key, Known, PendingObject, PutInOrder, ReadError, Source, StoreError, VersionId, envelope,
};
use crate::core::{
    EVERY_VERSION, ErrorCode, FileRank, Outcome, Pmid, Precedence, Reason, RecordOrder, Sha256, SkipReason, UnitId,
};
use crate::ingest::{Engine, UnitError};
use crate::pubmed::{IntegrityNote, is_retracted};
use crate::records::{self, Advance, Pointer, PointerUpdate, VersionChange, VersionEvent, VersionState, Versions};

/// A payload or deletion of one version of a record.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub pmid: Pmid,
    /// Its order, with its version.
    pub order: RecordOrder,
    /// Hash of the payload; none for a deletion.
    pub hash: Option<Sha256>,
    /// The payload; none for a deletion.
    pub xml: Option<String>,
}

/// The decision about an arrival, and the rows to commit for it.
#[derive(Debug)]
pub struct Decided {
    outcome: Outcome,
    reason: Option<Reason>,
    s3_uri: Option<String>,
    reappeared: Option<Pmid>,
    change: Option<VersionChange>,
    intents: Vec<i64>,
    superseded: Vec<(Pmid, String)>,
}

impl Decided {
    /// Adds it to its batch.
    pub fn apply_outcome(self, batch: &mut StoredBatch, index: usize) {
        let outcome = &mut batch.outcomes[index];
        outcome.outcome = self.outcome;
        outcome.reason = self.reason;
        outcome.uri = self.s3_uri;
        batch.rows.reappeared.extend(self.reappeared);
        batch.rows.versions.extend(self.change);
        batch.rows.intents.extend(self.intents);
        batch.rows.superseded.extend(self.superseded);
    }
}

/// Decides about an arrival and stores its objects.
pub async fn apply(
    engine: &Engine,
    unit: Option<UnitId>,
    source: &Source,
    fetched_at: DateTime<Utc>,
    arrival: Arrival,
) -> Result<Decided, UnitError> {
    let pmid = arrival.pmid;
    let pointer = records::lookup_to_decide(&engine.db, &[pmid]).await?.remove(&pmid);
    let mut versions = current(engine, pmid, pointer.as_ref(), arrival.order.version).await?;
    if let Some(skip) = why_skipped(engine, &versions, &arrival).await? {
        return Ok(skipped(pmid, pointer.as_ref(), versions, arrival, skip));
    }
    let held = pointer.as_ref().and_then(|pointer| pointer.address().address.ok());
    let key = engine.archive.layout().record_again(pmid, held.as_ref());
    let mut pending_objects = vec![pending(engine, &key, source, fetched_at, &arrival)];
    pending_objects[0].known = Pointer::known(pointer.as_ref());
    let retracted = pending_objects[0].retracted;
    let state = |s3_uri: &str| VersionState {
        s3_uri: s3_uri.to_owned(),
        content_hash: arrival.hash,
        fetched_at,
        api_etag: source.http_etag.clone(),
        retracted,
        order: arrival.order.clone(),
        seen: arrival.order.rank(),
    };
    // The version of the new pointer is determined before any object has an address.
    let mut after = versions.clone();
    after.apply(state(""));
    // If the pointer is another version, its envelope is stored after this one, as the newest object.
    let newest = after.newest().cloned();
    let stays = newest.filter(|newest| arrival.order.deleted || newest.order.version != arrival.order.version);
    if let Some(stays) = &stays {
        pending_objects.push(again(engine, pmid, &key, stays).await?);
    }
    let named: Vec<&PendingObject> = pending_objects.iter().collect();
    let intents: Vec<i64> = records::intend(&engine.db, unit, &named).await?.into_iter().collect();
    let PutInOrder { stored, superseded } =
        engine.archive.put_in_order(&pending_objects, &DatabaseRegistry(&engine.db)).await?;
    let superseded = superseded.iter().map(|version| (pmid, engine.archive.uri(&key, version))).collect();
    let uris: Vec<String> = stored.iter().map(|at| engine.archive.uri(&key, &at.version)).collect();
    versions.apply(state(&uris[0]));
    let mut events = vec![VersionEvent {
        version: arrival.order.version,
        content_hash: arrival.hash,
        s3_uri: uris[0].clone(),
        integrity: arrival.xml.as_deref().map(IntegrityNote::of),
    }];
    let mut pointed = state(&uris[0]);
    if let (Some(stays), Some(uri)) = (stays, uris.get(1)) {
        versions.moved(stays.order.version, uri);
        events.push(VersionEvent {
            version: stays.order.version,
            content_hash: stays.content_hash,
            s3_uri: uri.clone(),
            integrity: None,
        });
        pointed = VersionState { s3_uri: uri.clone(), ..stays };
    }
    pointed.seen = versions.get(pointed.order.version).map_or(pointed.seen, |held| held.seen);
    let etag = stored.last().map(|at| &at.etag);
    let payload = (!arrival.order.deleted).then(|| PointerUpdate {
        retracted,
        ..VersionState { s3_uri: uris[0].clone(), ..state_of(&versions, &arrival) }.to_pointer(pmid, etag)
    });
    let change = VersionChange {
        pmid,
        expected: pointer.as_ref().map(Pointer::stamp),
        pointer: Some(pointed.to_pointer(pmid, etag)),
        versions,
        payload,
        events,
    };
    Ok(Decided {
        outcome: if arrival.order.deleted { Outcome::Deleted } else { Outcome::Archived },
        reason: None,
        s3_uri: Some(uris[0].clone()),
        reappeared: None,
        change: Some(change),
        intents,
        superseded,
    })
}

fn state_of(versions: &Versions, arrival: &Arrival) -> VersionState {
    versions.get(arrival.order.version).cloned().expect("it was applied")
}

/// The current versions of a record. In an archive from before versions had rows, they are read from its objects.
async fn current(engine: &Engine, pmid: Pmid, pointer: Option<&Pointer>, arriving: i32) -> Result<Versions, UnitError> {
    let Some(pointer) = pointer else { return Ok(Versions::default()) };
    if pointer.versioned {
        return Ok(records::versions_of(&engine.db, &[pmid]).await?.remove(&pmid).unwrap_or_default());
    }
    let mut versions = Versions::default();
    if pointer.order.version > 1 || arriving > 1 {
        let key = engine.archive.layout().record_again(pmid, pointer.address().address.as_ref().ok());
        let mut found: Vec<VersionState> = Vec::new();
        // An object that no transaction accepted does not count: a killed attempt stored it; the next adopts it.
        let events = records::events(&engine.db, pmid).await?;
        let accepted: HashMap<VersionId, Option<String>> = events
            .into_iter()
            .filter_map(|event| Some((Address::version_in(&event.s3_uri)?, event.content_hash)))
            .collect();
        let stored = engine.archive.store().versions(&key).await?;
        for version in stored.iter().rev() {
            let Some(hash) = accepted.get(version) else { continue };
            match engine.archive.envelope_at(&key, Some(version)).await {
                // Not the accepted payload: treated as damaged.
                Ok((envelope, _)) if envelope.content_hash().map(Sha256::to_hex) != *hash => {}
                Ok((envelope, at)) => found.push(VersionState {
                    s3_uri: engine.archive.uri(&key, &at.version),
                    content_hash: envelope.content_hash(),
                    fetched_at: envelope.fetched_at,
                    api_etag: envelope.source.http_etag,
                    retracted: envelope.payload.xml().is_some_and(is_retracted),
                    seen: envelope.order.rank(),
                    order: envelope.order,
                }),
                Err(ReadError::Damaged { .. } | ReadError::Store(StoreError::NotFound(_))) => {}
                Err(error) => return Err(error.into()),
            }
        }
        found.sort_by_key(|state| state.fetched_at);
        versions = Versions::fold(found);
    }
    // For its own version, the state of the pointer takes precedence.
    versions.apply(VersionState::from(pointer));
    Ok(versions)
}

async fn why_skipped(engine: &Engine, versions: &Versions, arrival: &Arrival) -> Result<Option<SkipReason>, UnitError> {
    let precedence = versions.compare(&arrival.order);
    if arrival.order.version == EVERY_VERSION {
        let is_done = versions.get(EVERY_VERSION).is_some() && versions.newest().is_none();
        return Ok(match precedence {
            Precedence::Older => Some(SkipReason::Older),
            Precedence::Same => Some(SkipReason::Unchanged),
            Precedence::Newer => is_done.then_some(SkipReason::Unchanged),
        });
    }
    if let Some(held) = versions.get(arrival.order.version) {
        if held.content_hash == arrival.hash && (arrival.hash.is_some() || arrival.order.deleted) {
            return Ok(Some(SkipReason::Unchanged));
        }
        let may_be_same = held.content_hash.is_some() && held.order.date_revised == arrival.order.date_revised;
        if let (true, Some(xml)) = (may_be_same, &arrival.xml)
            && is_same_record(engine, arrival.pmid, held.address(), xml.as_bytes()).await?
        {
            return Ok(Some(SkipReason::FormatOnly));
        }
    }
    Ok((precedence == Precedence::Older).then_some(SkipReason::Older))
}

fn skipped(
    pmid: Pmid,
    pointer: Option<&Pointer>,
    mut versions: Versions,
    arrival: Arrival,
    skip: SkipReason,
) -> Decided {
    let s3_uri = versions.held(arrival.order.version).map(|held| held.s3_uri.clone());
    let version = arrival.order.version;
    let advance = Advance { pmid, order: arrival.order, same_payload: skip != SkipReason::Older };
    let change = versions.advance(&advance).then(|| {
        let moved = pointer.filter(|pointer| pointer.order.version == version).zip(versions.get(version));
        VersionChange {
            pmid,
            expected: pointer.map(Pointer::stamp),
            pointer: moved.map(|(pointer, state)| PointerUpdate {
                api_etag: pointer.api_etag.clone(),
                ..state.to_pointer(pmid, pointer.object_etag.as_ref())
            }),
            versions: versions.clone(),
            payload: None,
            events: Vec::new(),
        }
    });
    let reappeared = pointer.filter(|pointer| pointer.missing_since.is_some()).map(|_| pmid);
    let reason = Some(Reason::Skip(skip));
    let (intents, superseded) = (Vec::new(), Vec::new());
    Decided { outcome: Outcome::Skipped, reason, s3_uri, reappeared, change, intents, superseded }
}

fn pending(engine: &Engine, key: &Key, source: &Source, fetched_at: DateTime<Utc>, arrival: &Arrival) -> PendingObject {
    let xml = arrival.xml.as_deref().zip(arrival.hash.as_ref());
    let mut json = Vec::new();
    envelope::write_json(
        &mut json,
        arrival.pmid,
        fetched_at,
        source,
        &arrival.order,
        xml.map(|(xml, hash)| (xml, *hash)),
    );
    let bytes = Encoder::new(compression(engine, key)).encode(&json);
    PendingObject {
        pmid: arrival.pmid,
        key: key.clone(),
        bytes_hash: Sha256::of(&bytes),
        bytes,
        content_hash: arrival.hash,
        retracted: arrival.xml.as_deref().is_some_and(is_retracted),
        order: arrival.order.clone(),
        seen: arrival.order.rank(),
        known: Known::Nothing,
    }
}

/// The envelope of a version again, byte for byte.
async fn again(engine: &Engine, pmid: Pmid, key: &Key, state: &VersionState) -> Result<PendingObject, UnitError> {
    let envelope = engine.archive.envelope(pmid, &state.address()).await.map_err(|error| match error {
        ReadError::Damaged { .. } => {
            let version = state.order.version;
            let message =
                format!("the object of PMID {pmid} version {version} is damaged: run `bio-mcp verify --repair`");
            UnitError::permanent(ErrorCode::ArchiveError, message)
        }
        error @ (ReadError::Store(_) | ReadError::Newer { .. }) => error.into(),
    })?;
    let bytes = Encoder::new(compression(engine, key)).encode(&envelope.to_json());
    Ok(PendingObject {
        pmid,
        key: key.clone(),
        bytes_hash: Sha256::of(&bytes),
        bytes,
        content_hash: envelope.content_hash(),
        retracted: state.retracted,
        order: envelope.order,
        seen: FileRank::NONE,
        known: Known::Nothing,
    })
}

fn compression(engine: &Engine, key: &Key) -> Compression {
    Compression::of_name(key.as_str()).unwrap_or(engine.archive.layout().compression())
}
