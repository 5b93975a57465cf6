//! Rebuilding rows from what the archive's objects say.

use sqlx::{PgConnection, PgPool};

use super::Accepted;
use crate::db::{self, DbError};
use crate::words::{Pmid, Sha256};

/// Rows that were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Pointers.
    pub pointers: u64,
    /// History rows.
    pub history: u64,
    /// Events.
    pub events: u64,
}

/// Makes the rows of one record agree with its readable versions, given from oldest to newest: the
/// pointer is the newest, each payload has a history row, and the newest is the last event. A record
/// without any event gets one for each version, accepted when that was fetched.
pub async fn restore(db: &mut PgConnection, versions: &[Accepted]) -> Result<Restored, DbError> {
    let mut restored = Restored::default();
    let Some(newest) = versions.last() else { return Ok(restored) };
    let pmid = newest.pmid.to_string();
    let known: bool = sqlx::query_scalar("select exists (select from archive_events where pmid = $1)")
        .bind(&pmid)
        .fetch_one(&mut *db)
        .await?;
    for version in versions {
        let hash = version.content_hash.map(Sha256::to_hex);
        if let Some(hash) = &hash {
            restored.history += sqlx::query(
                "insert into pubmed_archive_history as h (pmid, content_hash, s3_uri, fetched_at, retracted) values ($1, $2, $3, $4, $6) \
                 on conflict (pmid, content_hash) do update set s3_uri = excluded.s3_uri, fetched_at = excluded.fetched_at, retracted = excluded.retracted \
                 where h.s3_uri <> all ($5) or h.retracted is null",
            )
            .bind(&pmid)
            .bind(hash)
            .bind(&version.s3_uri)
            .bind(version.fetched_at)
            .bind(versions.iter().map(|v| v.s3_uri.clone()).collect::<Vec<_>>())
            .bind(version.retracted)
            .execute(&mut *db)
            .await?
            .rows_affected();
        }
        // Beside recorded events only the newest may be missing: an older version without one was never
        // accepted, and must not seem to be the last change now.
        if known && version.s3_uri != newest.s3_uri {
            continue;
        }
        restored.events += sqlx::query(include_str!("restore_event.sql"))
            .bind(&pmid)
            .bind(if version.order.deleted { "deleted" } else { "archived" })
            .bind(&hash)
            .bind(&version.s3_uri)
            .bind(version.fetched_at)
            .execute(&mut *db)
            .await?
            .rows_affected();
    }
    restored.pointers += sqlx::query(include_str!("restore_pointer.sql"))
        .bind(&pmid)
        .bind(&newest.s3_uri)
        .bind(newest.content_hash.map(Sha256::to_hex))
        .bind(newest.fetched_at)
        .bind(&newest.api_etag)
        .bind(&newest.object_etag)
        .bind(newest.order.version)
        .bind(newest.order.date_revised)
        .bind(newest.order.as_of)
        .bind(newest.order.file_number)
        .bind(newest.order.position)
        .bind(newest.order.deleted)
        .execute(db)
        .await?
        .rows_affected();
    Ok(restored)
}

/// Marks a record whose object is gone or damaged, with no readable version left: the next time its
/// payload arrives it is stored again instead of being taken for unchanged.
pub async fn mark_lost(db: &PgPool, pmid: Pmid, s3_uri: &str) -> Result<(), DbError> {
    let mut tx = db::begin(db).await?;
    sqlx::query("update pubmed_archive set object_etag = '' where pmid = $1 and s3_uri = $2")
        .bind(pmid.to_string())
        .bind(s3_uri)
        .execute(&mut *tx)
        .await?;
    sqlx::query("delete from pubmed_archive_history where pmid = $1 and s3_uri = $2")
        .bind(pmid.to_string())
        .bind(s3_uri)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// Records whose rows contradict each other, with what is wrong: a live pointer without history,
/// without an event, or that is not the last event.
pub async fn inconsistent(db: &PgPool, limit: i64) -> Result<Vec<(Pmid, String)>, DbError> {
    // Looks at every row: on a large archive that takes longer than any other statement may.
    let mut patient = db::patient(db).await?;
    let rows: Vec<(String, String)> =
        sqlx::query_as(include_str!("inconsistent.sql")).bind(limit).fetch_all(&mut *patient).await?;
    Ok(rows.into_iter().filter_map(|(pmid, what)| Some((Pmid::parse(&pmid).ok()?, what))).collect())
}
