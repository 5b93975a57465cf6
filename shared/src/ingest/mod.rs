//! The ingest engine: jobs planned into work units, each unit claimed, fenced, run and finished
//! exactly once.
//!
//! ```text
//! submit ─▶ unit 0 of a phase (plan) ─▶ units 1…n ─▶ … last unit ─▶ next phase | finalise
//!             claim → start → batches (each one transaction) → complete
//!                └── worker dies: reclaim ──┘      └── cancel, deadline, shutdown, snooze: at the next batch
//! ```
//!
//! The protocol is in `lease` and `endings`: every write names the epoch that was claimed, and locks are taken
//! in the order job, unit, pointers, event counter.

mod claims;
mod endings;
mod failures;
mod finalise;
mod heartbeat;
mod lease;
mod outcomes;
mod pipeline;
mod plan;
mod presence;
mod quarantine;
mod restart;
mod retry;
mod settings;
mod sweep;
mod unit_error;
mod wake;
mod worker;

use std::sync::Arc;

use sqlx::PgPool;

pub use failures::{Failure, failures, failures_count, unfinished_inputs};
pub use finalise::finalise;
pub use lease::{Batch, BatchRows, Claim, Lease, Settled};
pub use outcomes::Line;
pub use pipeline::{Pipeline, UnitContext};
pub use plan::{NewUnit, Plan};
pub use presence::Presence;
pub use quarantine::{Quarantined, Rejected, Whole, quarantined, quarantined_one, release};
pub use restart::restart;
pub use retry::{RetryError, retry};
pub use settings::Settings;
pub use sweep::{Swept, stuck_units, sweep};
pub use unit_error::UnitError;
pub use worker::{Idle, Ran, Woken, Worker};

use crate::archive::Archive;

/// What running work units needs.
#[derive(Clone)]
pub struct Engine {
    /// State.
    pub db: PgPool,
    /// Objects.
    pub archive: Archive,
    /// Wakes other workers.
    pub queue: Arc<dyn crate::queue::Queue>,
    /// Leases, limits, batch sizes.
    pub settings: Settings,
    /// What this deployment can run.
    pub pipelines: Arc<[Arc<dyn Pipeline>]>,
}

impl Engine {
    /// The pipeline of a tool.
    pub fn pipeline(&self, tool: &str) -> Option<Arc<dyn Pipeline>> {
        self.pipelines.iter().find(|pipeline| pipeline.tool() == tool).cloned()
    }

    /// The tools this engine can run.
    pub fn tools(&self) -> Vec<String> {
        self.pipelines.iter().map(|pipeline| pipeline.tool().to_owned()).collect()
    }
}
