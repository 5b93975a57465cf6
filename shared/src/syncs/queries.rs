//! Keys bound to queries, and their watermarks.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::plan::{Resume, Watermarks};
use crate::db::DbError;
use crate::words::JobId;

/// A key with its query.
#[derive(Clone, Debug, Serialize)]
pub struct SyncQuery {
    /// The key.
    pub query_key: String,
    /// The query it is bound to.
    pub query: String,
    /// How far it has come.
    pub watermarks: Watermarks,
    /// Where a run with a limit stopped.
    pub resume: Option<Resume>,
    /// The last run.
    pub last_job_id: Option<Uuid>,
    /// When that ended.
    pub last_run_at: Option<DateTime<Utc>>,
}

impl SyncQuery {
    /// How far it is behind `now`; nothing before its first run has ended.
    pub fn lag(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        let watermarks = [self.watermarks.entry, self.watermarks.modification];
        watermarks.into_iter().collect::<Option<Vec<_>>>()?.into_iter().min().map(|oldest| now - oldest)
    }
}

#[derive(FromRow)]
struct Row {
    query_key: String,
    query: String,
    entry_watermark: Option<DateTime<Utc>>,
    modification_watermark: Option<DateTime<Utc>>,
    resume: Option<serde_json::Value>,
    last_job_id: Option<Uuid>,
    last_run_at: Option<DateTime<Utc>>,
}

impl From<Row> for SyncQuery {
    fn from(row: Row) -> Self {
        Self {
            query_key: row.query_key,
            query: row.query,
            watermarks: Watermarks { entry: row.entry_watermark, modification: row.modification_watermark },
            resume: row.resume.and_then(|resume| serde_json::from_value(resume).ok()),
            last_job_id: row.last_job_id,
            last_run_at: row.last_run_at,
        }
    }
}

/// A key cannot be bound to a query.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// It is bound to another.
    #[error("query_key {key} belongs to another query: choose another key, or leave it out")]
    OtherQuery {
        /// The key.
        key: String,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Binds a key to a query for ever; the same again changes nothing.
pub async fn bind(db: &PgPool, key: &str, query: &str) -> Result<SyncQuery, BindError> {
    sqlx::query("insert into sync_queries (query_key, query) values ($1, $2) on conflict do nothing")
        .bind(key)
        .bind(query)
        .execute(db)
        .await
        .map_err(DbError::from)?;
    match one(db, key).await? {
        Some(bound) if bound.query == query => Ok(bound),
        _ => Err(BindError::OtherQuery { key: key.to_owned() }),
    }
}

/// One key.
pub async fn one(db: impl PgExecutor<'_>, key: &str) -> Result<Option<SyncQuery>, DbError> {
    let row: Option<Row> =
        sqlx::query_as("select * from sync_queries where query_key = $1").bind(key).fetch_optional(db).await?;
    Ok(row.map(SyncQuery::from))
}

/// All keys.
pub async fn queries(db: &PgPool) -> Result<Vec<SyncQuery>, DbError> {
    let rows: Vec<Row> = sqlx::query_as("select * from sync_queries order by query_key").fetch_all(db).await?;
    Ok(rows.into_iter().map(SyncQuery::from).collect())
}

/// Moves both watermarks forward to an instant, never back, and notes it.
pub async fn advance(db: &mut PgConnection, key: &str, job: JobId, to: DateTime<Utc>) -> Result<(), DbError> {
    sqlx::query(include_str!("advance.sql")).bind(key).bind(to).bind(job.0).execute(db).await?;
    Ok(())
}

/// Notes the end of a run, and where the next one goes on.
pub async fn finish_run(
    db: &mut PgConnection,
    key: &str,
    job: JobId,
    resume: Option<Option<Resume>>,
) -> Result<(), DbError> {
    sqlx::query(
        "update sync_queries set last_job_id = $2, last_run_at = now(), \
         resume = case when $3 then $4 else resume end where query_key = $1",
    )
    .bind(key)
    .bind(job.0)
    .bind(resume.is_some())
    .bind(resume.flatten().map(|resume| serde_json::to_value(resume).expect("plain fields are JSON")))
    .execute(db)
    .await?;
    Ok(())
}

/// Sets both watermarks by hand, forward or back, and forgets where a run stopped. False while a run
/// of the key is queued or running.
pub async fn set_watermarks_by_hand(db: &PgPool, key: &str, to: DateTime<Utc>, who: &str) -> Result<bool, DbError> {
    let moved: i64 =
        sqlx::query_scalar(include_str!("set_watermarks.sql")).bind(key).bind(to).bind(who).fetch_one(db).await?;
    Ok(moved > 0)
}
