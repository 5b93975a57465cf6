//! Hash each slice, decide what becomes of it, compress what is to be stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};

use super::{Origin, Raw, RawItem, What};
use crate::archive::codec::Encoder;
use crate::archive::{Compression, Draft, ETag, Key, Payload, envelope};
use crate::ingest::{Engine, Line, UnitError};
use crate::pubmed::{is_retracted, same_xml};
use crate::records::{self, Pointer};
use crate::words::{Outcome, Pmid, RecordOrder, Sha256, SkipReason, clock};

/// A batch with every decision made; what is to be stored is compressed.
pub struct Prepared {
    /// One line per slice, in order.
    pub lines: Vec<Line>,
    /// What is to be stored, with the index of its line.
    pub drafts: Vec<(usize, Draft)>,
    /// What goes to quarantine.
    pub bad: Vec<Bad>,
    /// Unchanged records that were missing upstream before.
    pub found_again: Vec<Pmid>,
    /// When the batch was read.
    pub fetched_at: DateTime<Utc>,
    /// Where it came from.
    pub origin: Origin,
}

/// A slice that cannot be archived.
pub struct Bad {
    /// Index of its line.
    pub line: usize,
    /// Names it within its unit.
    pub n: i64,
    /// Its position in its file, else 0.
    pub position: i64,
    /// Its PMID, if that could be read.
    pub pmid: Option<Pmid>,
    /// What is wrong.
    pub reason: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A record that is to be stored.
struct ToStore<'a> {
    line: usize,
    item: &'a RawItem,
    pmid: Pmid,
    key: Key,
    hash: Option<Sha256>,
    order: RecordOrder,
    known: Option<ETag>,
}

enum Decision {
    Store(Option<ETag>),
    Skip(SkipReason),
}

/// Prepares a batch.
pub async fn prepare(engine: &Engine, origin: Origin, raw: &Raw) -> Result<Prepared, UnitError> {
    let threads = engine.settings.threads;
    let slice = |item: &RawItem| &raw.bytes[item.range.clone()];
    let hashes: Vec<Option<Sha256>> = parallel(
        threads,
        &raw.items,
        || (),
        |(), item| match item.what {
            What::Record(_) => Some(Sha256::of(slice(item))),
            _ => None,
        },
    );
    let pmids: Vec<Pmid> = raw.pmids().collect();
    let pointers = if pmids.is_empty() { HashMap::new() } else { records::lookup(&engine.db, &pmids).await? };
    let mut lines = Vec::with_capacity(raw.items.len());
    let mut bad = Vec::new();
    let mut found_again = Vec::new();
    let mut stores = Vec::new();
    for (item, hash) in raw.items.iter().zip(&hashes) {
        let (pmid, order) = match &item.what {
            What::Record(identity) => {
                (identity.pmid, origin.order(item, identity.version, identity.date_revised, false))
            }
            What::Deletion(pmid, version) => (*pmid, origin.order(item, *version, None, true)),
            What::Bad(pmid, reason) => {
                bad.push(Bad {
                    line: lines.len(),
                    n: item.n,
                    position: origin.position(item),
                    pmid: *pmid,
                    reason: reason.clone(),
                    bytes: slice(item).to_vec(),
                });
                let reason = Some(reason.clone());
                lines.push(Line { pmid: *pmid, outcome: Outcome::Failed, hash: None, uri: None, reason });
                continue;
            }
        };
        let pointer = pointers.get(&pmid);
        let mut line = Line { pmid: Some(pmid), outcome: Outcome::Skipped, hash: *hash, uri: None, reason: None };
        match decide(engine, pointer, *hash, &order, slice(item)).await? {
            Decision::Skip(reason) => {
                line.reason = reason.as_str().map(str::to_owned);
                line.uri = pointer.map(|pointer| pointer.s3_uri.clone());
                if pointer.is_some_and(|pointer| pointer.missing_since.is_some()) {
                    found_again.push(pmid);
                }
            }
            Decision::Store(known) => {
                line.outcome = if order.deleted { Outcome::Deleted } else { Outcome::Archived };
                let layout = engine.archive.layout();
                let key = pointer.map_or_else(|| layout.record(pmid), |p| layout.record_at(pmid, &p.s3_uri));
                stores.push(ToStore { line: lines.len(), item, pmid, key, hash: *hash, order, known });
            }
        }
        lines.push(line);
    }
    let fetched_at = clock::now();
    let compression = engine.archive.layout().compression();
    let drafts = parallel(
        threads,
        &stores,
        || (Encoder::new(compression), Vec::new()),
        |(encoder, json), store| {
            let ToStore { line, item, pmid, key, hash, order, known } = store;
            json.clear();
            let xml =
                hash.map(|hash| (std::str::from_utf8(slice(item)).expect("its identity was read as UTF-8"), hash));
            let retracted = xml.is_some_and(|(xml, _)| is_retracted(xml));
            envelope::write_json(json, *pmid, fetched_at, &origin.source, order, xml);
            let bytes = match Compression::of_name(key.as_str()) {
                Some(other) if other != compression => Encoder::new(other).encode(json),
                _ => encoder.encode(json),
            };
            let (key, order, known) = (key.clone(), order.clone(), known.clone());
            (*line, Draft { pmid: *pmid, key, bytes, content_hash: *hash, retracted, order, known })
        },
    );
    Ok(Prepared { lines, drafts, bad, found_again, fetched_at, origin })
}

async fn decide(
    engine: &Engine,
    pointer: Option<&Pointer>,
    hash: Option<Sha256>,
    order: &RecordOrder,
    slice: &[u8],
) -> Result<Decision, UnitError> {
    let Some(pointer) = pointer else { return Ok(Decision::Store(None)) };
    if pointer.object_etag.is_empty() && !order.is_older_than(&pointer.order) {
        // Its object was lost: here it is again.
        return Ok(Decision::Store(Some(ETag(String::new()))));
    }
    let live = !pointer.order.deleted;
    if live && hash.is_some() && pointer.content_hash == hash {
        return Ok(Decision::Skip(SkipReason::Unchanged));
    }
    if order.deleted && !live && order.is_same_place(&pointer.order) {
        return Ok(Decision::Skip(SkipReason::Unchanged));
    }
    if live && hash.is_some() && is_same_record(engine, pointer, slice).await? {
        return Ok(Decision::Skip(SkipReason::FormatOnly));
    }
    if order.is_older_than(&pointer.order) {
        return Ok(Decision::Skip(SkipReason::Older));
    }
    Ok(Decision::Store(Some(ETag(pointer.object_etag.clone()))))
}

/// Whether the archived payload is the same XML in another spelling. One that cannot be read
/// is not: then the new payload is stored, and nothing is lost.
async fn is_same_record(engine: &Engine, pointer: &Pointer, slice: &[u8]) -> Result<bool, UnitError> {
    let envelope = match engine.archive.envelope(pointer.pmid, &pointer.s3_uri).await {
        Ok(envelope) => envelope,
        Err(crate::archive::ReadError::Store(error)) if error.is_transient() => return Err(error.into()),
        Err(_) => return Ok(false),
    };
    let Payload::Xml(archived) = envelope.payload else { return Ok(false) };
    Ok(std::str::from_utf8(slice).is_ok_and(|new| same_xml::same(&archived, new)))
}

/// Maps items on several threads, each with a state of its own; the order is kept.
fn parallel<T: Sync, S, R: Send>(
    threads: usize,
    items: &[T],
    state: impl Fn() -> S + Sync,
    map: impl Fn(&mut S, &T) -> R + Sync,
) -> Vec<R> {
    const CHUNK: usize = 16;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut state = state();
        let mut done = Vec::new();
        loop {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            if from >= items.len() {
                return done;
            }
            let chunk = &items[from..items.len().min(from + CHUNK)];
            done.push((from, chunk.iter().map(|item| map(&mut state, item)).collect::<Vec<R>>()));
        }
    };
    tokio::task::block_in_place(|| {
        let mut chunks = std::thread::scope(|scope| {
            let helpers = threads.min(items.len().div_ceil(CHUNK)).saturating_sub(1);
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for helper in helpers {
                done.extend(helper.join().expect("a panic here is a panic of the stage"));
            }
            done
        });
        chunks.sort_unstable_by_key(|(from, _)| *from);
        chunks.into_iter().flat_map(|(_, results)| results).collect()
    })
}
