//! A job with its position in the queue and its estimated duration.

use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::state::Job;
use crate::db::DbError;
use bio_mcp_core::JobId;

/// A job, its position in the queue and its neighbours in a chain.
#[derive(Clone, Debug, FromRow)]
pub struct JobDetails {
    #[sqlx(flatten)]
    pub job: Job,
    /// How many queued jobs are claimed before it; 0 when it is next or no longer queued.
    pub position_in_queue: i64,
    /// Seconds until it has ended, as far as can be told: a running one by its own speed, a queued one by how long
    /// the last ones of its tool took. Nothing without anything to go by.
    pub estimated_duration_secs: Option<f64>,
    /// Id of the job of the previous step in its chain.
    pub previous_job_id: Option<Uuid>,
}

/// The details of one job.
pub async fn details(db: impl PgExecutor<'_>, job: JobId) -> Result<Option<JobDetails>, DbError> {
    let sql = concat!("select j.*, details.* from jobs as j ", include_str!("details.sql"), " where j.id = $1");
    Ok(sqlx::query_as(sql).bind(job.0).fetch_optional(db).await?)
}
