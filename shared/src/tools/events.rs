//! The change feed as HTTP and the command line return it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgPool;

use super::error::ToolError;
use crate::db::Announcements;
use crate::projections::changes::{ChangeKind, FeedEntry, FeedError, FeedFilter, FeedPage, feed, next_changes};
use crate::pubmed::Notice;

/// Maximum number of changes of a page.
pub const MAX_EVENTS: i64 = 1000;
/// Default number of changes of a page.
pub const DEFAULT_EVENTS: i64 = 100;

/// Names of the kinds of changes.
pub const KINDS: [&str; 7] = ["new", "revised", "retracted", "retraction_withdrawn", "corrected", "concern", "deleted"];

/// A change of a record.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventView {
    /// Number of the event in the event log; changes of the same event share it.
    pub seq: i64,
    /// Type of the record: `pubmed`, or the type of another source.
    pub record_type: String,
    /// Identifier of the record within its type.
    pub record_id: String,
    /// PMID of the record, if it is a PubMed record.
    pub pmid: Option<String>,
    /// Kind of change.
    #[schemars(with = "String", extend("enum" = KINDS))]
    pub kind: ChangeKind,
    /// SHA-256 of the payload; null for a deletion.
    pub content_hash: Option<String>,
    /// When the archive accepted this state of the record.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub accepted_at: DateTime<Utc>,
    /// Integrity of the record according to its payload: `ok`, `corrected`, `concern`, `retracted` or
    /// `retraction_notice`; `unknown` if the payload could not be read; null for a deletion.
    pub integrity: Option<&'static str>,
    /// Notices that the record refers to, at most the first ten.
    pub notices: Vec<NoticeView>,
    /// Number of notices that the record refers to.
    pub notice_count: usize,
}

/// A notice that a record refers to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NoticeView {
    /// Type of the reference, e.g. `RetractionIn`.
    pub ref_type: String,
    /// PMID of the notice, if known.
    pub pmid: Option<String>,
    /// Citation of the notice.
    pub source: Option<String>,
}

/// A page of changes, in the order of the event log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventPage {
    /// The changes.
    pub events: Vec<EventView>,
    /// Number after which the next page starts.
    pub next_seq: i64,
    /// Whether no further changes existed at the time of the response.
    pub complete: bool,
}

impl From<Notice> for NoticeView {
    fn from(notice: Notice) -> Self {
        let Notice { ref_type, pmid, source } = notice;
        Self { ref_type, pmid, source }
    }
}

impl From<FeedEntry> for EventView {
    fn from(entry: FeedEntry) -> Self {
        Self {
            seq: entry.seq,
            pmid: (entry.record_type == "pubmed").then(|| entry.record_id.clone()),
            record_type: entry.record_type,
            record_id: entry.record_id,
            kind: entry.kind,
            content_hash: entry.content_hash,
            accepted_at: entry.accepted_at,
            integrity: entry.integrity.map(crate::pubmed::IntegrityStatus::as_str),
            notices: entry.notices.into_iter().map(NoticeView::from).collect(),
            notice_count: entry.notice_count,
        }
    }
}

impl From<FeedPage> for EventPage {
    fn from(page: FeedPage) -> Self {
        let events = page.entries.into_iter().map(EventView::from).collect();
        Self { events, next_seq: page.next_seq, complete: page.is_complete }
    }
}

impl From<FeedError> for ToolError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Db(error) => error.into(),
            error @ FeedError::AfterTheEnd(_) => Self::invalid_field("after", error.to_string()),
        }
    }
}

/// Reads names of kinds, separated by commas; none if one of them is unknown.
pub fn kinds(text: &str) -> Option<Vec<ChangeKind>> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(ChangeKind::parse).collect()
}

/// Returns a page of changes after a number; if there are none, waits for them at most `longest`.
pub async fn events(
    db: &PgPool,
    announced: &Announcements,
    filter: &FeedFilter,
    after: i64,
    limit: usize,
    longest: Duration,
) -> Result<EventPage, ToolError> {
    let page = if longest.is_zero() {
        feed(db, filter, after, limit).await?
    } else {
        next_changes(db, announced, filter, after, limit, longest).await?
    };
    Ok(page.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_from_a_list_and_the_schema_has_all_of_them() {
        assert_eq!(kinds("retracted, new"), Some(vec![ChangeKind::Retracted, ChangeKind::New]));
        assert_eq!((kinds(""), kinds("missing")), (Some(Vec::new()), None));
        assert_eq!(ChangeKind::ALL.map(ChangeKind::as_str), KINDS);
    }
}
