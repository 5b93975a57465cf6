//! Cancels a job and the steps after it: at once if no unit runs, else at the next batch of the running ones.

use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::chain::{active_in_chain, log_dropped};
use super::log::{Level, write_log};
use super::state::{Job, JobState};
use crate::db::{self, DbError};
use bio_mcp_core::JobId;

/// Result of cancelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// The present state.
    pub state: JobState,
    /// Whether the job, or the steps after it, are or will be cancelled; false if there was nothing to cancel.
    pub cancelled: bool,
    /// Whether units are running; they stop at their next batch.
    pub stopping: bool,
    /// If nothing was cancelled, the job of the same chain that can be.
    pub next_job: Option<JobId>,
}

/// Cancels a job and the steps after it; returns none if there is no such job. Nothing new is planned, claimed or
/// submitted from here on. A job that has ended does not change.
pub async fn cancel(db: &PgPool, job: JobId) -> Result<Option<Cancelled>, DbError> {
    let mut tx = db::begin(db).await?;
    let row: Option<Job> =
        sqlx::query_as("select * from jobs where id = $1 for update").bind(job.0).fetch_optional(&mut *tx).await?;
    let Some(row) = row else { return Ok(None) };
    let state = row.state;
    if state.is_terminal() {
        let ended = cancel_next(&mut tx, &row).await?;
        tx.commit().await?;
        return Ok(Some(ended));
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
        // All units had ended before; the worker that ended the last one will finalise the job.
        let ended = cancel_next(&mut tx, &row).await?;
        tx.commit().await?;
        return Ok(Some(ended));
    }
    let at_once = state == JobState::Queued && !running;
    sqlx::query(include_str!("cancel.sql")).bind(job.0).bind(at_once).execute(&mut *tx).await?;
    write_log(&mut tx, job, Level::Info, "cancellation was requested", json!({ "at_once": at_once })).await?;
    if at_once {
        log_dropped(&mut tx, &row).await?;
    }
    tx.commit().await?;
    let state = if at_once { JobState::Cancelled } else { state };
    Ok(Some(Cancelled { state, cancelled: true, stopping: !at_once, next_job: None }))
}

/// Cancels the steps after a job whose units have all ended, if the next one was not submitted yet. The job is locked.
async fn cancel_next(db: &mut PgConnection, job: &Job) -> Result<Cancelled, DbError> {
    let state = job.state;
    let cancelled = job.is_followed() && !matches!(state, JobState::Failed | JobState::Cancelled);
    if cancelled {
        sqlx::query("update jobs set then_cancelled = true where id = $1").bind(job.id).execute(&mut *db).await?;
        write_log(db, job.job_id(), Level::Info, "cancellation was requested", json!({ "at_once": true })).await?;
        log_dropped(db, job).await?;
    }
    let next_job = if cancelled { None } else { active_in_chain(db, job).await? };
    Ok(Cancelled { state, cancelled, stopping: false, next_job })
}
