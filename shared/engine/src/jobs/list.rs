//! Reading jobs.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::details::JobDetails;
use super::state::{Job, JobState};
use crate::db::DbError;
use bio_mcp_core::page::rows_to_read;
use bio_mcp_core::{JobId, Page};

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only jobs in this state.
    pub state: Option<JobState>,
    /// Only jobs of this tool.
    pub tool: Option<String>,
    /// Only jobs of this chain.
    pub chain: Option<JobId>,
    /// Only jobs after this one in the listing (newest first).
    pub after: Option<(DateTime<Utc>, JobId)>,
    /// Number of jobs to skip.
    pub offset: i64,
    /// Maximum number of jobs.
    pub limit: i64,
}

pub async fn get(db: &PgPool, job: JobId) -> Result<Option<Job>, DbError> {
    Ok(sqlx::query_as("select * from jobs where id = $1").bind(job.0).fetch_optional(db).await?)
}

/// Jobs with their details, newest first, and the total number that match.
pub async fn list(db: &PgPool, filter: &Filter) -> Result<(Page<JobDetails>, i64), DbError> {
    let state = filter.state.map(JobState::as_str);
    let (after_at, after_id): (Option<DateTime<Utc>>, Option<Uuid>) = filter.after.map(|(at, id)| (at, id.0)).unzip();
    let jobs = sqlx::query_as(concat!(
        "select j.*, details.* from jobs as j ",
        include_str!("details.sql"),
        " where ($1::text is null or state = $1) and ($2::text is null or tool = $2) \
              and ($7::uuid is null or chain_id = $7) and ($3::timestamptz is null or (created_at, id) < ($3, $4)) \
              order by created_at desc, id desc limit $5 offset $6"
    ))
    .bind(state)
    .bind(&filter.tool)
    .bind(after_at)
    .bind(after_id)
    .bind(rows_to_read(filter.limit))
    .bind(filter.offset)
    .bind(filter.chain.map(|chain| chain.0))
    .fetch_all(db)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*) from jobs where ($1::text is null or state = $1) and ($2::text is null or tool = $2) \
         and ($3::uuid is null or chain_id = $3)",
    )
    .bind(state)
    .bind(&filter.tool)
    .bind(filter.chain.map(|chain| chain.0))
    .fetch_one(db)
    .await?;
    Ok((Page::of(jobs, filter.limit), total))
}
