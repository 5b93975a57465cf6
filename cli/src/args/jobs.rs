//! Arguments of commands about the queue: workers, jobs and quarantined records.

use clap::Subcommand;

/// Arguments of `worker`.
#[derive(Debug, clap::Args)]
pub struct Work {
    /// Stop when no work is left
    #[arg(long)]
    pub once: bool,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// List jobs, newest first
    List {
        /// Only jobs in this state (queued, running, succeeded, failed, cancelled)
        #[arg(long)]
        state: Option<String>,
        /// Maximum number of jobs
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=100))]
        limit: i64,
    },
    /// Show a job
    Show {
        /// Id of the job
        job: shared::core::JobId,
    },
    /// Follow a job until it ends
    Watch {
        /// Id of the job
        job: shared::core::JobId,
    },
    /// Cancel a job; running units stop after their current batch
    Cancel {
        /// Id of the job
        job: shared::core::JobId,
    },
    /// Print a job's log
    Logs {
        /// Id of the job
        job: shared::core::JobId,
        /// Maximum number of lines, the most recent ones
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// List the records that failed or were not returned
    Failures {
        /// Id of the job
        job: shared::core::JobId,
        /// Maximum number of records
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Retry what failed as a new job
    Retry {
        /// Id of the finished job
        job: shared::core::JobId,
        /// Submit the job and return; a `worker` or `up` runs it
        #[arg(long)]
        detach: bool,
    },
}

/// What to do with quarantined records.
#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// List quarantined records, newest first
    List {
        /// Only records of this job
        #[arg(long)]
        job: Option<shared::core::JobId>,
        /// Maximum number of records
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Print the exact bytes of a record
    Show {
        /// Number of the record, from `list`
        id: i64,
    },
    /// Try to archive records again, with this version and its limits
    Retry {
        /// Numbers of the records, from `list`
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// Retry all records
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}
