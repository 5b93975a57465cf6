//! Retries of jobs, of only what failed.

use super::Engine;
use super::chain::{StepError, submission_of_refused};
use super::unit_error::UnitError;
use crate::db;
use crate::jobs::{self, FirstUnit, Job, JobState, Limits, Place, Submission, SubmitError, Submitted};
use bio_mcp_core::{Caller, ErrorCode};

/// Submits a child of a finished job that retries what failed in it; returns none if nothing failed. A child of a job
/// that did not succeed takes its position in the chain: the next step is submitted when the child has succeeded.
/// `caller` is the principal of the new job; `with` sets the other fields.
pub async fn retry(
    engine: &Engine,
    job: &Job,
    limits: Limits,
    caller: &Caller,
    with: impl FnOnce(Submission) -> Submission,
) -> Result<Option<Submitted>, RetryError> {
    // What follows one that succeeded was submitted then.
    let place = job.place().filter(|_| job.state != JobState::Succeeded);
    let of_child = |submission: Submission| {
        with(Submission {
            principal: caller.principal.clone(),
            trace_id: caller.trace_id.clone(),
            priority: job.priority,
            parent_job_id: Some(job.job_id()),
            then: place.map_or_else(Vec::new, |_| job.then().to_vec()),
            place,
            ..submission
        })
    };
    let submitted = match place {
        Some(place) if job.units_total == 0 => refused_step(engine, job, limits, caller, place, of_child).await?,
        _ => {
            let Some(submission) = what_failed(engine, job).await? else { return Ok(None) };
            jobs::submit(&engine.db, &of_child(submission), limits).await?
        }
    };
    if let Submitted::Created(standing) = &submitted {
        caller.audit("job.retry", &format!("{} of {}", standing.job.id, job.id));
    }
    engine.wake_after_commit().await;
    Ok(Some(submitted))
}

async fn what_failed(engine: &Engine, job: &Job) -> Result<Option<Submission>, RetryError> {
    let unknown = || UnitError::permanent(ErrorCode::Internal, "the job's tool is unknown to this program");
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
    Ok(Some(Submission {
        // What is left of a job may be more than a day allows: it goes on as far as it may, and is retried again.
        records_at_most: None,
        query_key: job.query_key.clone(),
        exclusive_key: job.exclusive_key.clone(),
        first_unit: FirstUnit { required_hostname, ..submission.first_unit },
        ..submission
    }))
}

/// Submits a step of a chain that could not be submitted before; a refusal is returned to the caller.
async fn refused_step(
    engine: &Engine,
    job: &Job,
    limits: Limits,
    caller: &Caller,
    place: Place,
    of_child: impl FnOnce(Submission) -> Submission,
) -> Result<Submitted, RetryError> {
    let mut tx = db::begin(&engine.db).await.map_err(UnitError::from)?;
    let submission = of_child(submission_of_refused(engine, &mut tx, job, place, &caller.principal).await?);
    if let Some(standing) = jobs::insert_within(&mut tx, &submission, limits).await? {
        tx.commit().await.map_err(UnitError::from)?;
        return Ok(Submitted::Created(Box::new(standing)));
    }
    let why_not = jobs::why_not_within(&mut tx, &submission, limits).await?;
    tx.rollback().await.map_err(UnitError::from)?;
    let replayed = jobs::replayed(&engine.db, &submission).await?;
    Ok(replayed.ok_or(why_not)?)
}

/// A job could not be retried.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// What failed in the job could not be determined.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A step of a chain that was refused before is refused again.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The new job was not accepted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}
