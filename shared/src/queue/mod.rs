//! The queue wakes workers; it never decides anything.
//!
//! A message names a unit and carries a trace, nothing else. Lost, late, doubled or shuffled
//! messages are harmless, because the rows in Postgres say what is to be done.

use async_trait::async_trait;

use crate::words::{JobId, UnitId};

/// "Look again": a wake-up for one work unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeUp {
    /// The job.
    pub job_id: JobId,
    /// A unit that became claimable; a worker may claim another of the same tool.
    pub unit_id: UnitId,
    /// The trace the job belongs to.
    pub trace_id: String,
}

/// A wake-up was not taken by the queue; the sweep sends it again.
#[derive(Debug, thiserror::Error)]
#[error("the queue did not take a wake-up")]
pub struct QueueError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Something that wakes workers.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends wake-ups after their units were committed; answers per entry, in the same order.
    async fn wake(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>>;
}

/// No queue: workers listen to Postgres, whose triggers notify them in the same commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenOnly;

#[async_trait]
impl Queue for ListenOnly {
    async fn wake(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>> {
        wake_ups.iter().map(|_| Ok(())).collect()
    }
}
