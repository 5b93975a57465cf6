//! Catching up: batch after batch, new events first, then what a rebuild still has to read again.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::position::{self, Position};
use super::{EventBatch, Projection, Reading, Rows, event, upkeep};
use crate::db::{self, DbError};
use crate::ingest::{BatchRows, CommitError, Engine, RecordOutcome, UnitError};
use crate::words::crash;

/// Events of a batch, for each record of a batch that is archived: they take much less.
const EVENTS_PER_RECORD: usize = 5;

/// A batch of a projection that is ready to be written.
pub(super) struct Prepared {
    projection: &'static str,
    from: Position,
    to: Position,
    rows: Arc<dyn Rows>,
    /// Events that it has read.
    pub events: i64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Events that were read, each projection for itself.
    pub events: i64,
    /// Whether nothing is left to read.
    pub is_current: bool,
}

/// Reads on, and writes what follows, until nothing is left or `goes_on`, which is called with the events that were read,
/// says no. Any number of processes may do so at once: each batch is written once.
pub async fn catch_up(
    engine: &Engine,
    projections: &[Arc<dyn Projection>],
    goes_on: impl Fn(i64) -> bool,
) -> Result<Done, UnitError> {
    let reading = Reading { engine, is_last_attempt: false };
    let mut done = Done { events: 0, is_current: true };
    for projection in projections {
        while let Some(prepared) = next(reading, projection.as_ref()).await? {
            let mut tx = db::begin(&engine.db).await?;
            let is_written = prepared.write_rows(&mut tx).await?;
            tx.commit().await?;
            if is_written {
                done.events += prepared.events;
                upkeep::announce(&engine.db).await;
            }
            if !goes_on(done.events) {
                return Ok(Done { is_current: false, ..done });
            }
        }
    }
    Ok(done)
}

/// The next batch of a projection; nothing when there is none.
pub(super) async fn next(reading: Reading<'_>, projection: &dyn Projection) -> Result<Option<Prepared>, UnitError> {
    let db = &reading.engine.db;
    let limit = reading.engine.settings.batch_records.saturating_mul(EVENTS_PER_RECORD);
    let Some(from) = position::position(db, projection).await? else { return Ok(None) };
    let (batch, to) = if let Some(batch) = event::read(db, from.seq, None, limit).await? {
        let to = from.read_up_to(batch.upto);
        (batch, to)
    } else if let Some(rebuilt) = from.rebuilt_seq {
        let none = EventBatch { after: rebuilt, upto: from.seq, events: Vec::new() };
        let batch = event::read(db, rebuilt, Some(from.seq), limit).await?.unwrap_or(none);
        let to = from.rebuilt_up_to(batch.upto);
        (batch, to)
    } else {
        return Ok(None);
    };
    let rows = projection.prepare(reading, &batch).await?;
    crash::point("projection_prepared");
    let events = i64::try_from(batch.events.len()).unwrap_or(i64::MAX);
    Ok(Some(Prepared { projection: projection.name(), from, to, rows, events }))
}

impl Prepared {
    /// Where its unit is, for people: what counts is the position.
    pub fn cursor(&self) -> Value {
        json!({ self.projection: self.to.rebuilt_seq.unwrap_or(self.to.seq) })
    }

    /// Writes the rows with the position; false, and nothing, where another process has moved it since the batch was
    /// read: what was prepared may depend on rows that are not there any more.
    async fn write_rows(&self, tx: &mut PgConnection) -> Result<bool, DbError> {
        if !position::advance(tx, self.projection, self.from, self.to).await? {
            return Ok(false);
        }
        self.rows.write(tx).await?;
        crash::point("projection_written");
        Ok(true)
    }
}

/// In the transaction that commits a batch of a work unit.
#[async_trait]
impl BatchRows for Prepared {
    async fn write(&self, tx: &mut PgConnection, _: &mut [RecordOutcome]) -> Result<(), CommitError> {
        self.write_rows(tx).await?;
        Ok(())
    }
}
