//! What is asked of the queue: workers, jobs and the records that they could not archive.

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
        /// Only those in this state (queued, running, succeeded, failed, cancelled)
        #[arg(long)]
        state: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=100))]
        limit: i64,
    },
    /// Show a job
    Show {
        /// The job
        job: shared::words::JobId,
    },
    /// Follow a job until it ends
    Watch {
        /// The job
        job: shared::words::JobId,
    },
    /// Cancel a job; running units stop at their next batch
    Cancel {
        /// The job
        job: shared::words::JobId,
    },
    /// Print a job's log
    Logs {
        /// The job
        job: shared::words::JobId,
        /// At most so many lines, the last ones
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// List the records that failed or were not returned
    Failures {
        /// The job
        job: shared::words::JobId,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Do again what failed, as a new job
    Retry {
        /// The job that ended
        job: shared::words::JobId,
        /// Submit the job and return; a `worker` or `up` does it
        #[arg(long)]
        detach: bool,
    },
}

/// What to do with quarantined records.
#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// List them, newest first
    List {
        /// Only those of this job
        #[arg(long)]
        job: Option<shared::words::JobId>,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Print the bytes of one
    Show {
        /// Its number
        id: i64,
    },
    /// Try to archive them again, with this version and its limits
    Retry {
        /// Their numbers
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}
