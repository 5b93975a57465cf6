//! Catching up: batch by batch, new events first, then the events that a rebuild has not processed yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::position::{self, Position};
use super::{EventBatch, PrepareContext, Projection, ProjectionRows, event, upkeep};
use crate::core::crash;
use crate::db::{self, DbError};
use crate::ingest::{BatchRows, CommitError, Engine, RecordOutcome, UnitError};

/// Events per batch, as a multiple of the records per batch of an ingest: an event costs much less.
const EVENTS_PER_RECORD: usize = 5;

/// Number of attempts at a batch after which an unreadable object is skipped.
pub(super) const LAST_ATTEMPT: i32 = 3;

/// Pause before the second attempt of [`catch_up`] at a batch; the one before the third is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// A batch of a projection that is ready to be written.
pub(super) struct PreparedRows {
    projection: &'static str,
    from: Position,
    to: Position,
    rows: Arc<dyn ProjectionRows>,
    /// Number of events in the batch.
    pub events: i64,
    /// Whether the rows were written, not those of another process.
    is_written: AtomicBool,
}

/// The result of catching up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatchUpOutcome {
    /// Number of processed events, counted for each projection.
    pub events: i64,
    /// Whether every projection is current.
    pub is_current: bool,
}

/// Processes events until every projection is current, or `may_continue`, which is called with the number of processed
/// events, returns false. Any number of processes may do so at once: each batch is written once. A batch that cannot be
/// read is tried three times; the last attempt skips unreadable objects while others can be read.
pub async fn catch_up(
    engine: &Engine,
    projections: &[Arc<dyn Projection>],
    may_continue: impl Fn(i64) -> bool,
) -> Result<CatchUpOutcome, UnitError> {
    let mut done = CatchUpOutcome { events: 0, is_current: true };
    for projection in projections {
        let mut attempt: i32 = 1;
        loop {
            let prepare_context = PrepareContext { engine, is_last_attempt: attempt >= LAST_ATTEMPT };
            let prepared = match next(prepare_context, projection.as_ref()).await {
                Ok(Some(prepared)) => prepared,
                Ok(None) => break,
                Err(UnitError::Failed { message, retry: true, .. })
                    if attempt < LAST_ATTEMPT && may_continue(done.events) =>
                {
                    tracing::warn!(projection = projection.name(), attempt, message, "a batch failed; retrying");
                    tokio::time::sleep(PAUSE * attempt.unsigned_abs()).await;
                    attempt += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            attempt = 1;
            let mut tx = db::begin(&engine.db).await?;
            let is_written = prepared.write_rows(&mut tx).await?;
            tx.commit().await?;
            if is_written {
                done.events += prepared.events;
                upkeep::announce(&engine.db).await;
            }
            if !may_continue(done.events) {
                return Ok(CatchUpOutcome { is_current: false, ..done });
            }
        }
    }
    Ok(done)
}

/// Prepares the next batch of a projection; returns none if it is current.
pub(super) async fn next(
    prepare_context: PrepareContext<'_>,
    projection: &dyn Projection,
) -> Result<Option<PreparedRows>, UnitError> {
    let db = &prepare_context.engine.db;
    let limit = batch_events(prepare_context.engine);
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
    let rows = projection.prepare(prepare_context, &batch).await?;
    crash::point("projection_prepared");
    let events = i64::try_from(batch.events.len()).unwrap_or(i64::MAX);
    Ok(Some(PreparedRows { projection: projection.name(), from, to, rows, events, is_written: AtomicBool::new(false) }))
}

/// Maximum number of events per batch.
pub(super) fn batch_events(engine: &Engine) -> usize {
    engine.settings.batch_records.saturating_mul(EVENTS_PER_RECORD)
}

impl PreparedRows {
    /// Number of event numbers that the batch covers.
    pub fn numbers(&self) -> i64 {
        self.from.work_until(self.to)
    }

    /// The cursor of the unit, for people: only the position is read.
    pub fn cursor(&self) -> Value {
        json!({ self.projection: self.to.rebuilt_seq.unwrap_or(self.to.seq) })
    }

    /// Writes the rows and the position; writes nothing and returns false if another process has moved the position
    /// since the batch was read, or purged a record: the batch may depend on rows that no longer exist.
    async fn write_rows(&self, tx: &mut PgConnection) -> Result<bool, DbError> {
        let is_written = position::advance(tx, self.projection, self.from, self.to).await?;
        self.is_written.store(is_written, Ordering::Relaxed);
        if is_written {
            self.rows.write(tx).await?;
            crash::point("projection_written");
        }
        Ok(is_written)
    }
}

/// In the transaction that commits a batch of a work unit.
#[async_trait]
impl BatchRows for PreparedRows {
    async fn write(&self, tx: &mut PgConnection, _: &mut [RecordOutcome]) -> Result<(), CommitError> {
        self.write_rows(tx).await?;
        Ok(())
    }

    fn work(&self, planned: i64) -> i64 {
        if self.is_written.load(Ordering::Relaxed) { planned } else { 0 }
    }
}
