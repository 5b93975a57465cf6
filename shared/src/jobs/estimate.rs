//! How long a job will take.

use sqlx::PgPool;

use super::state::{Job, JobState};
use crate::db::DbError;

/// Seconds until a job has ended, as far as can be told: a running one by its own pace, a queued one
/// by how long the last ones of its tool took. Nothing without anything to go by.
pub async fn estimated_duration_secs(db: &PgPool, job: &Job) -> Result<Option<f64>, DbError> {
    match job.state {
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => Ok(Some(0.0)),
        JobState::Running => {
            let fraction = job.progress["fraction"].as_f64().unwrap_or(0.0);
            let elapsed: Option<f64> = sqlx::query_scalar(
                "select extract(epoch from now() - started_at)::double precision from jobs where id = $1",
            )
            .bind(job.id)
            .fetch_optional(db)
            .await?
            .flatten();
            Ok(elapsed.filter(|_| fraction > 0.01).map(|elapsed| elapsed * (1.0 - fraction) / fraction))
        }
        JobState::Queued => Ok(sqlx::query_scalar(include_str!("estimate.sql")).bind(&job.tool).fetch_one(db).await?),
    }
}
