//! Jobs: submitted once, watched, cancelled, finished exactly once. One file per verb.
//!
//! What a job does is none of this module's business; `ingest` runs its work units.

mod cancel;
mod changes;
mod estimate;
mod expire;
mod going_on;
mod list;
mod log;
mod params;
mod state;
mod submit;

pub use cancel::{Cancelled, cancel};
pub use changes::Changes;
pub use estimate::estimated_duration_secs;
pub use expire::expire;
pub use going_on::{GoingOn, going_on};
pub use list::{Filter, get, list, position_in_queue};
pub use log::{Level, LogLine, logs, logs_after, logs_count, write_log};
pub use params::params_hash;
pub use state::{Job, JobState};
pub use submit::{FirstUnit, Limits, Submission, SubmitError, Submitted, submit};
