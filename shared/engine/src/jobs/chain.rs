//! Chains: jobs of one submission, each submitted when the one before has succeeded.
//!
//! What follows a job is a column of its row and never changes. A step of a chain has one job that is not failed or
//! cancelled, at most: a unique index says so.

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

/// Jobs that may follow one, at most.
pub const MAX_STEPS: usize = 8;

/// A job that is submitted when the one before it has succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Its tool.
    pub tool: String,
    /// Its parameters; `{"$result": "/…"}` in them is what the JSON pointer finds in the result of the job before.
    pub params: Value,
}

/// What follows a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Following {
    /// The role that the submission had: that of its steps.
    pub role: Role,
    /// The steps, in order; at least one.
    pub then: Vec<Step>,
}

/// A place in a chain that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first job.
    pub chain: JobId,
    /// The number of the step, from 1.
    pub step: i16,
}

impl Place {
    /// The place of the step after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self { step: self.step + 1, ..self }
    }
}

impl Job {
    /// Its place, where it is part of a chain.
    pub fn place(&self) -> Option<Place> {
        let (chain, step) = self.chain_id.zip(self.chain_step)?;
        Some(Place { chain: JobId(chain), step })
    }

    /// The steps after it, also those that are submitted.
    pub fn then(&self) -> &[Step] {
        self.chain.as_ref().map_or(&[], |following| &following.then)
    }
}

impl Submission {
    /// What is the same for the same request: the parameters, and where the job is part of a chain, that and what
    /// follows.
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
    /// One sentence for a person.
    pub message: String,
    /// What is wrong with which parameter, by a JSON pointer: `[{"pointer", "reason"}]`.
    pub details: Value,
}

impl Refusal {
    /// Without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Value::Null }
    }

    /// As the error of a job.
    fn error(&self) -> Value {
        let mut error = json!({ "error_code": self.code, "message": self.message });
        if !self.details.is_null() {
            error["details"] = self.details.clone();
        }
        error
    }
}

/// Notes a step that cannot be submitted as a job that has failed, with its parameters as they were written: a retry
/// submits it. It has no unit, and none is counted.
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

/// Says in the log of a job that did not succeed what is not submitted.
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

/// The result that a step of a chain may refer to: that of the step before.
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

/// The job of the same chain that is not finished.
pub async fn unfinished_of_chain(db: &PgPool, job: &Job) -> Result<Option<Job>, DbError> {
    let Some(place) = job.place() else { return Ok(None) };
    Ok(sqlx::query_as("select * from jobs where chain_id = $1 and state in ('queued', 'running') limit 1")
        .bind(place.chain.0)
        .fetch_optional(db)
        .await?)
}

/// The job that a retry of a job does again: a chain that has stopped goes on where it stopped, whichever of its jobs
/// was named.
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
