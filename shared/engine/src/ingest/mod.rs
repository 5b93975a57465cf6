//! The ingest engine: jobs planned into work units, each unit claimed, fenced, run and completed exactly once.
//!
//! ```text
//! submit ─▶ unit 0 of a phase (plan) ─▶ units 1…n ─▶ … last unit ─▶ next phase | finalise
//!             claim → start → batches (each one transaction) → complete
//!                └── worker dies: reclaim ──┘      └── cancel, deadline, shutdown, snooze: at the next batch
//! ```
//!
//! The transaction that ends a job with success also submits the next step of its chain (`chain`).
//!
//! The protocol is in `lease`, `commit` and `completion`: every write contains the claimed epoch, and locks are taken
//! in the order job, unit, rows of the source.
//!
//! The engine is independent of sources. A [`Pipeline`] plans, runs and has its own rows ([`BatchRows`]); records are
//! [`RecordKey`](bio_mcp_core::RecordKey)s; the input and the cursor of a unit are JSON that only its pipeline reads.

mod attempts;
mod chain;
mod claims;
mod commit;
mod completion;
mod failures;
mod finalise;
mod heartbeat;
mod lease;
mod living;
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
mod unit_status;
mod wake;
mod worker;

use std::sync::Arc;

use sqlx::PgPool;

pub use attempts::{Attempt, troubled_attempts};
pub use chain::{StepError, Steps, cancel};
pub use commit::{Batch, BatchRows, CommitError};
pub use failures::{RecordFailure, failed_ids, failures, failures_count, unfinished_inputs};
pub use finalise::{EndedUnit, finalise};
pub use lease::{Claim, JobProgressed, Lease};
pub use living::{LivingWorkers, living_workers};
pub use outcomes::RecordOutcome;
pub use pipeline::{Ended, Pipeline, UnitContext, Upkeep};
pub use plan::{NewUnit, Plan};
pub use presence::{Census, Presence};
pub use quarantine::{Quarantined, Rejected, quarantined, quarantined_one, release};
pub use restart::restart;
pub use retry::{RetryError, retry};
pub use settings::Settings;
pub use sweep::{Swept, stuck_units, sweep};
pub use unit_error::UnitError;
pub use unit_status::UnitStatus;
pub use worker::{IdleReason, StepOutcome, WakeOutcome, Worker};

use bio_mcp_archive::Archive;

/// Everything that is needed to run work units.
#[derive(Clone)]
pub struct Engine {
    pub db: PgPool,
    pub archive: Archive,
    /// Wakes other workers.
    pub queue: Arc<dyn crate::queue::Queue>,
    /// Leases, limits, batch sizes.
    pub settings: Settings,
    /// The pipelines of this deployment.
    pub pipelines: Arc<[Arc<dyn Pipeline>]>,
    /// Additional tasks of the sweep.
    pub upkeep: Arc<[Arc<dyn Upkeep>]>,
    /// How tools submit the steps of chains.
    pub steps: Arc<dyn Steps>,
}

impl Engine {
    pub fn pipeline(&self, tool: &str) -> Option<Arc<dyn Pipeline>> {
        self.pipelines.iter().find(|pipeline| pipeline.tool() == tool).cloned()
    }

    /// Tools with a pipeline in this engine.
    pub fn tools(&self) -> Vec<String> {
        self.pipelines.iter().map(|pipeline| pipeline.tool().to_owned()).collect()
    }
}
