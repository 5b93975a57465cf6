//! Moving pointers: the rows of a batch of stored objects.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, Row};

use crate::db::DbError;
use crate::words::{Pmid, RecordOrder, Sha256};

/// A stored version that is to become the pointer of its PMID.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The record.
    pub pmid: Pmid,
    /// Address of the version.
    pub s3_uri: String,
    /// Its `ETag` in the store.
    pub object_etag: String,
    /// Hash of its payload, none for a tombstone.
    pub content_hash: Option<Sha256>,
    /// Whether its payload says that the article was retracted.
    pub retracted: bool,
    /// When it came here.
    pub fetched_at: DateTime<Utc>,
    /// HTTP `ETag`, if it had one.
    pub api_etag: Option<String>,
    /// Its order.
    pub order: RecordOrder,
}

/// Writes pointer, history and event of each row (distinct PMIDs) and answers the PMIDs that were
/// accepted; the others have a newer pointer by now.
///
/// Must be the last rows written before the counters of the unit: from here to the commit the
/// numbering of events is locked.
pub async fn accept(db: &mut PgConnection, rows: &[Accepted]) -> Result<HashSet<Pmid>, DbError> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let accepted = sqlx::query(include_str!("accept.sql"))
        .bind(column(rows, |r| r.pmid.to_string()))
        .bind(column(rows, |r| r.s3_uri.clone()))
        .bind(column(rows, |r| r.content_hash.map(Sha256::to_hex)))
        .bind(column(rows, |r| r.fetched_at))
        .bind(column(rows, |r| r.api_etag.clone()))
        .bind(column(rows, |r| r.object_etag.clone()))
        .bind(column(rows, |r| r.order.version))
        .bind(column::<Option<NaiveDate>>(rows, |r| r.order.date_revised))
        .bind(column(rows, |r| r.order.as_of))
        .bind(column(rows, |r| r.order.file_number))
        .bind(column(rows, |r| r.order.position))
        .bind(column(rows, |r| r.order.deleted))
        .bind(column(rows, |r| r.retracted))
        .fetch_all(db)
        .await?;
    accepted
        .iter()
        .map(|row| {
            let pmid: &str = row.try_get(0)?;
            Pmid::parse(pmid).map_err(|e| DbError::Refused(sqlx::Error::Decode(e.into())))
        })
        .collect()
}

fn column<T>(rows: &[Accepted], get: impl Fn(&Accepted) -> T) -> Vec<T> {
    rows.iter().map(get).collect()
}
