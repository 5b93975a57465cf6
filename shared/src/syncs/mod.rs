//! Syncs of queries: the binding of a key, its progress, the plan of a run, and the retry list.

mod clock;
mod found;
mod members;
mod plan;
mod queries;
mod retry;
mod runs;
mod slices;
mod topics;
mod unbind;

pub use clock::pull_back_syncs;
pub use found::{FoundPmid, count_found, forget_found, insert_found, take_found};
pub use members::add_members;
pub use plan::{
    Gap, ResumePoint, RunPlan, SlicePosition, Stage, StartState, StopPoint, Watermarks, Window, ncbi_day, start_of,
};
pub use queries::{
    BindError, Bound, RunFailure, SyncQuery, UnfinishedWalk, advance, bind, bind_within, finish_run, note_failure,
    note_success, note_upstream_count, one, queries, set_watermarks_by_hand, unbind_unused,
};
pub use retry::{RETRIES_OF_ABSENT, RetryRow, retries_of, retry_list, update_retry_list};
pub use runs::{SyncRun, run, save_search_end, save_stop, start_run};
pub use slices::{close_slice, open_slices};
pub use topics::{DueTopic, Topic, add_topic, due_topics, mark_slot, oldest_topic_secs, remove_topic, topics};
pub use unbind::{Unbound, unbind};
