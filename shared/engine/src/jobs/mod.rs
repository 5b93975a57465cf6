//! Jobs: submitted once, watched, cancelled, finished exactly once. One file per verb.
//!
//! What a job does is none of this module's business; `ingest` runs its work units.

mod cancel;
mod chain;
mod changes;
mod expire;
mod going_on;
mod list;
mod log;
mod params;
mod progress;
mod references;
mod standing;
mod state;
mod submit;
mod wake;

pub use cancel::{Cancelled, cancel};
pub use chain::{Following, MAX_STEPS, Place, Refusal, Step, UnreadableSteps, to_retry};
pub(crate) use chain::{insert_refused, link_next, log_dropped, result_before};
pub use changes::Changes;
pub use expire::expire;
pub use going_on::{GoingOn, going_on};
pub use list::{Filter, get, list};
pub use log::{Level, LogLine, logs, logs_after, logs_count, write_log};
pub use params::params_hash;
pub use progress::{JobResult, Progress};
pub use references::{Reference, ReferenceFault, references, resolved, without_references};
pub use standing::{Standing, standing};
pub use state::{Job, JobState};
pub use submit::{FirstUnit, Limits, Submission, SubmitError, Submitted, submit};
pub(crate) use submit::{insert_within, replayed, why_not_within};
pub use wake::{wake_at_commit, wake_soon};
