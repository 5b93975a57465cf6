//! Records of a job that failed or were missing.

use serde_json::Value;
use sqlx::{FromRow, PgConnection, PgPool};

use crate::db::DbError;
use bio_mcp_core::page::rows_to_read;
use bio_mcp_core::{JobId, Page};

/// One record that failed or was not returned.
#[derive(Clone, Debug, FromRow)]
pub struct RecordFailure {
    /// Position in the listing.
    pub id: i64,
    pub record_type: String,
    /// Identifier of the record, if it could be read.
    pub record_id: Option<String>,
    /// `failed` or `missing`.
    pub outcome: String,
    pub reason: Option<String>,
    /// Address of its bytes, if they are in quarantine.
    pub uri: Option<String>,
}

/// Failures of a job in the order in which they occurred, after one of them.
pub async fn failures(db: &PgPool, job: JobId, after: i64, limit: i64) -> Result<Page<RecordFailure>, DbError> {
    let rows = sqlx::query_as(
        "select id, record_type, record_id, outcome, reason, uri from ingestion_failures \
         where job_id = $1 and id > $2 order by id limit $3",
    )
    .bind(job.0)
    .bind(after)
    .bind(rows_to_read(limit))
    .fetch_all(db)
    .await?;
    Ok(Page::of(rows, limit))
}

/// Number of failures of a job.
pub async fn failures_count(db: &PgPool, job: JobId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar("select count(*) from ingestion_failures where job_id = $1")
        .bind(job.0)
        .fetch_one(db)
        .await?)
}

/// Identifiers of the first failed records that have one, for the result of a job that ends.
pub async fn failed_ids(db: &mut PgConnection, job: JobId, limit: i64) -> Result<Vec<String>, DbError> {
    Ok(sqlx::query_scalar(
        "select record_id from ingestion_failures where job_id = $1 and outcome = 'failed' and record_id is not null \
         order by id limit $2",
    )
    .bind(job.0)
    .bind(limit)
    .fetch_all(db)
    .await?)
}

/// Inputs of the units of a job that did not complete.
pub async fn unfinished_inputs(db: &PgPool, job: JobId) -> Result<Vec<Value>, DbError> {
    Ok(sqlx::query_scalar(
        "select input from ingestion_work_units where job_id = $1 and seq > 0 and status <> 'completed' order by phase, seq",
    )
    .bind(job.0)
    .fetch_all(db)
    .await?)
}
