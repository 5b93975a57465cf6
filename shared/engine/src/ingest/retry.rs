//! A job again, of only what failed.

use super::Engine;
use super::unit_error::UnitError;
use crate::jobs::{self, FirstUnit, Job, Limits, Submission, SubmitError, Submitted};
use bio_mcp_core::{Caller, ErrorCode};

/// Submits a child of an ended job that does again what failed in it; nothing when nothing did.
/// `caller` is the principal of the new job; `with` says the rest.
pub async fn retry(
    engine: &Engine,
    job: &Job,
    limits: Limits,
    caller: &Caller,
    with: impl FnOnce(Submission) -> Submission,
) -> Result<Option<Submitted>, RetryError> {
    let unknown = || UnitError::permanent(ErrorCode::Internal, "this program does not know the job's tool");
    let pipeline = engine.pipeline(&job.tool).ok_or_else(unknown)?;
    let Some(params) = pipeline.retry(&engine.db, job).await? else { return Ok(None) };
    let first_phase = pipeline.phases().first().copied().unwrap_or_default();
    let submission = Submission::new(&job.tool, params, first_phase);
    let required_hostname: Option<String> = sqlx::query_scalar(
        "select required_hostname from ingestion_work_units where job_id = $1 and seq = 0 order by phase limit 1",
    )
    .bind(job.id)
    .fetch_optional(&engine.db)
    .await
    .map_err(UnitError::from)?
    .flatten();
    let submission = Submission {
        principal: caller.principal.clone(),
        trace_id: caller.trace_id.clone(),
        // What is left of a job may be more than a day allows: it goes on as far as it may, and is retried again.
        records_at_most: None,
        priority: job.priority,
        parent_job_id: Some(job.job_id()),
        query_key: job.query_key.clone(),
        exclusive_key: job.exclusive_key.clone(),
        first_unit: FirstUnit { required_hostname, ..submission.first_unit },
        ..submission
    };
    let submitted = jobs::submit(&engine.db, &with(submission), limits).await?;
    if let Submitted::Created(standing) = &submitted {
        caller.audit("job.retry", &format!("{} of {}", standing.job.id, job.id));
    }
    engine.wake_after_commit().await;
    Ok(Some(submitted))
}

/// A job could not be done again.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// What failed in it could not be found out.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The new job was not accepted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}
