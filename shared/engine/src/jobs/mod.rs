//! Jobs: submitted once, watched, cancelled, completed exactly once. One file per verb.
//!
//! The work of a job is outside of this module; `ingest` runs its work units.

mod active_jobs;
mod cancel;
mod chain;
mod changes;
mod details;
mod expire;
mod list;
mod log;
mod params;
mod progress;
mod references;
mod state;
mod submit;
mod wake;

pub use active_jobs::{ActiveJobs, active_jobs};
pub use cancel::{Cancelled, cancel};
pub use chain::{ChainPosition, Following, MAX_STEPS, Step, StepRefusal, UnreadableSteps, to_retry};
pub(crate) use chain::{insert_refused, link_next, log_dropped, result_before};
pub use changes::Changes;
pub use details::{JobDetails, details};
pub use expire::expire;
pub use list::{Filter, get, list};
pub use log::{Level, LogLine, logs, logs_after, logs_count, write_log};
pub use params::params_hash;
pub use progress::{JobResult, Progress};
pub use references::{ReferenceFault, ResultReference, references, resolved, without_references};
pub use state::{Job, JobState};
pub use submit::{FirstUnit, Limits, Submission, SubmitError, SubmitOutcome, submit};
pub(crate) use submit::{insert_within, replayed, why_not_within};
pub use wake::{wake_at_commit, wake_soon};
