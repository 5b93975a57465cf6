//! Rows that point into the archive: pointers, history, events.

mod accept;
mod missing;
mod past;
mod pointer;
mod purge;
mod restore;
mod summary;

pub use accept::{Accepted, accept};
pub use missing::{clear_missing, mark_missing};
pub use past::{Event, HistoryRow, event_as_of, events, history};
pub use pointer::{Pointer, lookup, one, page, some_live};
pub use purge::record_purge;
pub use restore::{Restored, inconsistent, mark_lost, restore};
pub use summary::{Summary, summary};
