//! The second stage of a file: prepares batches while the previous one is stored.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};

use super::reader::{End, FileBatch};
use crate::archive::Source;
use crate::core::{Pmid, UnitId};
use crate::ingest::{Engine, UnitError};
use crate::sources::store_records::{Ahead, BULK_FILE, Origin, PreparedRecords, prepare};

/// A prepared batch of a file.
pub struct PreparedBatch {
    /// Number of the batch in this attempt, from 1.
    pub number: i64,
    pub prepared: PreparedRecords,
    /// Items of the file up to the end of this batch.
    pub items_done: i64,
    /// Bytes of the file read up to the end of this batch.
    pub bytes_done: u64,
    /// What follows this batch.
    pub end: End,
}

/// The stage for one file.
pub struct Preparing {
    pub engine: Engine,
    pub unit: UnitId,
    /// Commits the intents of each batch.
    pub ahead: Ahead,
    pub file_name: String,
    pub file_number: i32,
    /// Distinguishes a file that NLM did not name from others.
    pub file_id: Option<String>,
    /// Overrides the file's own as-of time.
    pub as_of: Option<DateTime<Utc>>,
    /// Returns buffers whose slices are no longer needed.
    pub used: std::sync::mpsc::Sender<Vec<u8>>,
}

impl Preparing {
    /// Prepares batches until there are no more, or the next stage has ended.
    pub async fn run(
        self,
        mut raw: mpsc::Receiver<FileBatch>,
        prepared: mpsc::Sender<PreparedBatch>,
        mut committed: watch::Receiver<i64>,
    ) -> Result<(), UnitError> {
        let mut under_way: VecDeque<(i64, HashSet<Pmid>)> = VecDeque::new();
        let mut number = 0;
        while let Some(batch) = raw.recv().await {
            number += 1;
            let pmids: HashSet<Pmid> = batch.raw.pmids().collect();
            // A PMID in an earlier batch that is not committed yet is looked up only after that commit.
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

    async fn prepare(&self, number: i64, batch: FileBatch) -> Result<PreparedBatch, UnitError> {
        let origin = Origin {
            source: Source {
                api: BULK_FILE.to_owned(),
                endpoint: self.file_name.clone(),
                http_status: 0,
                http_etag: None,
            },
            as_of: self.as_of.unwrap_or(batch.as_of),
            file_number: self.file_number,
            file_id: self.file_id.clone(),
        };
        let mut prepared = prepare(&self.engine, origin, &batch.raw).await?;
        // The reader may have ended already.
        let _ = self.used.send(batch.raw.bytes);
        self.ahead.intend(&self.engine, Some(self.unit), &mut prepared).await?;
        let FileBatch { items_done, bytes_done, end, .. } = batch;
        Ok(PreparedBatch { number, prepared, items_done, bytes_done, end })
    }
}
