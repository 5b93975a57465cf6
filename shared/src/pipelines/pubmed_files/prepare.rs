//! The second stage: hash each record, decide what becomes of it, compress what is to be stored.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};

use super::reader::{End, RawBatch, RawItem, What};
use super::{RawReceiver, fetched_at};
use crate::archive::codec::Encoder;
use crate::archive::{Compression, Draft, ETag, Key, Payload, Source, envelope};
use crate::ingest::{Engine, Line, UnitError};
use crate::pubmed::same_xml;
use crate::records::{self, Pointer};
use crate::words::{Outcome, Pmid, RecordOrder, Sha256, SkipReason};

/// A batch with every decision made; what is to be stored is compressed.
pub struct Prepared {
    /// Number of the batch in this attempt, from 1.
    pub number: i64,
    /// One line per item, in order.
    pub lines: Vec<Line>,
    /// What is to be stored, with the index of its line.
    pub drafts: Vec<(usize, Draft)>,
    /// What goes to quarantine.
    pub bad: Vec<Bad>,
    /// When the batch was read.
    pub fetched_at: DateTime<Utc>,
    /// Items of the file up to here.
    pub items_done: i64,
    /// Bytes of the file read up to here.
    pub bytes_done: u64,
    /// What comes after this batch.
    pub end: End,
}

/// An item that cannot be archived.
pub struct Bad {
    /// Index of its line.
    pub line: usize,
    /// Position in the file.
    pub position: i64,
    /// Its PMID, if that could be read.
    pub pmid: Option<Pmid>,
    /// What is wrong.
    pub reason: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The stage for one file.
pub struct Preparing {
    pub engine: Engine,
    pub file_name: String,
    pub file_number: i32,
    /// Stands for the file's own as-of time.
    pub as_of: Option<DateTime<Utc>>,
    /// Where buffers go when their slices are not needed any more.
    pub used: std::sync::mpsc::Sender<Vec<u8>>,
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

impl Preparing {
    /// Prepares batches until there are no more, or nobody wants them.
    pub async fn run(
        self,
        mut raw: RawReceiver,
        prepared: mpsc::Sender<Prepared>,
        mut committed: watch::Receiver<i64>,
    ) -> Result<(), UnitError> {
        let mut under_way: VecDeque<(i64, HashSet<Pmid>)> = VecDeque::new();
        let mut number = 0;
        while let Some(batch) = raw.recv().await {
            number += 1;
            let pmids: HashSet<Pmid> = batch.pmids().collect();
            // A PMID that a batch under way moves is looked up only when that is committed.
            while let Some((before, _)) = under_way.iter().rfind(|(_, others)| !others.is_disjoint(&pmids)) {
                let before = *before;
                if committed.wait_for(|done| *done >= before).await.is_err() {
                    return Ok(());
                }
                under_way.retain(|(number, _)| *number > before);
            }
            let done = *committed.borrow();
            under_way.retain(|(number, _)| *number > done);
            under_way.push_back((number, pmids));
            let ready = self.prepare(number, batch).await?;
            if prepared.send(ready).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn prepare(&self, number: i64, batch: RawBatch) -> Result<Prepared, UnitError> {
        let threads = self.engine.settings.threads;
        let slice = |item: &RawItem| &batch.bytes[item.range.clone()];
        let hashes: Vec<Option<Sha256>> = parallel(
            threads,
            &batch.items,
            || (),
            |(), item| match item.what {
                What::Record(_) => Some(Sha256::of(slice(item))),
                _ => None,
            },
        );
        let pmids: Vec<Pmid> = batch.pmids().collect();
        let pointers = if pmids.is_empty() { HashMap::new() } else { records::lookup(&self.engine.db, &pmids).await? };
        let mut lines = Vec::with_capacity(batch.items.len());
        let mut bad = Vec::new();
        let mut stores = Vec::new();
        for (item, hash) in batch.items.iter().zip(&hashes) {
            let (pmid, order) = match &item.what {
                What::Record(identity) => {
                    (identity.pmid, self.order(&batch, item, identity.version, identity.date_revised, false))
                }
                What::Deletion(pmid, version) => (*pmid, self.order(&batch, item, *version, None, true)),
                What::Bad(pmid, reason) => {
                    let (pmid, reason) = (*pmid, reason.clone());
                    let line = lines.len();
                    bad.push(Bad {
                        line,
                        position: item.position,
                        pmid,
                        reason: reason.clone(),
                        bytes: slice(item).to_vec(),
                    });
                    lines.push(Line { pmid, outcome: Outcome::Failed, hash: None, uri: None, reason: Some(reason) });
                    continue;
                }
            };
            let pointer = pointers.get(&pmid);
            let mut line = Line { pmid: Some(pmid), outcome: Outcome::Skipped, hash: *hash, uri: None, reason: None };
            match self.decide(pointer, *hash, &order, slice(item)).await? {
                Decision::Skip(reason) => {
                    line.reason = reason.as_str().map(str::to_owned);
                    line.uri = pointer.map(|pointer| pointer.s3_uri.clone());
                }
                Decision::Store(known) => {
                    line.outcome = if order.deleted { Outcome::Deleted } else { Outcome::Archived };
                    let layout = self.engine.archive.layout();
                    let key = pointer.map_or_else(|| layout.record(pmid), |p| layout.record_at(pmid, &p.s3_uri));
                    stores.push(ToStore { line: lines.len(), item, pmid, key, hash: *hash, order, known });
                }
            }
            lines.push(line);
        }
        let fetched_at = fetched_at();
        let source =
            Source { api: "bulk_file".to_owned(), endpoint: self.file_name.clone(), http_status: 0, http_etag: None };
        let compression = self.engine.archive.layout().compression();
        let drafts = parallel(
            threads,
            &stores,
            || (Encoder::new(compression), Vec::new()),
            |(encoder, json), store| {
                let ToStore { line, item, pmid, key, hash, order, known } = store;
                json.clear();
                let xml =
                    hash.map(|hash| (std::str::from_utf8(slice(item)).expect("its identity was read as UTF-8"), hash));
                envelope::write_json(json, *pmid, fetched_at, &source, order, xml);
                let bytes = match Compression::of_name(key.as_str()) {
                    Some(other) if other != compression => Encoder::new(other).encode(json),
                    _ => encoder.encode(json),
                };
                let (key, order, known) = (key.clone(), order.clone(), known.clone());
                (*line, Draft { pmid: *pmid, key, bytes, content_hash: *hash, order, known })
            },
        );
        drop(stores);
        // The reader may have ended already.
        let _ = self.used.send(batch.bytes);
        Ok(Prepared {
            number,
            lines,
            drafts,
            bad,
            fetched_at,
            items_done: batch.items_done,
            bytes_done: batch.bytes_done,
            end: batch.end,
        })
    }

    fn order(
        &self,
        batch: &RawBatch,
        item: &RawItem,
        version: i32,
        date_revised: Option<chrono::NaiveDate>,
        deleted: bool,
    ) -> RecordOrder {
        RecordOrder {
            version,
            date_revised,
            as_of: self.as_of.unwrap_or(batch.as_of),
            file_number: self.file_number,
            position: item.position,
            deleted,
        }
    }

    async fn decide(
        &self,
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
        if live && hash.is_some() && self.is_same_record(pointer, slice).await? {
            return Ok(Decision::Skip(SkipReason::FormatOnly));
        }
        if order.is_older_than(&pointer.order) {
            return Ok(Decision::Skip(SkipReason::Older));
        }
        Ok(Decision::Store(Some(ETag(pointer.object_etag.clone()))))
    }

    /// Whether the archived payload is the same XML in another spelling. One that cannot be read
    /// is not: then the new payload is stored, and nothing is lost.
    async fn is_same_record(&self, pointer: &Pointer, slice: &[u8]) -> Result<bool, UnitError> {
        let envelope = match self.engine.archive.envelope(pointer.pmid, &pointer.s3_uri).await {
            Ok(envelope) => envelope,
            Err(crate::archive::ReadError::Store(error)) if error.is_transient() => return Err(error.into()),
            Err(_) => return Ok(false),
        };
        let Payload::Xml(archived) = envelope.payload else { return Ok(false) };
        Ok(std::str::from_utf8(slice).is_ok_and(|new| same_xml::same(&archived, new)))
    }
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
