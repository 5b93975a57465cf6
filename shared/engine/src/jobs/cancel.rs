//! Cancelling: at once when nothing runs, else at the next batch of what does.

use serde_json::json;
use sqlx::PgPool;

use super::chain::log_dropped;
use super::log::{Level, write_log};
use super::state::{Job, JobState};
use crate::db::{self, DbError};
use bio_mcp_core::JobId;

/// What cancelling did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// The state now.
    pub state: JobState,
    /// Whether the job is or will be cancelled; false when it had ended before.
    pub cancelled: bool,
    /// Whether units still run; they stop at their next batch.
    pub stopping: bool,
}

/// Cancels a job; nothing if there is no such job. Nothing new is planned or claimed from here on.
pub async fn cancel(db: &PgPool, job: JobId) -> Result<Option<Cancelled>, DbError> {
    let mut tx = db::begin(db).await?;
    let row: Option<Job> =
        sqlx::query_as("select * from jobs where id = $1 for update").bind(job.0).fetch_optional(&mut *tx).await?;
    let Some(row) = row else { return Ok(None) };
    let state = row.state;
    if state.is_terminal() {
        return Ok(Some(Cancelled { state, cancelled: false, stopping: false }));
    }
    let cancelled_units = sqlx::query(
        "update ingestion_work_units set status = 'cancelled', completed_at = now() \
         where job_id = $1 and status = 'pending'",
    )
    .bind(job.0)
    .execute(&mut *tx)
    .await?;
    let running: bool = sqlx::query_scalar(
        "select exists (select from ingestion_work_units where job_id = $1 and status in ('claimed', 'processing'))",
    )
    .bind(job.0)
    .fetch_one(&mut *tx)
    .await?;
    let stopped = cancelled_units.rows_affected() > 0;
    if state == JobState::Running && !running && !stopped {
        // Everything had ended before; the worker that ended it is about to write that.
        tx.rollback().await?;
        return Ok(Some(Cancelled { state, cancelled: false, stopping: false }));
    }
    let at_once = state == JobState::Queued && !running;
    sqlx::query(include_str!("cancel.sql")).bind(job.0).bind(at_once).execute(&mut *tx).await?;
    write_log(&mut tx, job, Level::Info, "cancellation was requested", json!({ "at_once": at_once })).await?;
    if at_once {
        log_dropped(&mut tx, &row).await?;
    }
    tx.commit().await?;
    let state = if at_once { JobState::Cancelled } else { state };
    Ok(Some(Cancelled { state, cancelled: true, stopping: !at_once }))
}
