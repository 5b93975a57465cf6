//! Rows that point into the archive: pointers, history, events.

mod accept;
mod clock;
mod intents;
mod missing;
mod past;
mod pointer;
mod purge;
mod quarantine;
mod restore;
mod summary;
mod versions;

pub use accept::{AcceptResult, Advance, PointerUpdate, accept, advance, lock_pointers};
pub use clock::{pull_back_all_pointers, pull_back_pointers};
pub use intents::{
    Named, SetAside, foreign, forget_intents, intend, intended, is_empty, named, object_status, put_aside,
    put_aside_own, take_back, unfinished,
};
pub use missing::{clear_missing, mark_missing};
pub use past::{ArchiveEvent, HistoryRow, addresses_as_of, event_as_of, events, first_event, history};
pub use pointer::{Pointer, PointerStamp, from_objects, lookup, lookup_to_decide, one, page, some_live};
pub use purge::record_purge;
pub use quarantine::{Arrived, PUBMED, Whole, key, pmid, release_older};
pub use restore::{
    FoundVersions, Restored, inconsistent, mark_lost, repair_cursor, repairs_from_objects, restore, save_repair_cursor,
};
pub use summary::{ArchiveSummary, recount, summary, wrong_counts};
pub use versions::{VersionChange, VersionEvent, VersionState, Versions, accept_versions, versions_of};
