//! `job.get` and `job.cancel`, and how a job is shown at every door.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::error::{ToolError, without_details};
use super::tool::{Described, FastTool, Hints, Toolbox};
use crate::ingest;
use crate::jobs::{self, Cancelled, Job, JobState, Progress, Standing, Step};
use crate::records::PUBMED;
use crate::words::{Caller, ErrorCode, JobId, Principal, Role};

/// The tool `job.get`.
pub struct JobGet;

/// The tool `job.cancel`.
pub struct JobCancel;

/// Which job.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobParams {
    /// Its id, as it was answered when it was submitted.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: Uuid,
}

/// A job.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct JobView {
    /// Its id.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: Uuid,
    /// Its tool.
    pub tool: String,
    /// Its parameters, defaults filled in.
    pub params: Value,
    /// Where it is.
    pub state: JobState,
    /// Whether it succeeded although records failed.
    pub completed_with_failures: bool,
    /// `done`, `total`, `fraction`, and how many records had which outcome.
    pub progress: Value,
    /// What came out, when it has ended.
    pub result: Option<Value>,
    /// Address of its manifest.
    pub result_ref: Option<String>,
    /// Why it failed: `error_code` and `message`.
    pub error: Option<Value>,
    /// Its trace.
    pub trace_id: String,
    /// 1, or more of a job that does another one again.
    pub attempt: i32,
    /// The job it does again.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub parent_job_id: Option<Uuid>,
    /// The first job of its chain, where it was submitted with steps that follow, or is one of them.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub chain_id: Option<Uuid>,
    /// The number of its step in the chain, from 1.
    #[schemars(range(min = 1, max = 9))]
    pub step: Option<i16>,
    /// The steps after it.
    pub then: Vec<Step>,
    /// What becomes of those: null where there are none.
    pub then_state: Option<ThenState>,
    /// The job of the step before.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub previous_job_id: Option<Uuid>,
    /// The job of the step after it.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub next_job_id: Option<Uuid>,
    /// Who submitted it: the id of a token, the subject of an OIDC token, `local`, `topics` or
    /// `projections`.
    pub principal: String,
    /// 0 to 10, 10 first.
    pub priority: i16,
    /// How many queued jobs are before it.
    pub position_in_queue: i64,
    /// How long it will take from now on, as far as that can be known.
    pub estimated_duration_secs: Option<f64>,
    /// When it was submitted.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: DateTime<Utc>,
    /// When its first unit was started.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub completed_at: Option<DateTime<Utc>>,
    /// When its row goes.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub expires_at: Option<DateTime<Utc>>,
    /// How long it took.
    pub duration_ms: Option<i64>,
}

/// What becomes of the steps after a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThenState {
    /// The next one is submitted when this job has succeeded.
    Waiting,
    /// The next one is there.
    Submitted,
    /// None is submitted, because this job did not succeed; a retry of it goes on with them.
    NotSubmitted,
}

impl ThenState {
    fn of(job: &Job, next: Option<Uuid>) -> Option<Self> {
        let state = match job.state {
            JobState::Failed | JobState::Cancelled => Self::NotSubmitted,
            _ if next.is_some() => Self::Submitted,
            _ => Self::Waiting,
        };
        (!job.then().is_empty()).then_some(state)
    }
}

/// Items of a list that a job is shown with.
const SHOWN_ITEMS: usize = 100;

/// A value with its long lists cut; `omitted` says how many items of each are left out.
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

/// An error, or a line of a job's log, without what only this machine should know.
pub fn told(mut error: Value, error_code: &Value) -> Value {
    let code: Option<ErrorCode> = serde_json::from_value(error_code.clone()).ok();
    if let Some(message) = code.and_then(without_details) {
        error["message"] = json!(message);
    }
    error
}

/// Progress, which may say what the job waits for.
fn shown_progress(mut progress: Progress) -> Value {
    progress.waiting = progress.waiting.as_deref().map(without_paths);
    json!(progress)
}

/// One record that failed or was not returned.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Failure")]
pub struct FailureView {
    /// Its place in the listing.
    pub id: i64,
    /// The record, if it is one of PubMed and its PMID could be read.
    pub pmid: Option<String>,
    /// The type of the record: `pubmed`, or that of another source.
    pub record_type: String,
    /// Its identifier within its type, if that could be read.
    pub record_id: Option<String>,
    /// `failed` or `missing`.
    pub outcome: String,
    /// Why.
    pub reason: Option<String>,
    /// Where its bytes are, if they are in quarantine.
    pub uri: Option<String>,
}

impl From<ingest::Failure> for FailureView {
    fn from(failure: ingest::Failure) -> Self {
        let ingest::Failure { id, record_type, record_id, outcome, reason, uri } = failure;
        let pmid = record_id.clone().filter(|_| record_type == PUBMED.name());
        Self { id, pmid, record_type, record_id, outcome, reason, uri }
    }
}

/// A text without the paths in it: a caller elsewhere has no use for them.
fn without_paths(text: &str) -> String {
    let word = |word: &str| {
        let path = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/');
        let is_path = path.starts_with('/') && path.matches('/').count() > 1;
        if is_path { word.replace(path, "…") } else { word.to_owned() }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A job as it is shown: with the first items of long lists, and an error in plain words.
pub fn view(standing: Standing) -> JobView {
    let Standing { job, position_in_queue, estimated_duration_secs, next_job_id, previous_job_id } = standing;
    let shown_step = |step: &Step| Step { params: shortened(step.params.clone()), ..step.clone() };
    let ended = job.started_at.zip(job.completed_at);
    JobView {
        completed_with_failures: job.completed_with_failures(),
        then: job.then().iter().map(shown_step).collect(),
        then_state: ThenState::of(&job, next_job_id),
        chain_id: job.chain_id,
        step: job.chain_step,
        previous_job_id,
        next_job_id,
        job_id: job.id,
        tool: job.tool,
        params: shortened(job.params),
        state: job.state,
        progress: shown_progress(job.progress),
        result: job.result.map(|result| shortened(json!(result))),
        result_ref: job.result_ref,
        error: job.error.map(|error| {
            let code = error["error_code"].clone();
            told(error, &code)
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

/// What cancelling did.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct CancelOutput {
    /// The job; of a chain, the one that went on.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: Uuid,
    /// Its state now: `running` until its units have stopped.
    pub state: JobState,
    /// Whether it is or will be cancelled; false when it had ended before.
    pub cancelled: bool,
}

fn not_found(job: Uuid) -> ToolError {
    ToolError::new(ErrorCode::JobNotFound, format!("there is no job {job}; the rows of old jobs go when they expire"))
}

/// Refuses to change a job of another principal.
pub fn allow_change(principal: &Principal, job: &Job, change: &str) -> Result<(), ToolError> {
    if principal.may_change_what_is_of(&job.principal) {
        return Ok(());
    }
    let message = format!("a job is {change} by the principal that submitted it, or with the role {}", Role::Admin);
    Err(ToolError::new(ErrorCode::Forbidden, message))
}

impl Described for JobGet {
    const NAME: &'static str = "job.get";
    const TITLE: &'static str = "Look at a job";
    const DESCRIPTION: &'static str = "Answers with a job's state, progress, result and error.";
    const HINTS: Hints = Hints::READS;
    type Params = JobParams;
    type Output = JobView;
}

#[async_trait]
impl FastTool for JobGet {
    async fn run(toolbox: &Toolbox, _: &Caller, params: JobParams) -> Result<JobView, ToolError> {
        let db = &toolbox.engine.db;
        let job = jobs::standing(db, JobId(params.job_id)).await?;
        Ok(view(job.ok_or_else(|| not_found(params.job_id))?))
    }
}

impl Described for JobCancel {
    const NAME: &'static str = "job.cancel";
    const TITLE: &'static str = "Cancel a job";
    const DESCRIPTION: &'static str = "Cancels a job, and the steps after it: at once when it is queued, else at the \
                                       next batch of what runs. What was archived stays.";
    const HINTS: Hints = Hints { read_only: false, destructive: true, idempotent: true, open_world: false };
    type Params = JobParams;
    type Output = CancelOutput;
}

#[async_trait]
impl FastTool for JobCancel {
    async fn run(toolbox: &Toolbox, caller: &Caller, params: JobParams) -> Result<CancelOutput, ToolError> {
        let engine = &toolbox.engine;
        let job = jobs::get(&engine.db, JobId(params.job_id)).await?.ok_or_else(|| not_found(params.job_id))?;
        let may = |job: &Job| allow_change(&caller.principal, job, "cancelled");
        let (id, Cancelled { state, cancelled, .. }) = ingest::cancel(engine, job, may).await?;
        if cancelled {
            caller.audit("job.cancel", &id.to_string());
        }
        Ok(CancelOutput { job_id: id.0, state, cancelled })
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
