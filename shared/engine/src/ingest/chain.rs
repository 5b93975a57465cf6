//! The next step of a chain: submitted in the transaction that ends the previous job, so exactly once.
//!
//! The tool of a step is unknown here: [`Steps`] builds its submission. A step that cannot be submitted becomes a
//! failed job, which a retry submits.

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::Engine;
use super::unit_error::UnitError;
use crate::db::{self, DbError};
use crate::jobs::{self, Cancelled, Job, JobState, Level, Limits, MAX_STEPS, Place, Refusal, Step};
use crate::jobs::{Submission, SubmitError};
use bio_mcp_core::{Caller, ErrorCode, JobId, Principal, metrics};

/// How tools submit the steps of chains.
#[async_trait]
pub trait Steps: Send + Sync {
    /// The submission of a step whose references are replaced: its parameters checked as for any other submission of
    /// this principal. Rows that the job needs are written in `tx`, which submits it; if it is refused, they are rolled
    /// back.
    async fn submission(
        &self,
        engine: &Engine,
        tx: &mut PgConnection,
        step: Step,
        principal: &Principal,
    ) -> Result<Submission, StepError>;

    /// Limits on submissions.
    fn limits(&self) -> Limits;
}

/// A step was not submitted.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It is invalid, or refused by a limit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Whether it is valid is unknown: it is tried again.
    #[error(transparent)]
    Unit(#[from] UnitError),
}

impl From<DbError> for StepError {
    fn from(error: DbError) -> Self {
        Self::Unit(error.into())
    }
}

impl From<sqlx::Error> for StepError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unit(error.into())
    }
}

impl From<SubmitError> for StepError {
    fn from(error: SubmitError) -> Self {
        let code = match &error {
            SubmitError::Db(_) => ErrorCode::DatabaseError,
            SubmitError::Busy(_) => ErrorCode::AlreadyExists,
            SubmitError::IdempotencyConflict => ErrorCode::IdempotencyConflict,
            SubmitError::Params(_) => ErrorCode::ValidationError,
            SubmitError::TooManyJobs(_) | SubmitError::TooManyOfPrincipal(_) | SubmitError::DailyRecords { .. } => {
                ErrorCode::RateLimitExceeded
            }
        };
        match error {
            SubmitError::Db(error) => error.into(),
            refused => Self::Refused(Refusal::new(code, refused.to_string())),
        }
    }
}

/// The job of a step.
pub(super) struct Next {
    pub job: JobId,
    tool: String,
    caller: Caller,
    refused: Option<Refusal>,
}

impl Next {
    /// Logs it after the commit, and wakes workers for it.
    pub async fn announce(&self, engine: &Engine) {
        match &self.refused {
            None => {
                self.caller.audit("job.submit", &format!("{} {}", self.tool, self.job));
                engine.wake_after_commit().await;
            }
            Some(refusal) => {
                metrics::job_ended(&self.tool, false);
                let error_code = refusal.code.as_str();
                tracing::info!(job_id = %self.job, tool = self.tool, error_code, "a step was not submitted");
            }
        }
    }
}

/// The submission of a step, with its references resolved in `result` and its parameters checked.
async fn checked(
    engine: &Engine,
    tx: &mut PgConnection,
    step: &Step,
    result: &Value,
    principal: &Principal,
) -> Result<Submission, StepError> {
    let params = jobs::resolved(&step.params, result).map_err(|fault| {
        let name = fault.at.trim_start_matches('/').replace('/', ".");
        let details = json!([{ "pointer": fault.at, "reason": fault.reason }]);
        Refusal { details, ..Refusal::new(ErrorCode::ValidationError, format!("{name}: {}", fault.reason)) }
    })?;
    engine.steps.submission(engine, tx, Step { tool: step.tool.clone(), params }, principal).await
}

/// Submits the step that follows a job that has succeeded; the job is locked. Returns none if no step follows.
pub(super) async fn submit_next(
    engine: &Engine,
    tx: &mut PgConnection,
    job: &Job,
    result: &Value,
) -> Result<Option<Next>, UnitError> {
    let (Some(following), Some(place)) = (&job.chain, job.place()) else { return Ok(None) };
    let Some((step, then)) = following.then.split_first() else { return Ok(None) };
    let principal = Principal { name: job.principal.clone(), role: following.role };
    let of_chain = |submission: Submission| Submission {
        principal: principal.clone(),
        priority: job.priority,
        ttl_hours: job.ttl_hours,
        trace_id: job.trace_id.clone(),
        then: then.to_vec(),
        place: Some(place.next()),
        ..submission
    };
    // What a step that is refused has written goes, and the job before ends all the same.
    let mut savepoint = tx.begin().await?;
    let submitted = async {
        let submission = of_chain(checked(engine, &mut savepoint, step, result, &principal).await?);
        let limits = engine.steps.limits();
        match jobs::insert_within(&mut savepoint, &submission, limits).await? {
            Some(standing) => Ok(standing.job.job_id()),
            None => Err(StepError::from(jobs::why_not_within(&mut savepoint, &submission, limits).await?)),
        }
    };
    let submitted = submitted.await;
    let (id, refused) = match submitted {
        Ok(id) => {
            savepoint.commit().await?;
            (id, None)
        }
        Err(StepError::Refused(refusal)) => {
            savepoint.rollback().await?;
            let as_written = of_chain(Submission::new(&step.tool, step.params.clone(), ""));
            (jobs::insert_refused(tx, &as_written, &refusal).await?, Some(refusal))
        }
        Err(StepError::Unit(error)) => return Err(error),
    };
    let fields = json!({ "job_id": id, "tool": step.tool });
    match &refused {
        None => jobs::write_log(tx, job.job_id(), Level::Info, "the next step was submitted", fields).await?,
        Some(refusal) => {
            let text = "the next step could not be submitted";
            jobs::write_log(tx, job.job_id(), Level::Warn, text, fields).await?;
            let fields = json!({ "error_code": refusal.code });
            jobs::write_log(tx, id, Level::Error, &refusal.message, fields).await?;
        }
    }
    let caller = Caller { principal, trace_id: job.trace_id.clone(), source_address: None };
    Ok(Some(Next { job: id, tool: step.tool.clone(), caller, refused }))
}

/// Submits the steps that follow jobs that an older program, without chains, has ended. Returns their number.
pub(super) async fn submit_forgotten(engine: &Engine) -> Result<u64, UnitError> {
    let forgotten: Vec<Uuid> =
        sqlx::query_scalar(include_str!("sql/forgotten.sql")).bind(None::<Uuid>).fetch_all(&engine.db).await?;
    let mut submitted = 0;
    for id in forgotten {
        let mut tx = db::begin(&engine.db).await?;
        // Its version is another one now: a client that waits for it sees what follows.
        let job: Option<Job> = sqlx::query_as("update jobs set updated_at = now() where id = $1 returning *")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        // Another sweep may have been faster.
        let still: Option<Uuid> =
            sqlx::query_scalar(include_str!("sql/forgotten.sql")).bind(id).fetch_optional(&mut *tx).await?;
        let (Some(job), Some(_)) = (job, still) else { continue };
        let result = json!(job.result);
        let next = submit_next(engine, &mut tx, &job, &result).await?;
        tx.commit().await?;
        if let Some(next) = next {
            next.announce(engine).await;
            submitted += 1;
        }
    }
    Ok(submitted)
}

/// The submission of a step that was refused before: as it was written, with its references resolved again.
pub(super) async fn submission_of_refused(
    engine: &Engine,
    tx: &mut PgConnection,
    job: &Job,
    place: Place,
    principal: &Principal,
) -> Result<Submission, StepError> {
    let result = jobs::result_before(tx, place).await?.unwrap_or(Value::Null);
    let step = Step { tool: job.tool.clone(), params: job.params.clone() };
    checked(engine, tx, &step, &result, principal).await
}

/// Cancels a job; if it has ended and is part of a chain, the active job of the chain: a chain is cancelled as one.
/// `may` is called with each job before it is cancelled. Returns the id of the cancelled job.
pub async fn cancel<E>(engine: &Engine, job: Job, may: impl Fn(&Job) -> Result<(), E>) -> Result<(JobId, Cancelled), E>
where
    E: From<UnitError>,
{
    may(&job)?;
    let mut goes_on = job.clone();
    // Each step may end just before it is cancelled, and each be a retry of itself.
    for _ in 0..2 * (MAX_STEPS + 1) {
        let id = goes_on.job_id();
        let gone = Cancelled { state: goes_on.state, cancelled: false, stopping: false };
        let mut cancelled = jobs::cancel(&engine.db, id).await.map_err(UnitError::from)?.unwrap_or(gone);
        if cancelled.cancelled {
            if !cancelled.state.is_terminal() {
                // Nothing ran: it can end here.
                match super::finalise(engine, id).await {
                    Ok(true) => cancelled = Cancelled { state: JobState::Cancelled, stopping: false, ..cancelled },
                    Ok(false) => {}
                    // It is cancelled all the same; the next sweep ends it.
                    Err(error) => tracing::warn!(job_id = %id, %error, "a cancelled job cannot be completed yet"),
                }
            }
            return Ok((id, cancelled));
        }
        if goes_on.place().is_none() {
            return Ok((id, cancelled));
        }
        if !cancelled.state.is_terminal() {
            // Its units have all ended, so it cannot be cancelled. What follows can.
            super::finalise(engine, id).await?;
        }
        let next = jobs::unfinished_of_chain(&engine.db, &goes_on).await.map_err(UnitError::from)?;
        let Some(next) = next else {
            let ended = jobs::get(&engine.db, job.job_id()).await.map_err(UnitError::from)?;
            let state = ended.map_or(job.state, |job| job.state);
            return Ok((job.job_id(), Cancelled { state, cancelled: false, stopping: false }));
        };
        may(&next)?;
        goes_on = next;
    }
    let message = "the jobs of this chain end faster than they can be cancelled: try again";
    Err(UnitError::Failed { code: ErrorCode::Internal, message: message.to_owned(), retry: true }.into())
}
