//! Projections: what follows from the event log. The archive is the truth; a projection can be dropped and made again
//! from the first event, with the same result.
//!
//! ```text
//! archive_events ─▶ EventBatch ─▶ prepare (reads what the events need) ─▶ one transaction: rows, and the position
//! ```
//!
//! Events are numbered under a lock that is held until they are committed, so a reader of the log that goes on after the
//! last number it saw misses none. [`catch_up`] does that for every projection; [`CatchUp`] is the same as a job.
//! A rebuild goes over the log again and writes each event's rows in place of those that are there: readers see the old
//! rows of an event or its new ones, and new events are not kept waiting meanwhile.

mod catch_up;
pub mod changes;
mod event;
mod job;
mod lag;
mod position;
mod upkeep;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgConnection;

pub use catch_up::{Done, catch_up};
pub use event::{Event, EventBatch};
pub use job::{CatchUp, TOOL, submit_if_behind};
pub use lag::{Lag, STALLED_AFTER, lag};
pub use position::{RebuildError, rebuild};
pub use upkeep::{CHANNEL, ReadersOfTheLog};

use crate::db::DbError;
use crate::ingest::{Engine, UnitError};

/// A reader of the event log that keeps rows of its own.
#[async_trait]
pub trait Projection: Send + Sync {
    /// Names its position.
    fn name(&self) -> &'static str;

    /// Counts the ways in which it has read events: to be raised with every change after which the same events give
    /// other rows. The rows of lower rules are rebuilt.
    fn rules(&self) -> i32;

    /// Reads what the events of a batch need, outside of any transaction. Depends on nothing but the log, the payloads,
    /// and rows that earlier events gave.
    async fn prepare(&self, reading: Reading<'_>, batch: &EventBatch) -> Result<Arc<dyn Rows>, UnitError>;
}

/// What a batch of events gives.
#[async_trait]
pub trait Rows: Send + Sync {
    /// Writes it in place of what the numbers of the batch gave before, if anything. The position moves in the same
    /// transaction. A commit that the database did not confirm is made again, so this may be called more than once.
    async fn write(&self, tx: &mut PgConnection) -> Result<(), DbError>;
}

/// What a batch is prepared with.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// State and objects.
    pub engine: &'a Engine,
    /// Whether an object that cannot be read now is given up, because it could not be read before either.
    pub is_last_attempt: bool,
}

/// The projections of this program.
pub fn all() -> Arc<[Arc<dyn Projection>]> {
    Arc::new([Arc::new(changes::Changes) as Arc<dyn Projection>])
}
