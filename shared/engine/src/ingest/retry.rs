//! Retries of jobs, of only what failed.

use super::Engine;
use super::chain::{StepError, submission_of_step};
use super::unit_error::UnitError;
use crate::db;
use crate::jobs::{
    self, ChainPosition, FirstUnit, Job, JobState, Limits, Step, Submission, SubmitError, SubmitOutcome,
};
use bio_mcp_core::{Caller, ErrorCode};

/// Submits a child of a finished job that retries what failed in it; returns none if nothing failed. The child of a job
/// that did not succeed takes its position in the chain: the next step is submitted when the child has succeeded. If a
/// job succeeded and its chain was cancelled later, the next step is submitted.
/// `caller` is the principal of the new job; `with` sets the other fields.
pub async fn retry(
    engine: &Engine,
    job: &Job,
    limits: Limits,
    caller: &Caller,
    with: impl FnOnce(Submission) -> Submission,
) -> Result<Option<SubmitOutcome>, RetryError> {
    let of_caller = |submission: Submission| {
        with(Submission {
            principal: caller.principal.clone(),
            trace_id: caller.trace_id.clone(),
            priority: job.priority,
            ..submission
        })
    };
    let then = match job.state {
        JobState::Succeeded if !job.then_cancelled => None,
        _ => job.following().map_err(StepError::from)?,
    };
    let then = then.map_or_else(Vec::new, |following| following.then);
    let limits_of = |submission: &Submission| {
        let pipeline = engine.pipeline(&submission.tool);
        limits.times(pipeline.map_or(1, |pipeline| pipeline.time_limits(&submission.params)))
    };
    let submitted = match job.chain_position() {
        Some(chain_position) if job.state == JobState::Succeeded && job.then_cancelled && job.next_job_id.is_none() => {
            let Some((step, then)) = then.split_first() else { return Ok(None) };
            let of_step = |submission| Submission { then: then.to_vec(), ..of_caller(submission) };
            submit_step(engine, job, step, chain_position.next(), limits, caller, of_step).await?
        }
        // The next step of a succeeded job was submitted when it ended.
        Some(chain_position) if job.state != JobState::Succeeded => {
            let of_child = |submission| Submission {
                parent_job_id: Some(job.job_id()),
                then: then.clone(),
                ..of_caller(submission)
            };
            if job.units_total == 0 {
                let step = Step { tool: job.tool.clone(), params: job.params.clone() };
                submit_step(engine, job, &step, chain_position, limits, caller, of_child).await?
            } else {
                let Some(submission) = what_failed(engine, job, &then).await? else { return Ok(None) };
                let submission = Submission { chain_position: Some(chain_position), ..of_child(submission) };
                jobs::submit(&engine.db, &submission, limits_of(&submission)).await?
            }
        }
        _ => {
            let Some(submission) = what_failed(engine, job, &[]).await? else { return Ok(None) };
            let submission = Submission { parent_job_id: Some(job.job_id()), ..of_caller(submission) };
            jobs::submit(&engine.db, &submission, limits_of(&submission)).await?
        }
    };
    if let SubmitOutcome::Created(details) = &submitted {
        caller.audit("job.retry", &format!("{} of {}", details.job.id, job.id));
    }
    engine.wake_after_commit().await;
    Ok(Some(submitted))
}

/// The submission that repeats what failed in a job with these next steps; none if nothing failed and no step follows.
async fn what_failed(engine: &Engine, job: &Job, then: &[Step]) -> Result<Option<Submission>, RetryError> {
    let unknown = || UnitError::permanent(ErrorCode::Internal, "the job's tool is unknown to this program");
    let pipeline = engine.pipeline(&job.tool).ok_or_else(unknown)?;
    let failed = pipeline.retry(&engine.db, job).await?;
    let params = match then.first() {
        None => failed,
        // The next step sees the result of the child only, so that the child repeats everything; archived records are
        // skipped.
        Some(next) if refers_to_result(next) => Some(job.params.clone()),
        // The chain continues after a job in which nothing failed before the chain was cancelled.
        Some(_) => Some(failed.unwrap_or_else(|| job.params.clone())),
    };
    let Some(params) = params else { return Ok(None) };
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
        // The rest of a job may be over the daily limit: it continues up to the limit, and can be retried again.
        records_at_most: None,
        query_key: job.query_key.clone(),
        exclusive_key: job.exclusive_key.clone(),
        first_unit: FirstUnit { required_hostname, ..submission.first_unit },
        ..submission
    }))
}

/// Whether the parameters of a step have a reference to the result of the job before it.
fn refers_to_result(step: &Step) -> bool {
    !matches!(jobs::references(&step.params), Ok(found) if found.is_empty())
}

/// Submits a step of a chain that was refused or cancelled before; a refusal is returned to the caller.
async fn submit_step(
    engine: &Engine,
    job: &Job,
    step: &Step,
    chain_position: ChainPosition,
    limits: Limits,
    caller: &Caller,
    with: impl FnOnce(Submission) -> Submission,
) -> Result<SubmitOutcome, RetryError> {
    let mut tx = db::begin(&engine.db).await.map_err(UnitError::from)?;
    let submission = with(submission_of_step(engine, &mut tx, step, chain_position, &caller.principal).await?);
    let submission = Submission { chain_position: Some(chain_position), ..submission };
    if let Some(details) = jobs::insert_within(&mut tx, &submission, limits).await? {
        if job.chain_position() != Some(chain_position) {
            jobs::link_next(&mut tx, job.job_id(), details.job.job_id()).await.map_err(UnitError::from)?;
        }
        tx.commit().await.map_err(UnitError::from)?;
        return Ok(SubmitOutcome::Created(Box::new(details)));
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
