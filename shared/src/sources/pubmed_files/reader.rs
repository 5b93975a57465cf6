//! The first stage: a thread that reads a file and sends batches of identified slices.

use std::collections::HashSet;
use std::io::Read;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use crate::core::{EVERY_VERSION, Pmid};
use crate::pubmed::identity;
use crate::pubmed::read_ahead::read_ahead;
use crate::pubmed::source::{FileError, FileSource, IgnoredBytes, ReadProgress};
use crate::pubmed::{Item, Splitter};
use crate::sources::store_records::{RawBatch, RawRecord, SliceKind};

/// A batch of a file.
pub struct FileBatch {
    pub raw: RawBatch,
    /// Items of the file up to the end of this batch.
    pub items_done: i64,
    /// Bytes of the file read up to the end of this batch.
    pub bytes_done: u64,
    /// As-of time of the file itself.
    pub as_of: DateTime<Utc>,
    /// What follows this batch.
    pub end: End,
}

/// What follows a batch.
#[derive(Debug)]
pub enum End {
    /// Another batch.
    More,
    /// Nothing: the document is complete; bytes after its gzip data are ignored.
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
    /// Buffers of earlier batches, to be reused: large ones fragment memory when freed.
    pub used: std::sync::mpsc::Receiver<Vec<u8>>,
}

impl Reading {
    /// Reads until the end, or until the channel is closed.
    pub fn run(self, batches: &mpsc::Sender<FileBatch>) {
        let mut batch = FileBatch::after(self.skip_items, DateTime::default());
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
            // The channel is closed if the unit was stopped.
            let _ = batches.blocking_send(batch);
        }
    }

    fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.used.try_recv().unwrap_or_else(|_| Vec::with_capacity(self.batch_bytes));
        buffer.clear();
        // Smaller again after a very large record.
        buffer.shrink_to(self.batch_bytes);
        buffer
    }

    fn read(
        &self,
        source: impl Read,
        progress: &ReadProgress,
        batches: &mpsc::Sender<FileBatch>,
        batch: &mut FileBatch,
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
                let last = std::mem::replace(batch, FileBatch::after(position, as_of));
                let _ = batches.blocking_send(last);
                return Ok(());
            };
            position += 1;
            let (bytes, kind) = describe(&item);
            if let SliceKind::Record(identity) = &kind {
                newest_revision = newest_revision.max(identity.date_revised);
            }
            if position <= self.skip_items {
                continue;
            }
            let pmid = kind.archivable();
            let full = batch.raw.items.len() >= self.batch_records
                || (!batch.raw.items.is_empty() && batch.raw.bytes.len() + bytes.len() > self.batch_bytes)
                || pmid.is_some_and(|pmid| seen.contains(&pmid));
            if full {
                batch.bytes_done = progress.bytes();
                let next = FileBatch::after(batch.items_done, as_of);
                if batches.blocking_send(std::mem::replace(batch, next)).is_err() {
                    return Ok(());
                }
                // Waits until the previous batch was taken: at most two are in memory, not three.
                let Ok(place) = tokio::runtime::Handle::current().block_on(batches.reserve()) else { return Ok(()) };
                drop(place);
                batch.raw.bytes = self.buffer();
                seen.clear();
            }
            seen.extend(pmid);
            let start = batch.raw.bytes.len();
            batch.raw.bytes.extend_from_slice(bytes);
            batch.raw.items.push(RawRecord { range: start..batch.raw.bytes.len(), n: position, kind, newest_revision });
            batch.items_done = position;
        }
    }
}

impl FileBatch {
    fn after(items_done: i64, as_of: DateTime<Utc>) -> Self {
        Self { raw: RawBatch::default(), items_done, bytes_done: 0, as_of, end: End::More }
    }
}

fn describe<'a>(item: &Item<'a>) -> (&'a [u8], SliceKind) {
    match item {
        Item::Record { bytes, defect } => {
            let identity = identity::of_record(bytes);
            let kind = match (defect, identity) {
                (None, Ok((identity, _))) => SliceKind::Record(identity),
                (None, Err(error)) => SliceKind::Bad(None, error.to_string()),
                (Some(defect), identity) => SliceKind::Bad(identity.ok().map(|(i, _)| i.pmid), defect.to_string()),
            };
            (bytes, kind)
        }
        Item::Deletion { bytes } => {
            let kind = match identity::of_deletion(bytes) {
                Ok((pmid, version)) => SliceKind::Deletion(pmid, version.unwrap_or(EVERY_VERSION)),
                Err(error) => SliceKind::Bad(None, format!("deletion: {error}")),
            };
            (bytes, kind)
        }
    }
}
