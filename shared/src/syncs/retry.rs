//! Records that could not be archived: tried first by every later run of their query.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};

use crate::core::Pmid;
use crate::db::DbError;

/// A record that a search listed and EFetch did not return is looked for again in so many later runs, and
/// for a day at least.
pub const RETRIES_OF_ABSENT: i32 = 3;

/// A record to try again.
#[derive(Clone, Debug, FromRow, serde::Serialize)]
pub struct RetryRow {
    /// The query that wants it.
    pub query_key: String,
    pub pmid: String,
    /// Why it could not be archived.
    pub reason: String,
    /// How often it ended so.
    pub attempts: i32,
    /// When it failed first.
    pub first_failed_at: DateTime<Utc>,
    /// When it failed last.
    pub last_failed_at: DateTime<Utc>,
}

/// The PMIDs that a query tries again, those tried longest ago first: however few of them a run takes, each is tried.
pub async fn retries_of(db: &PgPool, query_key: &str) -> Result<Vec<Pmid>, DbError> {
    let rows: Vec<String> = sqlx::query_scalar(
        "select pmid from sync_retry where query_key = $1 order by last_failed_at, length(pmid), pmid",
    )
    .bind(query_key)
    .fetch_all(db)
    .await?;
    Ok(rows.iter().filter_map(|pmid| Pmid::parse(pmid).ok()).collect())
}

/// The list, longest waiting first, and how long it is.
pub async fn retry_list(db: &PgPool, limit: i64) -> Result<(Vec<RetryRow>, i64), DbError> {
    let rows = sqlx::query_as("select * from sync_retry order by first_failed_at, query_key, pmid limit $1")
        .bind(limit)
        .fetch_all(db)
        .await?;
    let total = sqlx::query_scalar("select count(*) from sync_retry").fetch_one(db).await?;
    Ok((rows, total))
}

/// Removes those that have an outcome now from a query's list, and puts those on it that failed (with the
/// reason) or were not returned although the search lists them.
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
