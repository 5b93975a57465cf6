//! The history of accepted changes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use crate::archive::StoredPayload;
use crate::core::Pmid;
use crate::db::DbError;

/// One accepted change of a record.
#[derive(Clone, Debug, FromRow, serde::Serialize)]
pub struct ArchiveEvent {
    /// Sequence number in the event log of the archive.
    pub seq: i64,
    /// `archived` or `deleted`.
    pub outcome: String,
    /// Version of the record that changed, 0 for all versions; unknown for changes by earlier programs.
    pub record_version: Option<i32>,
    /// Hash of the payload, none for a deletion.
    pub content_hash: Option<String>,
    /// Address of the version.
    pub s3_uri: String,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
}

/// One distinct payload of a record.
#[derive(Clone, Debug, FromRow)]
pub struct HistoryRow {
    pub pmid: String,
    /// Hash of the payload.
    pub content_hash: String,
    /// Address of the version that first contained it.
    pub s3_uri: String,
    /// Whether the record's pointer names the same object with the same payload.
    pub is_pointer: bool,
}

impl ArchiveEvent {
    /// Address of its object.
    pub fn address(&self) -> StoredPayload {
        StoredPayload::of_row(&self.s3_uri, self.content_hash.as_deref())
    }
}

/// All accepted changes of a record, oldest first.
pub async fn events(db: impl PgExecutor<'_>, pmid: Pmid) -> Result<Vec<ArchiveEvent>, DbError> {
    let sql = "select seq, outcome, record_version, content_hash, s3_uri, accepted_at from archive_events where pmid = $1 order by seq";
    Ok(sqlx::query_as(sql).bind(pmid.to_string()).fetch_all(db).await?)
}

/// The number of the first event in the log, which distinguishes a rebuilt log from the lost one; 0 if the log is
/// empty.
pub async fn first_event(db: impl PgExecutor<'_>) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar("select coalesce(min(seq), 0) from archive_events").fetch_one(db).await?)
}

/// The newest accepted change of a record at a time.
pub async fn event_as_of(
    db: impl PgExecutor<'_>,
    pmid: Pmid,
    as_of: DateTime<Utc>,
) -> Result<Option<ArchiveEvent>, DbError> {
    let sql = "select seq, outcome, record_version, content_hash, s3_uri, accepted_at from archive_events \
               where pmid = $1 and accepted_at <= $2 order by seq desc limit 1";
    Ok(sqlx::query_as(sql).bind(pmid.to_string()).bind(as_of).fetch_optional(db).await?)
}

/// Addresses of the newest accepted changes of records at a time, for those that existed.
pub async fn addresses_as_of(
    db: impl PgExecutor<'_>,
    pmids: &[Pmid],
    as_of: DateTime<Utc>,
) -> Result<HashMap<Pmid, StoredPayload>, DbError> {
    let sql = "select asked.pmid, newest.s3_uri, newest.content_hash from unnest($1::text[]) as asked(pmid) \
               cross join lateral (select s3_uri, content_hash from archive_events e \
                   where e.pmid = asked.pmid and e.accepted_at <= $2 order by e.seq desc limit 1) as newest";
    let texts: Vec<String> = pmids.iter().map(ToString::to_string).collect();
    let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(sql).bind(texts).bind(as_of).fetch_all(db).await?;
    let address = |(pmid, s3_uri, hash): (String, String, Option<String>)| {
        Some((Pmid::parse(&pmid).ok()?, StoredPayload::of_row(&s3_uri, hash.as_deref())))
    };
    Ok(rows.into_iter().filter_map(address).collect())
}

/// Distinct payloads of records, in the order of PMIDs as text.
pub async fn history(db: impl PgExecutor<'_>, after: (&str, &str), limit: i64) -> Result<Vec<HistoryRow>, DbError> {
    let sql = "select h.pmid, h.content_hash, h.s3_uri, \
               coalesce(a.s3_uri = h.s3_uri and a.content_hash = h.content_hash, false) as is_pointer \
               from pubmed_archive_history h left join pubmed_archive a on a.pmid = h.pmid \
               where (h.pmid, h.content_hash) > ($1, $2) order by h.pmid, h.content_hash limit $3";
    Ok(sqlx::query_as(sql).bind(after.0).bind(after.1).bind(limit).fetch_all(db).await?)
}
