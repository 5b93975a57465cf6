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
    /// Number of queued jobs that are claimed before it; 0 if it is next or no longer queued.
    pub position_in_queue: i64,
    /// Estimated seconds until it ends: for a running job from its own progress, for a queued one from the durations of
    /// the last jobs of its tool. None without such data.
    pub estimated_duration_secs: Option<f64>,
    /// Id of the job of the previous step in its chain.
    pub previous_job_id: Option<Uuid>,
}

/// The details of one job.
pub async fn details(db: impl PgExecutor<'_>, job: JobId) -> Result<Option<JobDetails>, DbError> {
    let sql = concat!("select j.*, details.* from jobs as j ", include_str!("details.sql"), " where j.id = $1");
    Ok(sqlx::query_as(sql).bind(job.0).fetch_optional(db).await?)
}
