//! What happened to a job.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgPool};

use crate::db::DbError;
use crate::words::JobId;

/// A line of a job's log.
#[derive(Clone, Debug, FromRow, serde::Serialize)]
pub struct LogLine {
    /// When.
    pub at: DateTime<Utc>,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// One sentence.
    pub message: String,
    /// Details.
    pub fields: Value,
}

/// The last lines of a job's log, oldest first.
pub async fn logs(db: &PgPool, job: JobId, limit: i64) -> Result<Vec<LogLine>, DbError> {
    Ok(sqlx::query_as(
        "select at, level, message, fields from ( \
             select * from ingestion_job_logs where job_id = $1 order by id desc limit $2) last order by id",
    )
    .bind(job.0)
    .bind(limit)
    .fetch_all(db)
    .await?)
}
