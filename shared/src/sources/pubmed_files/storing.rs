//! The last stage of a file: stores the objects of a batch while the transaction that refers to those of the previous
//! batch commits. The preparer waits for the commit where batches share records, so these never do.

use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::reader::End;
use super::stages::PreparedBatch;
use super::{Cursor, warn};
use crate::core::{ErrorCode, crash};
use crate::ingest::{Engine, Lease, UnitContext, UnitError};
use crate::observability;
use crate::sources::store_records::{self, Ahead, StoredBatch};

/// The stage for one file.
pub struct Storing<'a> {
    pub engine: Engine,
    /// The unit, for the quarantine.
    pub lease: Lease,
    pub prepared: &'a mut mpsc::Receiver<PreparedBatch>,
    pub ahead: &'a Ahead,
    /// Receives the number of each committed batch.
    pub committed: &'a watch::Sender<i64>,
}

/// A batch whose objects are stored.
struct Stored {
    /// Number of the batch in this attempt, from 1.
    number: i64,
    /// The cursor after it.
    reached: Cursor,
    /// What to commit; none if an earlier attempt committed it.
    batch: Option<StoredBatch>,
    end: End,
}

impl Storing<'_> {
    /// Stores and commits every batch, from the cursor on.
    pub async fn run(
        mut self,
        context: &mut UnitContext,
        mut cursor: Cursor,
        file_name: &str,
    ) -> Result<(), UnitError> {
        context.check().await?;
        let mut next = self.store_next(&cursor).await?;
        while let Some(Stored { number, reached, batch, end }) = next {
            // What is stored is committed also when the unit must stop; nothing more is stored then.
            let stop = context.check().await;
            let is_last = stop.is_err() || !matches!(end, End::More);
            let (from, committed) = (reached.clone(), self.committed);
            let commit = async {
                if let Some(batch) = batch {
                    let work = i64::try_from(reached.bytes.saturating_sub(cursor.bytes)).unwrap_or(0);
                    context.commit(batch.into_batch(json!(reached), work, None)).await?;
                    crash::point("after_commit");
                    cursor = reached;
                }
                committed.send_replace(number);
                Ok::<(), UnitError>(())
            };
            let store = async { if is_last { Ok(None) } else { self.store_next(&from).await } };
            // A failed commit ends the attempt at once: the preparer may wait for that commit.
            ((), next) = tokio::try_join!(commit, store)?;
            stop?;
            match end {
                End::More => {}
                End::Finished(None) => return Ok(()),
                End::Finished(Some(ignored)) => return warn(context, &format!("{file_name}: {ignored}")).await,
                End::Failed(error) => {
                    return Err(UnitError::Failed {
                        code: ErrorCode::ValidationError,
                        message: format!("{file_name}: {}", observability::chain(&error)),
                        retry: error.is_transient(),
                    });
                }
            }
        }
        // The preparer ended early; its own error states why.
        Ok(())
    }

    /// Stores the objects of the next batch; none if there is none.
    async fn store_next(&mut self, cursor: &Cursor) -> Result<Option<Stored>, UnitError> {
        let Some(PreparedBatch { number, prepared, items_done, bytes_done, end }) = self.prepared.recv().await else {
            return Ok(None);
        };
        if items_done <= cursor.items {
            return Ok(Some(Stored { number, reached: cursor.clone(), batch: None, end }));
        }
        self.ahead.will_store(&prepared);
        let stored = store_records::store(&self.engine, &self.lease, vec![prepared]).await?.pop();
        crash::point("after_put");
        let reached = Cursor { items: items_done, bytes: bytes_done, md5: cursor.md5.clone() };
        Ok(Some(Stored { number, reached, batch: stored, end }))
    }
}
