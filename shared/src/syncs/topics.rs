//! Queries that are synced automatically, at an interval.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};

use super::queries::RunFailure;
use crate::db::DbError;

/// A topic.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Topic {
    pub query_key: String,
    pub query: String,
    /// Interval at which it is synced.
    pub every_secs: i32,
    /// Priority of its jobs.
    pub priority: i16,
    /// The last slot for which there is a job.
    pub last_slot_at: Option<DateTime<Utc>>,
    /// When a run of its query last succeeded.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Runs that failed since then.
    pub failed_runs: i32,
    /// The last failure, even if a run has succeeded since.
    pub last_failure: Option<RunFailure>,
    /// When it is tried again after a failed run.
    pub next_try_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct Row {
    query_key: String,
    query: String,
    every_secs: i32,
    priority: i16,
    last_slot_at: Option<DateTime<Utc>>,
    last_success_at: Option<DateTime<Utc>>,
    failed_runs: i32,
    failed_at: Option<DateTime<Utc>>,
    failure_code: Option<String>,
    failure_message: Option<String>,
    next_try_at: Option<DateTime<Utc>>,
}

impl From<Row> for Topic {
    fn from(row: Row) -> Self {
        Self {
            query_key: row.query_key,
            query: row.query,
            every_secs: row.every_secs,
            priority: row.priority,
            last_slot_at: row.last_slot_at,
            last_success_at: row.last_success_at,
            failed_runs: row.failed_runs,
            last_failure: RunFailure::of(row.failed_at, row.failure_code, row.failure_message),
            next_try_at: row.next_try_at,
        }
    }
}

/// A topic that is due.
#[derive(Clone, Debug, FromRow)]
pub struct DueTopic {
    pub query_key: String,
    pub query: String,
    /// Priority of its jobs.
    pub priority: i16,
    /// The slot: the same in every process that checks within it, so that it gets one job.
    pub slot_at: DateTime<Utc>,
    /// When the last run of this slot failed, if this is a retry.
    pub failed_at: Option<DateTime<Utc>>,
}

/// Makes a bound key a topic, or changes its interval. Returns false if nothing changed.
pub async fn add_topic(db: &PgPool, query_key: &str, every_secs: i32, priority: i16) -> Result<bool, DbError> {
    let added = sqlx::query(
        "insert into sync_topics as t (query_key, every_secs, priority) values ($1, $2, $3) \
         on conflict (query_key) do update set every_secs = $2, priority = $3 \
         where (t.every_secs, t.priority) is distinct from ($2, $3)",
    )
    .bind(query_key)
    .bind(every_secs)
    .bind(priority)
    .execute(db)
    .await?;
    Ok(added.rows_affected() > 0)
}

/// Deletes a topic; its key, watermarks and records stay. False if it does not exist.
pub async fn remove_topic(db: &PgPool, query_key: &str) -> Result<bool, DbError> {
    let removed = sqlx::query("delete from sync_topics where query_key = $1").bind(query_key).execute(db).await?;
    Ok(removed.rows_affected() > 0)
}

/// All topics.
pub async fn topics(db: &PgPool) -> Result<Vec<Topic>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(include_str!("topics.sql")).fetch_all(db).await?;
    Ok(rows.into_iter().map(Topic::from).collect())
}

/// Topics without a job for the current slot by the database's clock, and those whose last run failed a while ago.
pub async fn due_topics(db: &PgPool) -> Result<Vec<DueTopic>, DbError> {
    Ok(sqlx::query_as(include_str!("due_topics.sql")).fetch_all(db).await?)
}

/// Stores that a slot has its job.
pub async fn mark_slot(db: &PgPool, query_key: &str, slot_at: DateTime<Utc>) -> Result<(), DbError> {
    sqlx::query(
        "update sync_topics set last_slot_at = $2 where query_key = $1 and (last_slot_at is null or last_slot_at < $2)",
    )
    .bind(query_key)
    .bind(slot_at)
    .execute(db)
    .await?;
    Ok(())
}

/// Seconds since the last success of the topic that succeeded longest ago; none without topics.
pub async fn oldest_topic_secs(db: &PgPool) -> Result<Option<f64>, DbError> {
    Ok(sqlx::query_scalar(include_str!("oldest_topic.sql")).fetch_one(db).await?)
}
