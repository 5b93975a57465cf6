//! Reading the feed. A reader that continues at `next_seq` receives every change once and in order, whatever the
//! filter.
//!
//! The feed of a query is its corpus as a log: a record is `new` at the number at which it became a member of the
//! query, in its state at that time, and its later changes follow. A repeated read returns the same changes.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{FromRow, PgPool};

use super::kinds::{ChangeKind, said};
use super::rows::{Details, note};
use super::{CHANGES, PUBMED, status};
use crate::db::DbError;
use crate::pubmed::{IntegrityStatus, Notice};

/// Maximum number of rows that a filtered page reads: then it ends, however few match.
const WINDOW: i64 = 50_000;

/// The same for members of a query, each of which is looked up.
const MEMBERS_WINDOW: i64 = 10_000;

/// Maximum number of notices that an entry has.
const MAX_NOTICES: usize = 10;

/// Maximum size of the text of a page, in bytes: a function's response has at most 6 MB.
const MAX_PAGE_TEXT: usize = 2 << 20;

/// The changes to return.
#[derive(Clone, Debug, Default)]
pub struct FeedFilter {
    /// Only changes of these kinds; empty for all.
    pub kinds: Vec<ChangeKind>,
    /// Only changes of records of this query.
    pub query_key: Option<String>,
}

/// A change.
#[derive(Clone, Debug)]
pub struct FeedEntry {
    /// Number of the event in the log.
    pub seq: i64,
    /// The type of the record.
    pub record_type: String,
    /// Identifier of the record within its type.
    pub record_id: String,
    /// Kind of the change.
    pub kind: ChangeKind,
    /// Hash of the payload; none for a deletion.
    pub content_hash: Option<String>,
    /// When the state was accepted.
    pub accepted_at: DateTime<Utc>,
    /// Integrity that the payload states; none for a deletion.
    pub integrity: Option<IntegrityStatus>,
    /// Notices that the record refers to, at most ten.
    pub notices: Vec<Notice>,
    /// Number of notices that the record refers to.
    pub notice_count: usize,
}

impl FeedEntry {
    /// Approximate length of the entry's text, in bytes.
    fn text_bytes(&self) -> usize {
        let length = |text: Option<&str>| text.map_or(0, str::len);
        let notice = |notice: &Notice| {
            50 + notice.ref_type.len() + length(notice.pmid.as_deref()) + length(notice.source.as_deref())
        };
        350 + self.record_type.len() + 2 * self.record_id.len() + self.notices.iter().map(notice).sum::<usize>()
    }
}

/// A page of changes, in order.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// The changes; those of the same event are on the same page.
    pub entries: Vec<FeedEntry>,
    /// Number after which the next page starts.
    pub next_seq: i64,
    /// Whether no further changes exist at this moment.
    pub is_complete: bool,
}

/// The feed cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The number is after the last event.
    #[error("is after the last event, {0}: it belongs to another event log; read again from 0")]
    AfterTheEnd(i64),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Whether any query has this key.
pub async fn known_query(db: &PgPool, query_key: &str) -> Result<bool, DbError> {
    let sql = "select exists (select from sync_queries where query_key = $1) \
               or exists (select from query_members where query_key = $1)";
    Ok(sqlx::query_scalar(sql).bind(query_key).fetch_one(db).await?)
}

/// Returns at most `limit` changes after a number, or those of a single number: they are not split.
pub async fn feed(db: &PgPool, filter: &FeedFilter, after: i64, limit: usize) -> Result<FeedPage, FeedError> {
    let end: End =
        sqlx::query_as(include_str!("feed_end.sql")).bind(CHANGES).fetch_one(db).await.map_err(DbError::from)?;
    if after > end.last_seq {
        return Err(FeedError::AfterTheEnd(end.last_seq));
    }
    let end_seq = if end.is_current { end.last_seq } else { end.seq };
    if after >= end_seq {
        return Ok(FeedPage { entries: Vec::new(), next_seq: after, is_complete: end.is_current });
    }
    let mut page = Page { entries: Vec::new(), upto: window_end(db, filter, after, end_seq).await? };
    page.add_changes(db, filter, after, limit).await?;
    if let Some(query_key) = joined_query(filter) {
        page.add_joined(db, filter, query_key, after, limit).await?;
    }
    page.cut(limit);
    Ok(FeedPage { entries: page.entries, next_seq: page.upto, is_complete: end.is_current && page.upto == end_seq })
}

/// How far the feed can be read.
#[derive(FromRow)]
struct End {
    last_seq: i64,
    seq: i64,
    is_current: bool,
}

/// The last number that a page covers.
async fn window_end(db: &PgPool, filter: &FeedFilter, after: i64, end: i64) -> Result<i64, DbError> {
    if filter.kinds.is_empty() && filter.query_key.is_none() {
        return Ok(end);
    }
    let sql = if is_rare(filter) { include_str!("window_of_rare.sql") } else { include_str!("window.sql") };
    let beyond: Option<i64> = sqlx::query_scalar(sql).bind(after).bind(end).bind(WINDOW).fetch_optional(db).await?;
    let end = beyond.map_or(end, |seq| seq - 1);
    let Some(query_key) = joined_query(filter) else { return Ok(end) };
    let beyond: Option<i64> = sqlx::query_scalar(include_str!("window_of_members.sql"))
        .bind(query_key)
        .bind(after)
        .bind(end)
        .bind(MEMBERS_WINDOW)
        .fetch_optional(db)
        .await?;
    // Those of one number are on one page, however many.
    Ok(beyond.map_or(end, |seq| (seq - 1).max(after + 1)))
}

/// The query whose new members may match: a record that becomes a member is new, and may state a problem.
fn joined_query(filter: &FeedFilter) -> Option<&str> {
    use ChangeKind::{Concern, Corrected, New, Retracted};
    let may_match =
        filter.kinds.is_empty() || filter.kinds.iter().any(|kind| [New, Retracted, Corrected, Concern].contains(kind));
    filter.query_key.as_deref().filter(|_| may_match)
}

/// Whether only rare kinds are requested.
fn is_rare(filter: &FeedFilter) -> bool {
    !filter.kinds.is_empty() && !filter.kinds.iter().any(|kind| kind.is_common())
}

/// A page that is being read: it is complete up to a number.
struct Page {
    entries: Vec<FeedEntry>,
    upto: i64,
}

#[derive(FromRow)]
struct Row {
    seq: i64,
    record_type: String,
    record_id: String,
    kind: String,
    content_hash: Option<String>,
    accepted_at: DateTime<Utc>,
    integrity: Option<String>,
    details: Option<Json<Details>>,
}

impl Page {
    async fn add_changes(&mut self, db: &PgPool, filter: &FeedFilter, after: i64, limit: usize) -> Result<(), DbError> {
        let sql = if is_rare(filter) {
            concat!(include_str!("feed.sql"), " and c.kind not in ('new', 'revised')", include_str!("feed_order.sql"))
        } else {
            concat!(include_str!("feed.sql"), include_str!("feed_order.sql"))
        };
        let kinds: Option<Vec<&str>> =
            (!filter.kinds.is_empty()).then(|| filter.kinds.iter().map(|kind| kind.as_str()).collect());
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(after)
            .bind(self.upto)
            .bind(kinds)
            .bind(&filter.query_key)
            .bind(limit_of(limit))
            .fetch_all(db)
            .await?;
        self.end_at_last_of(&rows, limit);
        self.entries.extend(rows.into_iter().filter_map(Row::entry));
        Ok(())
    }

    /// Adds records that became members of a query.
    async fn add_joined(
        &mut self,
        db: &PgPool,
        filter: &FeedFilter,
        query_key: &str,
        after: i64,
        limit: usize,
    ) -> Result<(), DbError> {
        let rows: Vec<Row> = sqlx::query_as(include_str!("joined.sql"))
            .bind(query_key)
            .bind(after)
            .bind(self.upto)
            .bind(PUBMED)
            .bind(limit_of(limit))
            .bind(filter.kinds.is_empty() || filter.kinds.contains(&ChangeKind::New))
            .fetch_all(db)
            .await?;
        self.end_at_last_of(&rows, limit);
        for row in rows {
            let note = note(row.integrity.as_deref(), row.details.clone());
            let kinds = [ChangeKind::New].into_iter().chain(note.iter().flat_map(|note| said(None, note)));
            let kinds: Vec<ChangeKind> = kinds.collect();
            let Some(entry) = row.entry() else { continue };
            let wanted = kinds.into_iter().filter(|kind| filter.kinds.is_empty() || filter.kinds.contains(kind));
            self.entries.extend(wanted.map(|kind| FeedEntry { kind, ..entry.clone() }));
        }
        Ok(())
    }

    /// If a statement returned its maximum of rows, more may follow its last number.
    fn end_at_last_of(&mut self, rows: &[Row], limit: usize) {
        if rows.len() >= limit
            && let Some(last) = rows.last()
        {
            self.upto = self.upto.min(last.seq);
        }
    }

    /// Ends the page at a number up to which it is complete and has at most `limit` changes and the maximum of text,
    /// unless a single number has more.
    fn cut(&mut self, limit: usize) {
        let upto = self.upto;
        self.entries.retain(|entry| entry.seq <= upto);
        self.entries.sort_by(|a, b| (a.seq, &a.record_id, a.kind).cmp(&(b.seq, &b.record_id, b.kind)));
        let mut text = 0;
        let fits = |entry: &&FeedEntry| {
            text += entry.text_bytes();
            text <= MAX_PAGE_TEXT
        };
        let count = self.entries.iter().take(limit).take_while(fits).count();
        let Some(first_left_out) = self.entries.get(count).map(|entry| entry.seq) else { return };
        let first = self.entries[0].seq;
        self.upto = if first_left_out == first { first } else { first_left_out - 1 };
        let upto = self.upto;
        self.entries.retain(|entry| entry.seq <= upto);
    }
}

impl Row {
    /// None if the kind is unknown: a newer program wrote it.
    fn entry(self) -> Option<FeedEntry> {
        let mut notices = self.details.map(|details| details.0.notices).unwrap_or_default();
        let notice_count = notices.len();
        notices.truncate(MAX_NOTICES);
        Some(FeedEntry {
            seq: self.seq,
            record_type: self.record_type,
            record_id: self.record_id,
            kind: ChangeKind::parse(&self.kind)?,
            content_hash: self.content_hash,
            accepted_at: self.accepted_at,
            integrity: self.integrity.as_deref().map(status),
            notices,
            notice_count,
        })
    }
}

fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: i64, id: &str, kind: ChangeKind) -> FeedEntry {
        FeedEntry {
            seq,
            record_type: PUBMED.to_owned(),
            record_id: id.to_owned(),
            kind,
            content_hash: None,
            accepted_at: DateTime::default(),
            integrity: None,
            notices: Vec::new(),
            notice_count: 0,
        }
    }

    #[test]
    fn a_page_ends_between_numbers() {
        let cut = |limit: usize, upto: i64| {
            let mut page = Page {
                entries: vec![
                    entry(4, "b", ChangeKind::New),
                    entry(2, "a", ChangeKind::Retracted),
                    entry(2, "a", ChangeKind::Revised),
                    entry(9, "c", ChangeKind::New),
                ],
                upto,
            };
            page.cut(limit);
            (page.entries.iter().map(|one| (one.seq, one.kind.as_str())).collect::<Vec<_>>(), page.upto)
        };
        let first = vec![(2, "revised"), (2, "retracted")];
        assert_eq!(cut(1, 20), (first.clone(), 2), "more than asked for, or it would never go on");
        assert_eq!(cut(2, 20), (first.clone(), 3));
        assert_eq!(cut(3, 20).1, 8);
        assert_eq!(cut(4, 20).1, 20, "all of them fit");
        assert_eq!(cut(9, 3), (first, 3), "behind that it is not whole");
    }

    #[test]
    fn a_page_ends_before_it_has_too_much_text() {
        let large = |seq: i64| {
            let source = Some("x".repeat(MAX_PAGE_TEXT / 4));
            let notices = vec![Notice { ref_type: "ErratumIn".to_owned(), pmid: None, source }];
            FeedEntry { notices, notice_count: 1, ..entry(seq, "a", ChangeKind::Corrected) }
        };
        let cut = |seqs: &[i64]| {
            let mut page = Page { entries: seqs.iter().map(|seq| large(*seq)).collect(), upto: 20 };
            page.cut(100);
            (page.entries.len(), page.upto)
        };
        assert_eq!(cut(&[1, 2, 3]), (3, 20));
        assert_eq!(cut(&[1, 2, 3, 7, 8]), (3, 6));
        assert_eq!(cut(&[1, 2, 2, 2, 2]), (1, 1), "those of one number are not split");
        assert_eq!(cut(&[1, 1, 1, 1, 1, 2]), (5, 1), "more than the maximum, or it would never go on");
    }
}
