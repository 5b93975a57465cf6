//! Hashes each slice, decides about it, and compresses what will be stored.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use rayon::prelude::*;

use super::versions::Arrival;
use super::{Origin, RawBatch, RawRecord, SliceKind, threads};
use crate::archive::codec::Encoder;
use crate::archive::{Compression, Key, Known, Payload, PendingObject, StoredPayload, envelope};
use crate::core::{FileRank, Outcome, Pmid, Precedence, Reason, RecordOrder, Sha256, SkipReason, clock};
use crate::ingest::{Engine, RecordOutcome, UnitError};
use crate::pubmed::{IntegrityNote, same_xml};
use crate::records::{self, Advance, Pointer, PointerStamp};

/// Archived payloads read at the same time, to compare them with what arrived.
const CONCURRENT_READS: usize = 64;

/// Minimum number of records per thread: with fewer, distributing costs more than the work.
const MIN_SHARE: usize = 16;

/// Records with all decisions made; objects to store are compressed.
pub struct PreparedRecords {
    /// One per slice, in order.
    pub outcomes: Vec<RecordOutcome>,
    /// The objects to store.
    pub pending_objects: Vec<PreparedObject>,
    /// The committed intent that names these objects, if there is one yet.
    pub intent: Option<i64>,
    /// Records to quarantine.
    pub rejected: Vec<RejectedRecord>,
    /// Unchanged records that were missing upstream before.
    pub reappeared: Vec<Pmid>,
    /// Archived payloads that arrived again with a newer order.
    pub advances: Vec<Advance>,
    /// Records that are decided by version, with the index of their outcome.
    pub arrivals: Vec<(usize, Arrival)>,
    /// When the batch was read.
    pub fetched_at: DateTime<Utc>,
    /// Source of the batch.
    pub origin: Origin,
}

/// A record to store.
pub struct PreparedObject {
    /// Index of its outcome.
    pub index: usize,
    /// Its object.
    pub pending: PendingObject,
    /// The pointer that it was compared with.
    pub expected: Option<PointerStamp>,
    /// Integrity that the payload states; none for a deletion.
    pub integrity: Option<IntegrityNote>,
}

/// A slice that cannot be archived.
pub struct RejectedRecord {
    /// Index of its outcome.
    pub index: usize,
    /// Its number within its unit.
    pub n: i64,
    /// Its position in its file, else 0.
    pub position: i64,
    /// Its PMID, if that could be read.
    pub pmid: Option<Pmid>,
    pub reason: String,
    pub bytes: Vec<u8>,
}

/// A record to store.
struct ToStore<'a> {
    index: usize,
    item: &'a RawRecord,
    pmid: Pmid,
    key: Key,
    hash: Option<Sha256>,
    order: RecordOrder,
    seen: FileRank,
    known: Known,
    expected: Option<PointerStamp>,
}

/// The decision about a record that has one version.
enum Decision {
    Store,
    Skip(SkipReason),
    /// Skipped if it is the archived payload in another spelling, else by its precedence.
    CompareXml(Precedence),
    /// Decided by version.
    ByVersions,
}

/// Prepares a batch.
pub async fn prepare(engine: &Engine, origin: Origin, raw: &RawBatch) -> Result<PreparedRecords, UnitError> {
    let slice = |item: &RawRecord| &raw.bytes[item.range.clone()];
    let hash = |item: &RawRecord| matches!(item.kind, SliceKind::Record(_)).then(|| Sha256::of(slice(item)));
    let hashes: Vec<Option<Sha256>> = threads::run(|| raw.items.par_iter().with_min_len(MIN_SHARE).map(hash).collect());
    let pmids: Vec<Pmid> = raw.pmids().collect();
    let pointers =
        if pmids.is_empty() { HashMap::new() } else { records::lookup_to_decide(&engine.db, &pmids).await? };
    let orders: Vec<Option<(Pmid, RecordOrder)>> = raw.items.iter().map(|item| order_of(&origin, item)).collect();
    let mut decisions: Vec<Option<Decision>> = orders
        .iter()
        .zip(&hashes)
        .map(|(order, hash)| order.as_ref().map(|(pmid, order)| decide(pointers.get(pmid), *hash, order)))
        .collect();
    compare_spellings(engine, raw, &orders, &pointers, &mut decisions).await?;
    let mut prepared = PreparedRecords {
        outcomes: Vec::with_capacity(raw.items.len()),
        pending_objects: Vec::new(),
        intent: None,
        rejected: Vec::new(),
        reappeared: Vec::new(),
        advances: Vec::new(),
        arrivals: Vec::new(),
        fetched_at: clock::now(),
        origin,
    };
    let mut stores = Vec::new();
    for (((item, hash), order), decision) in raw.items.iter().zip(&hashes).zip(orders).zip(decisions) {
        let index = prepared.outcomes.len();
        let (Some((pmid, order)), Some(decision)) = (order, decision) else {
            prepared.reject(item, slice(item));
            continue;
        };
        let pointer = pointers.get(&pmid);
        let key = records::key(Some(pmid));
        let mut outcome = RecordOutcome { key, outcome: Outcome::Skipped, hash: *hash, uri: None, reason: None };
        match decision {
            Decision::Skip(reason) => {
                outcome.reason = Some(Reason::Skip(reason));
                outcome.uri = pointer.map(|pointer| pointer.s3_uri.clone());
                if pointer.is_some_and(|pointer| pointer.missing_since.is_some()) {
                    prepared.reappeared.push(pmid);
                }
                let advance = Advance { pmid, order, same_payload: reason != SkipReason::Older };
                if pointer.is_some_and(|pointer| advance.of(&pointer.order, pointer.seen).is_some()) {
                    prepared.advances.push(advance);
                }
            }
            Decision::Store | Decision::CompareXml(_) => {
                outcome.outcome = if order.deleted { Outcome::Deleted } else { Outcome::Archived };
                let held = pointer.and_then(|pointer| pointer.address().address.ok());
                let key = engine.archive.layout().record_again(pmid, held.as_ref());
                let seen = pointer.map_or(FileRank::NONE, |pointer| pointer.seen).max(order.rank());
                let known = Pointer::known(pointer);
                let expected = pointer.map(Pointer::stamp);
                stores.push(ToStore { index, item, pmid, key, hash: *hash, order, seen, known, expected });
            }
            Decision::ByVersions => {
                let xml = hash.map(|_| text(slice(item)).to_owned());
                prepared.arrivals.push((index, Arrival { pmid, order, hash: *hash, xml }));
            }
        }
        prepared.outcomes.push(outcome);
    }
    let compression = engine.archive.layout().compression();
    let (fetched_at, source) = (prepared.fetched_at, &prepared.origin.source);
    let pending = |(encoder, json): &mut (Encoder, Vec<u8>), store: ToStore<'_>| {
        let ToStore { index, item, pmid, key, hash, order, seen, known, expected } = store;
        json.clear();
        let xml = hash.map(|hash| (text(slice(item)), hash));
        let integrity = xml.map(|(xml, _)| IntegrityNote::of(xml));
        let retracted = integrity.as_ref().is_some_and(IntegrityNote::is_retracted);
        envelope::write_json(json, pmid, fetched_at, source, &order, xml);
        let bytes = match Compression::of_name(key.as_str()) {
            Some(other) if other != compression => Encoder::new(other).encode(json),
            _ => encoder.encode(json),
        };
        let bytes_hash = Sha256::of(&bytes);
        let pending = PendingObject { pmid, key, bytes, bytes_hash, content_hash: hash, retracted, order, seen, known };
        PreparedObject { index, pending, expected, integrity }
    };
    let tools = || (Encoder::new(compression), Vec::new());
    prepared.pending_objects =
        threads::run(|| stores.into_par_iter().with_min_len(MIN_SHARE).map_init(tools, pending).collect());
    Ok(prepared)
}

/// Decides about the records whose archived payload must be read: whether it is the same XML in another spelling.
async fn compare_spellings(
    engine: &Engine,
    raw: &RawBatch,
    orders: &[Option<(Pmid, RecordOrder)>],
    pointers: &HashMap<Pmid, Pointer>,
    decisions: &mut [Option<Decision>],
) -> Result<(), UnitError> {
    let slice = |item: &RawRecord| &raw.bytes[item.range.clone()];
    let mut comparisons = Vec::new();
    for (n, (order, decision)) in orders.iter().zip(decisions.iter()).enumerate() {
        let pointer = order.as_ref().and_then(|(pmid, _)| pointers.get(pmid));
        if let (Some(pointer), Some(Decision::CompareXml(_))) = (pointer, decision) {
            let compared = is_same_record(engine, pointer.pmid, pointer.address(), slice(&raw.items[n]));
            comparisons.push(compared.map(move |same| same.map(|same| (n, same))));
        }
    }
    let compared: Vec<(usize, bool)> =
        stream::iter(comparisons).buffer_unordered(CONCURRENT_READS).try_collect().await?;
    for (n, same) in compared {
        decisions[n] = Some(match decisions[n] {
            _ if same => Decision::Skip(SkipReason::FormatOnly),
            Some(Decision::CompareXml(Precedence::Older)) => Decision::Skip(SkipReason::Older),
            _ => Decision::Store,
        });
    }
    Ok(())
}

fn text(slice: &[u8]) -> &str {
    std::str::from_utf8(slice).expect("its identity was read as UTF-8")
}

fn order_of(origin: &Origin, item: &RawRecord) -> Option<(Pmid, RecordOrder)> {
    match &item.kind {
        SliceKind::Record(identity) => {
            Some((identity.pmid, origin.order(item, identity.version, identity.date_revised, false)))
        }
        SliceKind::Deletion(pmid, version) => Some((*pmid, origin.order(item, *version, None, true))),
        SliceKind::Bad(..) => None,
    }
}

impl PreparedRecords {
    /// Quarantines a slice that cannot be archived.
    fn reject(&mut self, item: &RawRecord, bytes: &[u8]) {
        let SliceKind::Bad(pmid, reason) = &item.kind else { return };
        self.rejected.push(RejectedRecord {
            index: self.outcomes.len(),
            n: item.n,
            position: self.origin.position(item),
            pmid: *pmid,
            reason: reason.clone(),
            bytes: bytes.to_vec(),
        });
        let reason = Some(Reason::Fault(reason.clone()));
        let key = records::key(*pmid);
        self.outcomes.push(RecordOutcome { key, outcome: Outcome::Failed, hash: None, uri: None, reason });
    }
}

fn decide(pointer: Option<&Pointer>, hash: Option<Sha256>, order: &RecordOrder) -> Decision {
    let Some(pointer) = pointer else {
        return if order.version == 1 { Decision::Store } else { Decision::ByVersions };
    };
    if pointer.versioned || pointer.order.version != order.version || order.version != 1 {
        return Decision::ByVersions;
    }
    let precedence = order.compare(&pointer.order, pointer.seen);
    if pointer.object_etag.is_none() && precedence != Precedence::Older {
        // Its object was lost: here it is again.
        return Decision::Store;
    }
    let live = !pointer.order.deleted;
    let is_held = if live { hash.is_some() && pointer.content_hash == hash } else { order.deleted };
    if is_held {
        return Decision::Skip(SkipReason::Unchanged);
    }
    // Only payloads with the same date can be two spellings of the same XML.
    let may_be_same = live && hash.is_some() && order.date_revised == pointer.order.date_revised;
    match precedence {
        _ if may_be_same => Decision::CompareXml(precedence),
        Precedence::Older => Decision::Skip(SkipReason::Older),
        Precedence::Same | Precedence::Newer => Decision::Store,
    }
}

/// Whether the archived payload is the same XML in another spelling. An unreadable one is not: then the new payload is
/// stored, and nothing is lost.
pub(super) async fn is_same_record(
    engine: &Engine,
    pmid: Pmid,
    payload: StoredPayload,
    slice: &[u8],
) -> Result<bool, UnitError> {
    let envelope = match engine.archive.envelope(pmid, &payload).await {
        Ok(envelope) => envelope,
        Err(crate::archive::ReadError::Store(error)) if error.is_transient() => return Err(error.into()),
        Err(_) => return Ok(false),
    };
    let Payload::Xml(archived) = envelope.payload else { return Ok(false) };
    Ok(std::str::from_utf8(slice).is_ok_and(|new| same_xml::same(&archived, new)))
}
