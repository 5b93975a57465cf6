//! Chains: jobs of one submission, each submitted when the previous one has succeeded.
//!
//! The steps that follow a job are a column of its row and never change; the transaction that submits the next one
//! writes its id there. A step of a chain has at most one job that is not failed or cancelled: a unique index enforces
//! it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::log::{Level, write_log};
use super::params::params_hash;
use super::progress::JobResult;
use super::state::{Job, JobState};
use super::submit::Submission;
use crate::db::DbError;
use bio_mcp_core::{ErrorCode, JobId, Role};

/// Maximum number of steps that follow a job.
pub const MAX_STEPS: usize = 8;

/// A step of a chain: a job that is submitted when the previous one has succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Tool of the step.
    pub tool: String,
    /// Parameters of the step; `{"$result": "/…"}` is replaced by the value that the JSON pointer finds in the result
    /// of the previous job.
    pub params: Value,
}

/// The steps that follow a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Following {
    /// Role of the submission, which applies to its steps.
    pub role: Role,
    /// The steps, in order; at least one.
    pub then: Vec<Step>,
}

/// The steps that follow a job are stored in a form that this program cannot read. They are left to the program that
/// can.
#[derive(Debug, thiserror::Error)]
#[error("the steps after this job were submitted by a newer program: use that one")]
pub struct UnreadableSteps(#[source] serde_json::Error);

/// A position in an existing chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPosition {
    /// Id of the first job.
    pub chain: JobId,
    /// The number of the step, from 1.
    pub step: i16,
}

impl ChainPosition {
    /// The position of the next step.
    #[must_use]
    pub fn next(self) -> Self {
        Self { step: self.step + 1, ..self }
    }
}

impl Job {
    /// Its position in its chain, if it is part of one.
    pub fn chain_position(&self) -> Option<ChainPosition> {
        let (chain, step) = self.chain_id.zip(self.chain_step)?;
        Some(ChainPosition { chain: JobId(chain), step })
    }

    /// The steps that follow it, including those already submitted, and the role that they have; none if no step
    /// follows.
    pub fn following(&self) -> Result<Option<Following>, UnreadableSteps> {
        self.chain.as_ref().map(|stored| Following::deserialize(stored).map_err(UnreadableSteps)).transpose()
    }

    /// The steps that follow it, for display; none if this program cannot read them.
    pub fn then(&self) -> Vec<Step> {
        self.following().ok().flatten().map_or_else(Vec::new, |following| following.then)
    }

    /// Whether a step follows that is neither submitted nor cancelled: it will be submitted if this job has succeeded.
    pub fn is_followed(&self) -> bool {
        self.chain.is_some() && self.next_job_id.is_none() && !self.then_cancelled
    }
}

/// Hashes by which equal requests are detected.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// SHA-256 of the parameters.
    pub params: String,
    /// SHA-256 of the steps that follow and of the chain that a step is part of; empty for a job alone.
    pub chain: String,
}

impl Submission {
    pub(super) fn identity(&self) -> Result<Identity, serde_json::Error> {
        let mut identity = Identity { params: params_hash(&self.params)?.to_hex(), ..Identity::default() };
        if !self.then.is_empty() || self.chain_position.is_some() {
            let chain = self.chain_position.map(|chain_position| chain_position.chain);
            identity.chain = params_hash(&json!({ "then": self.then, "chain": chain }))?.to_hex();
        }
        Ok(identity)
    }
}

/// Why a step cannot be submitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct StepRefusal {
    /// Stable code.
    pub code: ErrorCode,
    /// Message for people.
    pub message: String,
    /// The invalid parameters, by JSON pointer: `[{"pointer", "reason"}]`.
    pub details: Value,
}

impl StepRefusal {
    /// A refusal without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Value::Null }
    }

    /// The refusal as the error of a job.
    fn error(&self) -> Value {
        let mut error = json!({ "error_code": self.code, "message": self.message });
        if !self.details.is_null() {
            error["details"] = self.details.clone();
        }
        error
    }
}

/// Records a step that cannot be submitted as a failed job, with its parameters as they were written: a retry submits
/// it. It has no units.
pub(crate) async fn insert_refused(
    db: &mut PgConnection,
    submission: &Submission,
    refusal: &StepRefusal,
) -> Result<JobId, DbError> {
    let id = JobId::new();
    let identity = submission.identity().unwrap_or_default();
    sqlx::query(include_str!("refuse.sql"))
        .bind(id.0)
        .bind(&submission.tool)
        .bind(&submission.params)
        .bind(identity.params)
        .bind(&submission.principal.name)
        .bind(submission.priority)
        .bind(submission.ttl_hours)
        .bind(&submission.trace_id)
        .bind(submission.following().map(Json))
        .bind(submission.chain_position.map(|chain_position| chain_position.chain.0))
        .bind(submission.chain_position.map(|chain_position| chain_position.step))
        .bind(identity.chain)
        .bind(refusal.error())
        .execute(db)
        .await?;
    Ok(id)
}

/// Writes the id of the job of the next step to the job before it, in the transaction that submits the step.
pub(crate) async fn link_next(db: &mut PgConnection, job: JobId, next: JobId) -> Result<(), DbError> {
    let sql = "update jobs set next_job_id = $2 where id = $1 and next_job_id is null";
    sqlx::query(sql).bind(job.0).bind(next.0).execute(db).await?;
    Ok(())
}

/// Logs which steps are not submitted, because a job did not succeed or its chain was cancelled.
pub(crate) async fn log_dropped(db: &mut PgConnection, job: &Job) -> Result<(), DbError> {
    if !job.is_followed() {
        return Ok(());
    }
    let then = job.then();
    let tools: Vec<&str> = then.iter().map(|step| step.tool.as_str()).collect();
    let text = match tools.len() {
        0 => "the steps after this one are not submitted".to_owned(),
        1 => "the step after this one is not submitted".to_owned(),
        n => format!("the {n} steps after this one are not submitted"),
    };
    write_log(db, job.job_id(), Level::Warn, &text, json!({ "tools": tools })).await
}

/// The result that a step of a chain may refer to: that of the previous step.
pub(crate) async fn result_before(
    db: &mut PgConnection,
    chain_position: ChainPosition,
) -> Result<Option<Value>, DbError> {
    let result: Option<Json<JobResult>> = sqlx::query_scalar(
        "select result from jobs where chain_id = $1 and chain_step = $2 and state = 'succeeded' and result is not null",
    )
    .bind(chain_position.chain.0)
    .bind(chain_position.step - 1)
    .fetch_optional(db)
    .await?;
    Ok(result.map(|result| json!(result.0)))
}

/// The other job of the same chain that can be cancelled: the unfinished one, or the one whose next step is still to be
/// submitted.
pub(super) async fn active_in_chain(db: &mut PgConnection, job: &Job) -> Result<Option<JobId>, DbError> {
    let Some(chain_position) = job.chain_position() else { return Ok(None) };
    let active: Option<Uuid> = sqlx::query_scalar(
        "select id from jobs where chain_id = $1 and id <> $2 \
         and (state in ('queued', 'running') \
              or state = 'succeeded' and chain is not null and next_job_id is null and not then_cancelled) limit 1",
    )
    .bind(chain_position.chain.0)
    .bind(job.id)
    .fetch_optional(db)
    .await?;
    Ok(active.map(JobId))
}

/// The job that a retry of `job` repeats: of a chain the one that stopped it, unless `job` has succeeded and left
/// records to retry.
pub async fn to_retry(db: &PgPool, job: Job) -> Result<Job, DbError> {
    let Some(chain_position) = job.chain_position() else { return Ok(job) };
    let left = job.result.as_ref().map_or(0, |result| result.counts.failed + result.counts.missing);
    if job.state == JobState::Succeeded && left > 0 {
        return Ok(job);
    }
    let last: Option<Job> = sqlx::query_as(
        "select * from jobs where chain_id = $1 order by chain_step desc, created_at desc, id desc limit 1",
    )
    .bind(chain_position.chain.0)
    .fetch_optional(db)
    .await?;
    let has_stopped = |last: &Job| {
        matches!(last.state, JobState::Failed | JobState::Cancelled)
            || last.state == JobState::Succeeded && last.then_cancelled
    };
    Ok(last.filter(has_stopped).unwrap_or(job))
}
