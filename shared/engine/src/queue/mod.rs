//! The queue wakes workers; it makes no decisions.
//!
//! A message contains a unit and a trace, nothing else. Lost, late, duplicate or reordered messages are harmless,
//! because the rows in Postgres determine the work.

#[cfg(feature = "aws")]
pub mod sqs;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use bio_mcp_core::{JobId, UnitId};

#[cfg(feature = "aws")]
pub use sqs::SqsQueue;

/// A wake-up for one work unit: a worker must check its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakeUp {
    pub job_id: JobId,
    /// A unit that became claimable; a worker may claim another one of the same tool.
    pub unit_id: UnitId,
    /// The trace of the job: 32 hex digits.
    pub trace_id: String,
}

/// A request to the queue failed; the sweep sends wake-ups again.
#[derive(Debug, thiserror::Error)]
#[error("the queue returned an invalid response")]
pub struct QueueError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A queue that wakes workers.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Whether workers wait for its messages, instead of notifications of the database.
    fn carries_messages(&self) -> bool;

    /// Sends wake-ups after their units were committed; returns one result per entry, in the same order.
    async fn wake(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>>;

    /// Hides a received message for `pause`.
    async fn delay(&self, receipt: &str, pause: Duration) -> Result<(), QueueError>;

    /// Checks that it is reachable; sends nothing.
    async fn check(&self) -> Result<(), QueueError>;
}

/// No queue: workers listen for notifications of Postgres.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenOnly;

#[async_trait]
impl Queue for ListenOnly {
    fn carries_messages(&self) -> bool {
        false
    }

    async fn wake(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>> {
        wake_ups.iter().map(|_| Ok(())).collect()
    }

    async fn delay(&self, _receipt: &str, _pause: Duration) -> Result<(), QueueError> {
        Ok(())
    }

    async fn check(&self) -> Result<(), QueueError> {
        Ok(())
    }
}
