//! Projections: rows derived from the event log. The archive is the truth; a projection can be dropped and derived
//! again from the first event, with the same result.
//!
//! ```text
//! archive_events ─▶ EventBatch ─▶ prepare (reads what the events need) ─▶ one transaction: rows, and the position
//! ```
//!
//! Events are numbered under a lock that is held until they are committed, so a reader that continues after the last
//! number it saw misses none. [`catch_up`] does that for every projection; [`CatchUp`] is the same as a job. A rebuild
//! reads the log again and replaces the rows of each event: readers see the old rows of an event or its new ones, and
//! new events are not delayed meanwhile.

mod catch_up;
pub mod changes;
mod event;
mod job;
mod lag;
mod position;
mod purge;
mod upkeep;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgConnection;

pub use catch_up::{CatchUpOutcome, catch_up};
pub use event::{Event, EventBatch};
pub use job::{CatchUp, TOOL, submit_if_behind};
pub use lag::{Lag, STALLED_AFTER, lag};
pub use position::{RebuildError, rebuild};
pub use purge::forget;
pub use upkeep::{CHANNEL, ReadersOfTheLog};

use crate::db::DbError;
use crate::ingest::{Engine, UnitError};

/// A reader of the event log that derives rows from it.
#[async_trait]
pub trait Projection: Send + Sync {
    /// Name of the projection, which identifies its position.
    fn name(&self) -> &'static str;

    /// Version of its rules: raised with every change after which the same events give other rows. The rows of older
    /// rules are rebuilt.
    fn rules(&self) -> i32;

    /// Reads what the events of a batch need, outside any transaction. The result depends only on the log, the
    /// payloads, and the rows of earlier events.
    async fn prepare(
        &self,
        prepare_context: PrepareContext<'_>,
        batch: &EventBatch,
    ) -> Result<Arc<dyn ProjectionRows>, UnitError>;
}

/// The rows of a batch of events.
#[async_trait]
pub trait ProjectionRows: Send + Sync {
    /// Writes the rows, and removes earlier rows of the numbers of the batch. The position moves in the same
    /// transaction. A commit that the database did not confirm is repeated, so this may be called more than once.
    async fn write(&self, tx: &mut PgConnection) -> Result<(), DbError>;
}

/// The context in which a batch is prepared.
#[derive(Clone, Copy)]
pub struct PrepareContext<'a> {
    /// The engine: database and archive.
    pub engine: &'a Engine,
    /// Whether an object that cannot be read is skipped, because earlier attempts failed too.
    pub is_last_attempt: bool,
}

/// The projections of this program.
pub fn all() -> Arc<[Arc<dyn Projection>]> {
    Arc::new([Arc::new(changes::ChangesProjection) as Arc<dyn Projection>])
}
