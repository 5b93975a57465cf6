//! A job row.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use super::progress::{JobResult, Progress};
use bio_mcp_core::JobId;

/// The state of a job. A terminal state never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// No unit has started.
    Queued,
    /// Units are running, or waiting to run.
    Running,
    /// Every unit completed; records may have failed.
    Succeeded,
    /// Planning failed, a unit used all its attempts, or a deadline passed.
    Failed,
    /// The job was cancelled and its units have stopped.
    Cancelled,
}

impl JobState {
    /// The state as in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Parses the state as in the database.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// Whether nothing will change any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for JobState {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("unknown job state {text}"))
    }
}

/// A job as stored.
#[derive(Clone, Debug, FromRow, Serialize)]
pub struct Job {
    #[serde(rename = "job_id")]
    pub id: Uuid,
    pub tool: String,
    pub params: Value,
    #[sqlx(try_from = "String")]
    pub state: JobState,
    /// 0 to 10, 10 first.
    pub priority: i16,
    /// Progress of the job.
    #[sqlx(json)]
    pub progress: Progress,
    /// Result, once the job has ended.
    #[sqlx(json(nullable))]
    pub result: Option<JobResult>,
    /// Address of the manifest.
    pub result_ref: Option<String>,
    /// Why it failed: `{error_code, message}`.
    pub error: Option<Value>,
    pub trace_id: String,
    /// The job it retries.
    pub parent_job_id: Option<Uuid>,
    /// Id of its chain, which is that of the first job; none if it is not part of a chain.
    pub chain_id: Option<Uuid>,
    /// Number of its step in the chain, from 1.
    pub chain_step: Option<i16>,
    /// The steps that follow it, as they are stored: see [`Job::following`].
    pub chain: Option<Value>,
    /// Id of the job of the next step, once that is submitted.
    pub next_job_id: Option<Uuid>,
    /// Whether the steps that follow were cancelled when its units had ended already.
    pub then_cancelled: bool,
    /// The key of what it works for, where its submission named one.
    pub query_key: Option<String>,
    /// While it is queued or running, no other job with the same key is.
    pub exclusive_key: Option<String>,
    /// Work units planned.
    pub units_total: i32,
    /// Work units completed.
    pub units_done: i32,
    /// Work units out of attempts.
    pub units_failed: i32,
    /// Number of the attempt: 1, or one more than that of the job it retries.
    pub attempt: i32,
    /// Counts changes of the row.
    pub version: i64,
    /// The principal that submitted it.
    pub principal: String,
    /// Daily limit of records that its principal may store; none for one without a limit.
    pub daily_records: Option<i64>,
    /// When cancellation was requested.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// When it fails unless it has ended.
    pub deadline_at: DateTime<Utc>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When its first unit was started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// When its row expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// How long the row is kept after the job has ended.
    pub ttl_hours: i16,
    /// When the row last changed.
    pub updated_at: DateTime<Utc>,
}

impl Job {
    pub fn job_id(&self) -> JobId {
        JobId(self.id)
    }

    /// Whether it succeeded although some records failed.
    pub fn completed_with_failures(&self) -> bool {
        self.state == JobState::Succeeded && self.result.as_ref().is_some_and(|result| result.counts.failed > 0)
    }
}
