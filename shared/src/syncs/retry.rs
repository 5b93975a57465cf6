//! Records that could not be archived: every later run of their query tries them first.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};

use crate::core::Pmid;
use crate::db::DbError;

/// Number of later runs, over at least a day, that try a record again which a search listed and EFetch did not return.
pub const RETRIES_OF_ABSENT: i32 = 3;

/// A record to try again.
#[derive(Clone, Debug, FromRow, serde::Serialize)]
pub struct RetryRow {
    /// Key of the query that found it.
    pub query_key: String,
    pub pmid: String,
    /// Why it could not be archived.
    pub reason: String,
    /// Number of failed attempts.
    pub attempts: i32,
    /// When it failed first.
    pub first_failed_at: DateTime<Utc>,
    /// When it failed last.
    pub last_failed_at: DateTime<Utc>,
}

/// The PMIDs that a query tries again, least recently tried first: each is tried even if a run takes only a few.
pub async fn retries_of(db: &PgPool, query_key: &str) -> Result<Vec<Pmid>, DbError> {
    let rows: Vec<String> = sqlx::query_scalar(
        "select pmid from sync_retry where query_key = $1 order by last_failed_at, length(pmid), pmid",
    )
    .bind(query_key)
    .fetch_all(db)
    .await?;
    Ok(rows.iter().filter_map(|pmid| Pmid::parse(pmid).ok()).collect())
}

/// The list, longest waiting first, and its length.
pub async fn retry_list(db: &PgPool, limit: i64) -> Result<(Vec<RetryRow>, i64), DbError> {
    let rows = sqlx::query_as("select * from sync_retry order by first_failed_at, query_key, pmid limit $1")
        .bind(limit)
        .fetch_all(db)
        .await?;
    let total = sqlx::query_scalar("select count(*) from sync_retry").fetch_one(db).await?;
    Ok((rows, total))
}

/// Removes records that have an outcome from a query's list, and adds those that failed (with the reason), or were not
/// returned although the search lists them.
pub async fn update_retry_list(
    db: &mut PgConnection,
    query_key: &str,
    done: &[Pmid],
    failed: &[(Pmid, String)],
    absent: &[Pmid],
) -> Result<(), DbError> {
    let text = |pmids: &[Pmid]| pmids.iter().map(ToString::to_string).collect::<Vec<_>>();
    if !done.is_empty() {
        sqlx::query("delete from sync_retry where query_key = $1 and pmid = any ($2)")
            .bind(query_key)
            .bind(text(done))
            .execute(&mut *db)
            .await?;
    }
    if failed.is_empty() && absent.is_empty() {
        return Ok(());
    }
    let pmids: Vec<String> = failed.iter().map(|(pmid, _)| pmid).chain(absent).map(ToString::to_string).collect();
    let reasons = failed.iter().map(|(_, reason)| reason.as_str()).chain(absent.iter().map(|_| "not_returned"));
    sqlx::query(
        "insert into sync_retry as r (query_key, pmid, reason) \
         select $1, pmid, reason from unnest($2::text[], $3::text[]) as t (pmid, reason) order by pmid \
         on conflict (query_key, pmid) do update \
         set reason = excluded.reason, last_failed_at = now(), \
             attempts = case when r.reason = excluded.reason then r.attempts + 1 else 1 end",
    )
    .bind(query_key)
    .bind(pmids)
    .bind(reasons.collect::<Vec<_>>())
    .execute(&mut *db)
    .await?;
    // Withdrawn: it has the outcome `missing` and nothing more is to be had.
    sqlx::query(
        "delete from sync_retry where query_key = $1 and pmid = any ($2) and attempts > $3 \
         and reason = 'not_returned' and first_failed_at < now() - interval '1 day'",
    )
    .bind(query_key)
    .bind(text(absent))
    .bind(RETRIES_OF_ABSENT)
    .execute(db)
    .await?;
    Ok(())
}
