//! Numbers of queued and running jobs, for metrics.

use sqlx::{FromRow, PgPool};

use crate::db::DbError;

/// The unfinished jobs of a tool.
#[derive(Clone, Debug, FromRow)]
pub struct ActiveJobs {
    pub tool: String,
    /// Number of running jobs.
    pub running: i64,
    /// Their average progress, from 0 to 1.
    pub fraction: f64,
    /// How long the oldest queued one has waited, in seconds.
    pub oldest_secs: f64,
}

/// The unfinished jobs of each tool that has any.
pub async fn active_jobs(db: &PgPool) -> Result<Vec<ActiveJobs>, DbError> {
    Ok(sqlx::query_as(include_str!("active_jobs.sql")).fetch_all(db).await?)
}
