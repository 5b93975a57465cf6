//! Pointers: the newest accepted payload of each PMID.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool, Postgres, Row};

use super::{PointerUpdate, clock};
use crate::archive::{ETag, Known, StoredPayload};
use crate::core::{FileRank, Pmid, Precedence, RecordOrder, Sha256};
use crate::db::DbError;

/// The pointer row of one PMID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    pub pmid: Pmid,
    /// Address of the object version.
    pub s3_uri: String,
    /// Hash of the payload; none when the record was deleted.
    pub content_hash: Option<Sha256>,
    /// When this archive received the payload.
    pub fetched_at: DateTime<Utc>,
    /// HTTP `ETag` of the payload, if it came over HTTP with one.
    pub api_etag: Option<String>,
    /// `ETag` under the plain key, for conditional writes; none if the object is known to be lost.
    pub object_etag: Option<ETag>,
    /// Order of the payload.
    pub order: RecordOrder,
    /// The highest position in NLM's sequence of files that arrived for its version.
    pub seen: FileRank,
    /// Whether its versions have separate rows.
    pub versioned: bool,
    /// When the record was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Since when it is no longer returned upstream.
    pub missing_since: Option<DateTime<Utc>>,
    /// When this row last changed.
    pub updated_at: DateTime<Utc>,
    /// Whether its as-of time is in the future by the database's clock: a genuine revision would count as older.
    pub is_ahead: bool,
}

/// A statement that reads pointers.
macro_rules! select_pointers {
    ($rest:literal) => {
        concat!("select *, as_of > clock_timestamp() + interval '1 minute' as is_ahead from pubmed_archive ", $rest)
    };
}

/// The state of a pointer row when a decision was made: the row is changed only while it still has that state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointerStamp {
    /// Address of the object version.
    pub s3_uri: String,
    /// As-of time of the payload.
    pub as_of: DateTime<Utc>,
    /// The highest rank that arrived.
    pub seen: FileRank,
    /// Whether its versions have separate rows.
    pub versioned: bool,
}

impl Pointer {
    /// Whether its order is neither that of its object nor one with which the same payload arrived again.
    pub fn is_behind(&self, object: &RecordOrder) -> bool {
        let held = &self.order;
        let is_same_payload =
            (held.version, held.date_revised, held.deleted) == (object.version, object.date_revised, object.deleted);
        if held == object {
            return false;
        }
        !is_same_payload || self.seen < object.rank() || held.compare(object, object.rank()) == Precedence::Older
    }

    /// Address of its object.
    pub fn address(&self) -> StoredPayload {
        StoredPayload::new(&self.s3_uri, self.content_hash)
    }

    /// What a row, or its absence, states about the object under the plain key.
    pub fn known(pointer: Option<&Self>) -> Known {
        match pointer {
            None => Known::Nothing,
            Some(pointer) => pointer.object_etag.clone().map_or(Known::Lost, Known::Object),
        }
    }

    /// The current state of this row.
    pub fn stamp(&self) -> PointerStamp {
        PointerStamp {
            s3_uri: self.s3_uri.clone(),
            as_of: self.order.as_of,
            seen: self.seen,
            versioned: self.versioned,
        }
    }
}

impl FromRow<'_, PgRow> for Pointer {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let bad = |column: &str, source: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source,
        };
        let deleted_at: Option<DateTime<Utc>> = row.try_get("deleted_at")?;
        let hash: Option<&str> = row.try_get("content_hash")?;
        let order = RecordOrder {
            version: row.try_get("record_version")?,
            date_revised: row.try_get::<Option<NaiveDate>, _>("date_revised")?,
            as_of: row.try_get("as_of")?,
            file_number: row.try_get("file_number")?,
            position: row.try_get("position")?,
            file_id: row.try_get("file_id")?,
            deleted: deleted_at.is_some(),
        };
        let seen = FileRank { file_number: row.try_get("rank_file")?, position: row.try_get("rank_position")? };
        Ok(Self {
            pmid: Pmid::parse(row.try_get("pmid")?).map_err(|e| bad("pmid", e.into()))?,
            s3_uri: row.try_get("s3_uri")?,
            content_hash: hash.map(Sha256::parse).transpose().map_err(|e| bad("content_hash", e.into()))?,
            fetched_at: row.try_get("fetched_at")?,
            api_etag: row.try_get("api_etag")?,
            object_etag: ETag::parse(row.try_get("object_etag")?),
            seen: seen.max(order.rank()),
            order,
            versioned: row.try_get("versioned")?,
            deleted_at,
            missing_since: row.try_get("missing_since")?,
            updated_at: row.try_get("updated_at")?,
            is_ahead: row.try_get("is_ahead")?,
        })
    }
}

/// The pointers of those of `pmids` that have one.
pub async fn lookup(db: impl PgExecutor<'_>, pmids: &[Pmid]) -> Result<HashMap<Pmid, Pointer>, DbError> {
    let texts: Vec<String> = pmids.iter().map(ToString::to_string).collect();
    let rows: Vec<Pointer> =
        sqlx::query_as(select_pointers!("where pmid = any ($1)")).bind(texts).fetch_all(db).await?;
    Ok(rows.into_iter().map(|pointer| (pointer.pmid, pointer)).collect())
}

/// The pointer of one PMID.
pub async fn one(db: impl PgExecutor<'_>, pmid: Pmid) -> Result<Option<Pointer>, DbError> {
    Ok(sqlx::query_as(select_pointers!("where pmid = $1")).bind(pmid.to_string()).fetch_optional(db).await?)
}

/// The pointers of those of `pmids` that have one, locked in order until the transaction ends.
pub(super) async fn lookup_locked(db: &mut PgConnection, pmids: &[Pmid]) -> Result<HashMap<Pmid, Pointer>, DbError> {
    let texts: Vec<String> = pmids.iter().map(ToString::to_string).collect();
    let sql = select_pointers!("where pmid = any ($1) order by pmid for update");
    let rows: Vec<Pointer> = sqlx::query_as(sql).bind(texts).fetch_all(db).await?;
    Ok(rows.into_iter().map(|pointer| (pointer.pmid, pointer)).collect())
}

/// Up to `limit` pointers in the order of their PMIDs as text, after `after`.
pub async fn page(db: impl PgExecutor<'_>, after: Option<Pmid>, limit: i64) -> Result<Vec<Pointer>, DbError> {
    let after = after.map(|pmid| pmid.to_string()).unwrap_or_default();
    let sql = select_pointers!("where pmid > $1 order by pmid limit $2");
    Ok(sqlx::query_as(sql).bind(after).bind(limit).fetch_all(db).await?)
}

/// The pointers of those of `pmids` that have one, to decide about arriving payloads: an as-of time in the future is
/// corrected first; otherwise a genuine revision would be skipped as older.
pub async fn lookup_to_decide(db: &PgPool, pmids: &[Pmid]) -> Result<HashMap<Pmid, Pointer>, DbError> {
    let found = lookup(db, pmids).await?;
    let ahead: Vec<Pmid> = found.values().filter(|pointer| pointer.is_ahead).map(|pointer| pointer.pmid).collect();
    if ahead.is_empty() {
        return Ok(found);
    }
    clock::pull_back_pointers(db, &ahead).await?;
    lookup(db, pmids).await
}

/// Up to `limit` records whose pointer is based on its object alone, and the total number.
pub async fn from_objects(db: &PgPool, limit: i64) -> Result<(Vec<Pmid>, i64), DbError> {
    let sql = "select pmid from pubmed_archive where from_objects_at is not null order by pmid limit $1";
    let pmids: Vec<String> = sqlx::query_scalar(sql).bind(limit).fetch_all(db).await?;
    let sql = "select count(*) from pubmed_archive where from_objects_at is not null";
    let count = sqlx::query_scalar(sql).fetch_one(db).await?;
    Ok((pmids.iter().filter_map(|pmid| Pmid::parse(pmid).ok()).collect(), count))
}

/// Some records that exist upstream as far as the archive knows: the first live ones, in any order.
pub async fn some_live(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Pmid>, DbError> {
    let sql = "select pmid from pubmed_archive where deleted_at is null and missing_since is null limit $1";
    let pmids: Vec<String> = sqlx::query_scalar(sql).bind(limit).fetch_all(db).await?;
    Ok(pmids.iter().filter_map(|pmid| Pmid::parse(pmid).ok()).collect())
}

/// The value of the column `object_etag`, in which an empty text means a lost object.
pub(super) fn column_of(object_etag: Option<&ETag>) -> &str {
    object_etag.map_or("", ETag::as_str)
}

/// A statement that writes the row of one pointer, with its columns as $1 to $15, in the same order in
/// `put_pointer.sql` and `restore_pointer.sql`.
pub(super) fn written_by(sql: &'static str, row: &PointerUpdate) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql)
        .bind(row.pmid.to_string())
        .bind(&row.s3_uri)
        .bind(row.content_hash.map(Sha256::to_hex))
        .bind(row.fetched_at)
        .bind(&row.api_etag)
        .bind(column_of(row.object_etag.as_ref()))
        .bind(row.order.version)
        .bind(row.order.date_revised)
        .bind(row.order.as_of)
        .bind(row.order.file_number)
        .bind(row.order.position)
        .bind(&row.order.file_id)
        .bind(row.seen.file_number)
        .bind(row.seen.position)
        .bind(row.order.deleted)
}
