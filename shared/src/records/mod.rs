//! Rows that point into the archive: pointers, history, events.

mod accept;
mod missing;
mod past;
mod pointer;
mod purge;
mod restore;
mod summary;
mod versions;

pub use accept::{Accepted, Accepts, Advance, accept, advance, lock_pointers};
pub use missing::{clear_missing, mark_missing};
pub use past::{Event, HistoryRow, addresses_as_of, event_as_of, events, first_event, history};
pub use pointer::{Pointer, PointerStamp, lookup, one, page, some_live};
pub use purge::record_purge;
pub use restore::{Found, Restored, inconsistent, mark_lost, repair_cursor, restore, save_repair_cursor};
pub use summary::{Summary, recount, summary, wrong_counts};
pub use versions::{VersionChange, VersionEvent, VersionState, Versions, accept_versions, versions_of};
