//! The first stage: a thread that reads a file and hands out batches of identified slices.

use std::collections::HashSet;
use std::io::Read;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use crate::pipelines::archiving::{Raw, RawItem, What};
use crate::pubmed::identity;
use crate::pubmed::read_ahead::read_ahead;
use crate::pubmed::source::{FileError, FileSource, IgnoredBytes, Progress};
use crate::pubmed::{Item, Splitter};
use crate::words::{EVERY_VERSION, Pmid};

/// A batch of a file.
pub struct RawBatch {
    /// The slices.
    pub raw: Raw,
    /// Items of the file up to here.
    pub items_done: i64,
    /// Bytes of the file read up to here.
    pub bytes_done: u64,
    /// As-of time of the file itself.
    pub as_of: DateTime<Utc>,
    /// What comes after this batch.
    pub end: End,
}

/// What comes after a batch.
#[derive(Debug)]
pub enum End {
    /// Another batch.
    More,
    /// Nothing: the document is complete; what came after its gzip data is ignored.
    Finished(Option<IgnoredBytes>),
    /// Nothing: the rest of the file cannot be read.
    Failed(FileError),
}

/// A file to be read.
pub struct Reading {
    pub path: PathBuf,
    /// Items that have an outcome from an earlier attempt.
    pub skip_items: i64,
    pub max_file_bytes: u64,
    pub max_record_bytes: usize,
    pub batch_records: usize,
    pub batch_bytes: usize,
    /// Buffers of earlier batches, to be used again: large ones fragment memory when freed.
    pub used: std::sync::mpsc::Receiver<Vec<u8>>,
}

impl Reading {
    /// Reads until the end, or until the channel is closed.
    pub fn run(self, batches: &mpsc::Sender<RawBatch>) {
        let mut batch = RawBatch::after(self.skip_items, DateTime::default());
        batch.raw.bytes = self.buffer();
        let source = FileSource::open(&self.path, self.max_file_bytes);
        let progress = source.as_ref().map(FileSource::progress).unwrap_or_default();
        let read = source.and_then(|source| {
            batch.as_of = source.as_of;
            let (ahead, filler) = read_ahead(source);
            std::thread::scope(|scope| {
                scope.spawn(|| filler.run());
                self.read(ahead, &progress, batches, &mut batch)
            })
        });
        if let Err(error) = read {
            batch.bytes_done = progress.bytes();
            batch.end = End::Failed(error);
            // The channel is closed when the unit was stopped.
            let _ = batches.blocking_send(batch);
        }
    }

    fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.used.try_recv().unwrap_or_else(|_| Vec::with_capacity(self.batch_bytes));
        buffer.clear();
        // After a very large record.
        buffer.shrink_to(self.batch_bytes);
        buffer
    }

    fn read(
        &self,
        source: impl Read,
        progress: &Progress,
        batches: &mpsc::Sender<RawBatch>,
        batch: &mut RawBatch,
    ) -> Result<(), FileError> {
        let as_of = batch.as_of;
        let mut splitter = Splitter::new(source, self.max_record_bytes);
        let mut seen: HashSet<Pmid> = HashSet::with_capacity(self.batch_records);
        let mut position = 0;
        let mut newest_revision = None;
        loop {
            let Some(item) = splitter.next()? else {
                batch.end = End::Finished(progress.ignored());
                batch.bytes_done = progress.bytes();
                let last = std::mem::replace(batch, RawBatch::after(position, as_of));
                let _ = batches.blocking_send(last);
                return Ok(());
            };
            position += 1;
            let (bytes, what) = describe(&item);
            if let What::Record(identity) = &what {
                newest_revision = newest_revision.max(identity.date_revised);
            }
            if position <= self.skip_items {
                continue;
            }
            let pmid = what.archivable();
            let full = batch.raw.items.len() >= self.batch_records
                || (!batch.raw.items.is_empty() && batch.raw.bytes.len() + bytes.len() > self.batch_bytes)
                || pmid.is_some_and(|pmid| seen.contains(&pmid));
            if full {
                batch.bytes_done = progress.bytes();
                let next = RawBatch::after(batch.items_done, as_of);
                if batches.blocking_send(std::mem::replace(batch, next)).is_err() {
                    return Ok(());
                }
                // Waits until the batch before was taken: two are in memory, not three.
                let Ok(place) = tokio::runtime::Handle::current().block_on(batches.reserve()) else { return Ok(()) };
                drop(place);
                batch.raw.bytes = self.buffer();
                seen.clear();
            }
            seen.extend(pmid);
            let start = batch.raw.bytes.len();
            batch.raw.bytes.extend_from_slice(bytes);
            batch.raw.items.push(RawItem { range: start..batch.raw.bytes.len(), n: position, what, newest_revision });
            batch.items_done = position;
        }
    }
}

impl RawBatch {
    fn after(items_done: i64, as_of: DateTime<Utc>) -> Self {
        Self { raw: Raw::default(), items_done, bytes_done: 0, as_of, end: End::More }
    }
}

fn describe<'a>(item: &Item<'a>) -> (&'a [u8], What) {
    match item {
        Item::Record { bytes, defect } => {
            let identity = identity::of_record(bytes);
            let what = match (defect, identity) {
                (None, Ok((identity, _))) => What::Record(identity),
                (None, Err(error)) => What::Bad(None, error.to_string()),
                (Some(defect), identity) => What::Bad(identity.ok().map(|(i, _)| i.pmid), defect.to_string()),
            };
            (bytes, what)
        }
        Item::Deletion { bytes } => {
            let what = match identity::of_deletion(bytes) {
                Ok((pmid, version)) => What::Deletion(pmid, version.unwrap_or(EVERY_VERSION)),
                Err(error) => What::Bad(None, format!("deletion: {error}")),
            };
            (bytes, what)
        }
    }
}
