//! Where a job stands: how many are before it, and how long it will take.

use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::state::Job;
use crate::db::DbError;
use bio_mcp_core::JobId;

/// A job and where it stands.
#[derive(Clone, Debug, FromRow)]
pub struct Standing {
    /// The job.
    #[sqlx(flatten)]
    pub job: Job,
    /// How many queued jobs are claimed before it; 0 when it is next or no longer queued.
    pub position_in_queue: i64,
    /// Seconds until it has ended, as far as can be told: a running one by its own pace, a queued one by how long
    /// the last ones of its tool took. Nothing without anything to go by.
    pub estimated_duration_secs: Option<f64>,
    /// Id of the job of the previous step in its chain.
    pub previous_job_id: Option<Uuid>,
}

/// One job with where it stands.
pub async fn standing(db: impl PgExecutor<'_>, job: JobId) -> Result<Option<Standing>, DbError> {
    let sql = concat!("select j.*, standing.* from jobs as j ", include_str!("standing.sql"), " where j.id = $1");
    Ok(sqlx::query_as(sql).bind(job.0).fetch_optional(db).await?)
}
