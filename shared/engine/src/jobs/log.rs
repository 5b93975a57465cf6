//! Logs of jobs.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, PgPool};

use super::state::JobState;
use crate::db::DbError;
use bio_mcp_core::page::rows_to_read;
use bio_mcp_core::{JobId, Page};

/// Severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Regular events.
    Info,
    /// Work continues, but an operator may want to know.
    Warn,
    /// Something failed for good.
    Error,
}

impl Level {
    /// Severity of the end of a job in this state.
    pub fn of(state: JobState) -> Self {
        if state == JobState::Failed { Self::Error } else { Self::Info }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A line of a job's log.
#[derive(Clone, Debug, FromRow, serde::Serialize, schemars::JsonSchema)]
pub struct LogLine {
    /// Position in the log.
    pub id: i64,
    /// Time of the line.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: DateTime<Utc>,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// The message.
    pub message: String,
    /// Structured details of the message.
    pub fields: Value,
}

/// Adds a line to a job's log, in the transaction of the logged event.
pub async fn write_log(
    db: &mut PgConnection,
    job: JobId,
    level: Level,
    message: &str,
    fields: Value,
) -> Result<(), DbError> {
    sqlx::query("insert into ingestion_job_logs (job_id, level, message, fields) values ($1, $2, $3, $4)")
        .bind(job.0)
        .bind(level.as_str())
        .bind(message)
        .bind(fields)
        .execute(db)
        .await?;
    Ok(())
}

/// The last lines of a job's log, oldest first.
pub async fn logs(db: &PgPool, job: JobId, limit: i64) -> Result<Vec<LogLine>, DbError> {
    Ok(sqlx::query_as(
        "select id, at, level, message, fields from ( \
             select * from ingestion_job_logs where job_id = $1 order by id desc limit $2) last order by id",
    )
    .bind(job.0)
    .bind(limit)
    .fetch_all(db)
    .await?)
}

/// Lines of a job's log after one of them, oldest first.
pub async fn logs_after(db: &PgPool, job: JobId, after: i64, limit: i64) -> Result<Page<LogLine>, DbError> {
    let rows = sqlx::query_as(
        "select id, at, level, message, fields from ingestion_job_logs where job_id = $1 and id > $2 order by id limit $3",
    )
    .bind(job.0)
    .bind(after)
    .bind(rows_to_read(limit))
    .fetch_all(db)
    .await?;
    Ok(Page::of(rows, limit))
}

/// Number of lines of a job's log.
pub async fn logs_count(db: &PgPool, job: JobId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar("select count(*) from ingestion_job_logs where job_id = $1")
        .bind(job.0)
        .fetch_one(db)
        .await?)
}
