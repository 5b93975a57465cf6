//! The next step of a chain: submitted in the transaction that ends the previous job, therefore exactly once.
//!
//! The tool of a step is unknown here: [`Steps`] builds its submission. A step that cannot be submitted now is left to
//! the sweep; one that can never be submitted becomes a failed job, which a retry submits.

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::{Connection, FromRow, PgConnection};
use uuid::Uuid;

use super::Engine;
use super::unit_error::UnitError;
use crate::db::{self, DbError};
use crate::jobs::{self, Cancelled, ChainPosition, Job, Level, Limits, Step, StepRefusal, UnreadableSteps};
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
    /// It is invalid, or not allowed.
    #[error(transparent)]
    Refused(#[from] StepRefusal),
    /// It cannot be submitted now, because of a limit, a job that excludes it, or a tool that only another version of
    /// this program has. It is retried.
    #[error("{0}")]
    NotNow(StepRefusal),
    /// It could not be validated: it is retried.
    #[error(transparent)]
    Unit(#[from] UnitError),
}

impl StepError {
    /// Whether the same step may be submitted later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Unit(UnitError::Failed { retry: false, .. }) => false,
            Self::NotNow(_) | Self::Unit(_) => true,
        }
    }

    /// Converts it to the error of a job.
    fn into_refusal(self) -> StepRefusal {
        match self {
            Self::Refused(refusal) | Self::NotNow(refusal) => refusal,
            Self::Unit(UnitError::Failed { code, message, .. } | UnitError::Blocked { code, message }) => {
                StepRefusal::new(code, message)
            }
            Self::Unit(other) => StepRefusal::new(ErrorCode::Internal, other.to_string()),
        }
    }
}

impl From<UnreadableSteps> for StepError {
    fn from(error: UnreadableSteps) -> Self {
        Self::NotNow(StepRefusal::new(ErrorCode::Internal, error.to_string()))
    }
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
        let message = error.to_string();
        let now = |code| Self::NotNow(StepRefusal::new(code, message.clone()));
        let ever = |code| Self::Refused(StepRefusal::new(code, message.clone()));
        match error {
            SubmitError::Db(error) => error.into(),
            SubmitError::Busy(_) => now(ErrorCode::AlreadyExists),
            // A job over the limit of a whole day is refused on every day.
            SubmitError::DailyRecords { limit, wanted, .. } if wanted > limit => ever(ErrorCode::RateLimitExceeded),
            SubmitError::TooManyJobs(_) | SubmitError::TooManyOfPrincipal(_) | SubmitError::DailyRecords { .. } => {
                now(ErrorCode::RateLimitExceeded)
            }
            SubmitError::IdempotencyConflict => ever(ErrorCode::IdempotencyConflict),
            SubmitError::Params(_) => ever(ErrorCode::ValidationError),
        }
    }
}

/// The job of a step.
pub(super) struct Next {
    pub job: JobId,
    tool: String,
    chain_position: ChainPosition,
    caller: Caller,
    refused: Option<StepRefusal>,
}

/// How a step is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// At the end of the job before it.
    First,
    /// In a sweep.
    Again,
    /// In a sweep, after the time limit of a waiting step: one that cannot be submitted now is refused.
    Last,
}

impl Next {
    /// Logs the job after the commit, and wakes workers for it.
    pub async fn announce(&self, engine: &Engine) {
        match &self.refused {
            None => {
                // The token may have another role by now, or be revoked.
                let ChainPosition { chain, step } = self.chain_position;
                let how = format!("step {step} of {chain}, with the role of its submission");
                self.caller.audit("job.submit", &format!("{} {}, {how}", self.tool, self.job));
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
        StepRefusal { details, ..StepRefusal::new(ErrorCode::ValidationError, format!("{name}: {}", fault.reason)) }
    })?;
    engine.steps.submission(engine, tx, Step { tool: step.tool.clone(), params }, principal).await
}

/// Submits the step that follows a job that has succeeded; the job is locked. Returns none if no step follows, and if
/// the step cannot be submitted now: then the sweep tries again.
pub(super) async fn submit_next(
    engine: &Engine,
    tx: &mut PgConnection,
    job: &Job,
    result: &Value,
    attempt: Attempt,
) -> Result<Option<Next>, UnitError> {
    if !job.is_followed() {
        return Ok(None);
    }
    let following = match job.following() {
        Ok(following) => following,
        Err(error) => {
            let error = bio_mcp_core::chain(&error);
            tracing::warn!(job_id = %job.id, error, "the next step is left to a newer program");
            return Ok(None);
        }
    };
    let (Some(following), Some(chain_position)) = (following, job.chain_position().map(ChainPosition::next)) else {
        return Ok(None);
    };
    let Some((step, then)) = following.then.split_first() else { return Ok(None) };
    let principal = Principal { name: job.principal.clone(), role: following.role };
    let of_chain = |submission: Submission| Submission {
        principal: principal.clone(),
        priority: job.priority,
        ttl_hours: job.ttl_hours,
        trace_id: job.trace_id.clone(),
        then: then.to_vec(),
        chain_position: Some(chain_position),
        ..submission
    };
    // If the step is not submitted, its rows are rolled back, but the job before it still ends.
    let mut savepoint = tx.begin().await?;
    let submitted = async {
        let submission = of_chain(checked(engine, &mut savepoint, step, result, &principal).await?);
        let limits = engine.steps.limits();
        match jobs::insert_within(&mut savepoint, &submission, limits).await? {
            Some(details) => Ok(details.job.job_id()),
            None => Err(StepError::from(jobs::why_not_within(&mut savepoint, &submission, limits).await?)),
        }
    };
    let submitted = submitted.await;
    let (id, refused) = match submitted {
        Ok(id) => {
            savepoint.commit().await?;
            (id, None)
        }
        Err(error) => {
            savepoint.rollback().await?;
            let waits = error.is_transient() && attempt != Attempt::Last;
            let refusal = error.into_refusal();
            if waits {
                if attempt == Attempt::First {
                    let fields = json!({ "tool": step.tool, "error_code": refusal.code });
                    let text = format!("the next step waits: {refusal}");
                    jobs::write_log(tx, job.job_id(), Level::Warn, &text, fields).await?;
                }
                return Ok(None);
            }
            let as_written = of_chain(Submission::new(&step.tool, step.params.clone(), ""));
            (jobs::insert_refused(tx, &as_written, &refusal).await?, Some(refusal))
        }
    };
    jobs::link_next(tx, job.job_id(), id).await?;
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
    Ok(Some(Next { job: id, tool: step.tool.clone(), chain_position, caller, refused }))
}

/// A succeeded job whose next step is still to be submitted.
#[derive(FromRow)]
struct Waiting {
    #[sqlx(flatten)]
    job: Job,
    is_overdue: bool,
}

/// Submits the steps that could not be submitted when the job before them ended, and those of jobs that an older
/// program without chains has ended. Returns their number.
pub(super) async fn submit_waiting(engine: &Engine) -> Result<u64, UnitError> {
    let waiting: Vec<Uuid> = sqlx::query_scalar(include_str!("sql/waiting_steps.sql")).fetch_all(&engine.db).await?;
    let mut submitted = 0;
    for id in waiting {
        // A step that cannot be submitted does not delay the others.
        match submit_one(engine, JobId(id)).await {
            Ok(is_submitted) => submitted += u64::from(is_submitted),
            Err(error) => tracing::warn!(job_id = %id, %error, "the step after this job cannot be submitted yet"),
        }
    }
    Ok(submitted)
}

/// Submits the step after a job, unless another sweep has done so, or is doing so.
async fn submit_one(engine: &Engine, job: JobId) -> Result<bool, UnitError> {
    let mut tx = db::begin(&engine.db).await?;
    let waiting: Option<Waiting> = sqlx::query_as(include_str!("sql/lock_waiting_step.sql"))
        .bind(job.0)
        .bind(engine.steps.limits().job_timeout_secs)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(Waiting { job, is_overdue }) = waiting else { return Ok(false) };
    let attempt = if is_overdue { Attempt::Last } else { Attempt::Again };
    let Some(next) = submit_next(engine, &mut tx, &job, &json!(job.result), attempt).await? else { return Ok(false) };
    tx.commit().await?;
    next.announce(engine).await;
    Ok(true)
}

/// The submission of a step that a retry submits: with its references resolved in the result of the step before.
pub(super) async fn submission_of_step(
    engine: &Engine,
    tx: &mut PgConnection,
    step: &Step,
    chain_position: ChainPosition,
    principal: &Principal,
) -> Result<Submission, StepError> {
    let result = jobs::result_before(tx, chain_position).await?.unwrap_or(Value::Null);
    checked(engine, tx, step, &result, principal).await
}

/// Cancels a job and the steps after it; returns none if there is no such job. A job that has ended does not change:
/// the job that continues its chain is returned, and cancelling that one cancels the chain.
pub async fn cancel(engine: &Engine, job: JobId) -> Result<Option<Cancelled>, UnitError> {
    let Some(cancelled) = jobs::cancel(&engine.db, job).await? else { return Ok(None) };
    if !cancelled.cancelled || cancelled.state.is_terminal() {
        return Ok(Some(cancelled));
    }
    // If no unit is running, the job ends here.
    match super::finalise(engine, job).await {
        Ok(false) => Ok(Some(cancelled)),
        Ok(true) => {
            let state = jobs::get(&engine.db, job).await?.map_or(cancelled.state, |job| job.state);
            Ok(Some(Cancelled { state, stopping: false, ..cancelled }))
        }
        Err(error) => {
            // It is cancelled in any case; the next sweep ends it.
            tracing::warn!(job_id = %job, %error, "a cancelled job cannot be completed yet");
            Ok(Some(cancelled))
        }
    }
}
