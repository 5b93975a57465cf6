//! Chains: jobs of one submission, each submitted when the previous one has succeeded.
//!
//! The steps that follow a job are a column of its row and never change. A step of a chain has at most one job that is
//! not failed or cancelled: a unique index enforces it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

use super::log::{Level, write_log};
use super::params::params_hash;
use super::progress::JobResult;
use super::state::{Job, JobState};
use super::submit::Submission;
use crate::db::DbError;
use bio_mcp_core::{ErrorCode, JobId, Role, Sha256};

/// Maximum number of steps that follow a job.
pub const MAX_STEPS: usize = 8;

/// A step of a chain: a job that is submitted when the previous one has succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Tool of the step.
    pub tool: String,
    /// Parameters of the step; `{"$result": "/…"}` is replaced by the value that the JSON pointer finds in the result of
    /// the previous job.
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

/// A position in an existing chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Id of the first job.
    pub chain: JobId,
    /// The number of the step, from 1.
    pub step: i16,
}

impl Place {
    /// The position of the next step.
    #[must_use]
    pub fn next(self) -> Self {
        Self { step: self.step + 1, ..self }
    }
}

impl Job {
    /// Its position in its chain, if it is part of one.
    pub fn place(&self) -> Option<Place> {
        let (chain, step) = self.chain_id.zip(self.chain_step)?;
        Some(Place { chain: JobId(chain), step })
    }

    /// The steps that follow it, including those already submitted.
    pub fn then(&self) -> &[Step] {
        self.chain.as_ref().map_or(&[], |following| &following.then)
    }
}

impl Submission {
    /// Hash that is equal for equal requests: of the parameters and, for a job of a chain, of the chain and the steps
    /// that follow.
    pub(super) fn identity(&self) -> Result<Sha256, serde_json::Error> {
        if self.then.is_empty() && self.place.is_none() {
            return params_hash(&self.params);
        }
        let chain = self.place.map(|place| place.chain);
        params_hash(&json!({ "params": self.params, "then": self.then, "chain": chain }))
    }
}

/// Why a step cannot be submitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable code.
    pub code: ErrorCode,
    /// Message for people.
    pub message: String,
    /// The invalid parameters, by JSON pointer: `[{"pointer", "reason"}]`.
    pub details: Value,
}

impl Refusal {
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
    refusal: &Refusal,
) -> Result<JobId, DbError> {
    let id = JobId::new();
    sqlx::query(include_str!("refuse.sql"))
        .bind(id.0)
        .bind(&submission.tool)
        .bind(&submission.params)
        .bind(submission.identity().map(Sha256::to_hex).unwrap_or_default())
        .bind(&submission.principal.name)
        .bind(submission.priority)
        .bind(submission.ttl_hours)
        .bind(&submission.trace_id)
        .bind(submission.following().map(Json))
        .bind(submission.place.map(|place| place.chain.0))
        .bind(submission.place.map(|place| place.step))
        .bind(refusal.error())
        .execute(db)
        .await?;
    Ok(id)
}

/// Logs which steps are not submitted because a job did not succeed.
pub(crate) async fn log_dropped(db: &mut PgConnection, job: &Job) -> Result<(), DbError> {
    let tools: Vec<&str> = job.then().iter().map(|step| step.tool.as_str()).collect();
    if tools.is_empty() {
        return Ok(());
    }
    let text = match tools.len() {
        1 => "the step after this one is not submitted".to_owned(),
        n => format!("the {n} steps after this one are not submitted"),
    };
    write_log(db, job.job_id(), Level::Warn, &text, json!({ "tools": tools })).await
}

/// The result that a step of a chain may refer to: that of the previous step.
pub(crate) async fn result_before(db: &mut PgConnection, place: Place) -> Result<Option<Value>, DbError> {
    let result: Option<Json<JobResult>> = sqlx::query_scalar(
        "select result from jobs where chain_id = $1 and chain_step = $2 and state = 'succeeded' and result is not null",
    )
    .bind(place.chain.0)
    .bind(place.step - 1)
    .fetch_optional(db)
    .await?;
    Ok(result.map(|result| json!(result.0)))
}

/// The unfinished job of the same chain.
pub async fn unfinished_of_chain(db: &PgPool, job: &Job) -> Result<Option<Job>, DbError> {
    let Some(place) = job.place() else { return Ok(None) };
    Ok(sqlx::query_as("select * from jobs where chain_id = $1 and state in ('queued', 'running') limit 1")
        .bind(place.chain.0)
        .fetch_optional(db)
        .await?)
}

/// The job that a retry of `job` repeats: a stopped chain resumes where it stopped, whichever of its jobs was named.
pub async fn to_retry(db: &PgPool, job: Job) -> Result<Job, DbError> {
    let Some(place) = job.place() else { return Ok(job) };
    let last: Option<Job> = sqlx::query_as(
        "select * from jobs where chain_id = $1 order by chain_step desc, created_at desc, id desc limit 1",
    )
    .bind(place.chain.0)
    .fetch_optional(db)
    .await?;
    let stopped = |last: &Job| matches!(last.state, JobState::Failed | JobState::Cancelled);
    Ok(last.filter(stopped).unwrap_or(job))
}
