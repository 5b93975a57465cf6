//! `job.get` and `job.cancel`, and how every interface shows a job.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::error::{ToolError, without_details};
use super::tool::{Annotations, FastTool, ToolSpec, Toolbox};
use crate::core::{Caller, ErrorCode, JobId, Principal, Role};
use crate::ingest;
use crate::jobs::{self, Cancelled, Job, JobDetails, JobState, Progress, Step};
use crate::records::PUBMED;

/// The tool `job.get`.
pub struct JobGet;

/// The tool `job.cancel`.
pub struct JobCancel;

/// The job to get or cancel.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobParams {
    /// Id of the job, as returned when it was submitted.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: Uuid,
}

/// A job.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct JobView {
    /// Id of the job.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: Uuid,
    /// Tool of the job.
    pub tool: String,
    /// Parameters of the job, with defaults filled in.
    pub params: Value,
    /// State of the job.
    pub state: JobState,
    /// Whether the job succeeded although records failed.
    pub completed_with_failures: bool,
    /// `done`, `total`, `fraction`, and the number of records by outcome.
    pub progress: Value,
    /// Result of the job, once it has ended.
    pub result: Option<Value>,
    /// Address of the job's manifest.
    pub result_ref: Option<String>,
    /// Why the job failed: `error_code` and `message`.
    pub error: Option<Value>,
    /// Trace id of the job.
    pub trace_id: String,
    /// 1, or more if the job is a retry of another job.
    pub attempt: i32,
    /// Id of the job that this one retries.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub parent_job_id: Option<Uuid>,
    /// Id of the chain, which is that of its first job; null if the job is not part of a chain.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub chain_id: Option<Uuid>,
    /// Number of the job's step in its chain, from 1.
    #[schemars(range(min = 1, max = 9))]
    pub step: Option<i16>,
    /// Steps that follow the job.
    pub then: Vec<Step>,
    /// State of the next step; null if no step follows.
    pub then_state: Option<ThenState>,
    /// Id of the job of the previous step.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub previous_job_id: Option<Uuid>,
    /// Id of the job of the next step.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub next_job_id: Option<Uuid>,
    /// Principal that submitted the job: the id of a token, the subject of an OIDC token, `local`, `topics` or
    /// `projections`.
    pub principal: String,
    /// Priority, 0 to 10; higher runs first.
    pub priority: i16,
    /// Number of queued jobs ahead of this one.
    pub position_in_queue: i64,
    /// Estimated time until the job ends; null if unknown.
    pub estimated_duration_secs: Option<f64>,
    /// When the job was submitted.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: DateTime<Utc>,
    /// When the first unit of the job was started.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<DateTime<Utc>>,
    /// When the job ended.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub completed_at: Option<DateTime<Utc>>,
    /// When the job will be deleted.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub expires_at: Option<DateTime<Utc>>,
    /// Duration of the job, in milliseconds.
    pub duration_ms: Option<i64>,
}

/// State of the step after a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThenState {
    /// The next step will be submitted when the job has succeeded and limits permit.
    Waiting,
    /// The next step was submitted.
    Submitted,
    /// No step is submitted, because the job did not succeed or the chain was cancelled; a retry of the job continues
    /// the chain.
    NotSubmitted,
}

impl ThenState {
    fn of(job: &Job) -> Option<Self> {
        let state = match job.state {
            JobState::Failed | JobState::Cancelled => Self::NotSubmitted,
            _ if job.next_job_id.is_some() => Self::Submitted,
            _ if job.then_cancelled => Self::NotSubmitted,
            _ => Self::Waiting,
        };
        job.chain.is_some().then_some(state)
    }
}

/// Maximum number of items shown of each list of a job.
const SHOWN_ITEMS: usize = 100;

/// A value with long lists truncated; `omitted` contains the number of omitted items of each.
fn shortened(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let mut omitted = Map::new();
    let mut shown = Map::new();
    for (name, value) in fields {
        let value = match value {
            Value::Array(mut items) if items.len() > SHOWN_ITEMS => {
                omitted.insert(name.clone(), json!(items.len() - SHOWN_ITEMS));
                items.truncate(SHOWN_ITEMS);
                Value::Array(items)
            }
            value => value,
        };
        shown.insert(name, value);
    }
    if !omitted.is_empty() {
        shown.insert("omitted".to_owned(), Value::Object(omitted));
    }
    Value::Object(shown)
}

/// An error, or a line of a job's log, without internals of this machine.
pub fn without_internals(mut error: Value, error_code: &Value) -> Value {
    let code: Option<ErrorCode> = serde_json::from_value(error_code.clone()).ok();
    if let Some(message) = code.and_then(without_details) {
        error["message"] = json!(message);
    }
    error
}

/// Progress, which may state what the job waits for.
fn shown_progress(mut progress: Progress) -> Value {
    progress.waiting = progress.waiting.as_deref().map(without_paths);
    json!(progress)
}

/// One record that failed or was not returned.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Failure")]
pub struct FailureView {
    /// Position in the listing.
    pub id: i64,
    /// PMID of the record, if it is a PubMed record and its PMID could be read.
    pub pmid: Option<String>,
    /// Type of the record: `pubmed`, or the type of another source.
    pub record_type: String,
    /// Identifier of the record within its type, if it could be read.
    pub record_id: Option<String>,
    /// `failed` or `missing`.
    pub outcome: String,
    /// Why the record failed.
    pub reason: Option<String>,
    /// Address of its bytes, if they are quarantined.
    pub uri: Option<String>,
}

impl From<ingest::RecordFailure> for FailureView {
    fn from(failure: ingest::RecordFailure) -> Self {
        let ingest::RecordFailure { id, record_type, record_id, outcome, reason, uri } = failure;
        let pmid = record_id.clone().filter(|_| record_type == PUBMED.name());
        Self { id, pmid, record_type, record_id, outcome, reason, uri }
    }
}

/// A text without paths: they are of no use to a remote caller.
fn without_paths(text: &str) -> String {
    let word = |word: &str| {
        let path = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/');
        let is_path = path.starts_with('/') && path.matches('/').count() > 1;
        if is_path { word.replace(path, "…") } else { word.to_owned() }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A job for display: with the first items of long lists, and an error without internals.
pub fn view(details: JobDetails) -> JobView {
    let JobDetails { job, position_in_queue, estimated_duration_secs, previous_job_id } = details;
    let shown_step = |step: &Step| Step { params: shortened(step.params.clone()), ..step.clone() };
    let ended = job.started_at.zip(job.completed_at);
    JobView {
        completed_with_failures: job.completed_with_failures(),
        then: job.then().iter().map(shown_step).collect(),
        then_state: ThenState::of(&job),
        chain_id: job.chain_id,
        step: job.chain_step,
        previous_job_id,
        next_job_id: job.next_job_id,
        job_id: job.id,
        tool: job.tool,
        params: shortened(job.params),
        state: job.state,
        progress: shown_progress(job.progress),
        result: job.result.map(|result| shortened(json!(result))),
        result_ref: job.result_ref,
        error: job.error.map(|error| {
            let code = error["error_code"].clone();
            without_internals(error, &code)
        }),
        trace_id: job.trace_id,
        attempt: job.attempt,
        parent_job_id: job.parent_job_id,
        principal: job.principal,
        priority: job.priority,
        position_in_queue,
        estimated_duration_secs,
        created_at: job.created_at,
        started_at: job.started_at,
        completed_at: job.completed_at,
        expires_at: job.expires_at,
        duration_ms: ended.map(|(started, completed)| (completed - started).num_milliseconds()),
    }
}

/// The result of a cancellation.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct CancelOutput {
    /// Id of the job.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: Uuid,
    /// Current state of the job: `running` until its units have stopped.
    pub state: JobState,
    /// Whether the job, or what was still to follow it, is or will be cancelled; false if the job had already ended.
    pub cancelled: bool,
    /// If the job had already ended and its chain continues, id of the job to cancel in order to cancel the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub next_job_id: Option<Uuid>,
}

fn not_found(job: Uuid) -> ToolError {
    ToolError::new(ErrorCode::JobNotFound, format!("job {job} not found; jobs are deleted when they expire"))
}

/// Refuses to change a job of another principal.
pub fn allow_change(principal: &Principal, job: &Job, change: &str) -> Result<(), ToolError> {
    if principal.may_change_what_is_of(&job.principal) {
        return Ok(());
    }
    let message =
        format!("a job can be {change} only by the principal that submitted it, or with the role {}", Role::Admin);
    Err(ToolError::new(ErrorCode::Forbidden, message))
}

impl ToolSpec for JobGet {
    const NAME: &'static str = "job.get";
    const TITLE: &'static str = "Get a job";
    const DESCRIPTION: &'static str = "Returns a job's state, progress, result and error.";
    const ANNOTATIONS: Annotations = Annotations::READS;
    type Params = JobParams;
    type Output = JobView;
}

#[async_trait]
impl FastTool for JobGet {
    async fn run(toolbox: &Toolbox, _: &Caller, params: JobParams) -> Result<JobView, ToolError> {
        let db = &toolbox.engine.db;
        let job = jobs::details(db, JobId(params.job_id)).await?;
        Ok(view(job.ok_or_else(|| not_found(params.job_id))?))
    }
}

impl ToolSpec for JobCancel {
    const NAME: &'static str = "job.cancel";
    const TITLE: &'static str = "Cancel a job";
    const DESCRIPTION: &'static str = "Cancels a job and the steps that follow it: immediately if it is queued, \
                                       otherwise after the current batch of each running unit. Archived records \
                                       remain.";
    const ANNOTATIONS: Annotations =
        Annotations { read_only: false, destructive: true, idempotent: true, open_world: false };
    type Params = JobParams;
    type Output = CancelOutput;
}

#[async_trait]
impl FastTool for JobCancel {
    async fn run(toolbox: &Toolbox, caller: &Caller, params: JobParams) -> Result<CancelOutput, ToolError> {
        let engine = &toolbox.engine;
        let job = jobs::get(&engine.db, JobId(params.job_id)).await?.ok_or_else(|| not_found(params.job_id))?;
        allow_change(&caller.principal, &job, "cancelled")?;
        let done = ingest::cancel(engine, job.job_id()).await?;
        let Cancelled { state, cancelled, next_job, .. } = done.ok_or_else(|| not_found(params.job_id))?;
        if cancelled {
            caller.audit("job.cancel", &job.id.to_string());
        }
        Ok(CancelOutput { job_id: job.id, state, cancelled, next_job_id: next_job.map(|job| job.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_waits_for_is_told_without_paths() {
        for (text, told) in [
            ("creating /srv/a/b.zst: no space left (os error 28)", "creating …: no space left (os error 28)"),
            ("NCBI answers 502 and/or nothing at /x", "NCBI answers 502 and/or nothing at /x"),
            ("opening '/srv/a/b'", "opening '…'"),
        ] {
            assert_eq!(without_paths(text), told);
        }
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let shown = shortened(json!({ "pmids": vec![1; 103], "few": [1], "text": "x" }));
        assert_eq!((shown["pmids"].as_array().map(Vec::len), &shown["omitted"]), (Some(100), &json!({ "pmids": 3 })));
        assert_eq!(shortened(json!({ "few": [1] })), json!({ "few": [1] }));
    }
}
