//! Routes to submit and list jobs.

use std::sync::LazyLock;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::core::{Caller, JobId};
use shared::jobs::{self, Filter, JobState, MAX_STEPS, Step};
use shared::tools::{EstimatedCost, JobView, Kind, SubmitContext, ToolError, checked_steps, view};

use crate::Api;
use crate::body::Body;
use crate::call;
use crate::cursor;
use crate::error::ApiError;
use crate::query::QueryParams;

/// `Retry-After` of a submitted job, in seconds.
const POLL_AFTER_SECS: u64 = 1;

/// Maximum length of an idempotency key.
const MAX_KEY_CHARS: usize = 255;

/// The schema of a tool call: name, parameters and idempotency key, and additional properties of a route.
pub fn envelope<const N: usize>(more: [(&str, Value); N]) -> Value {
    let mut properties = json!({
        "tool": { "type": "string" },
        "params": { "type": "object" },
        "idempotency_key": { "type": "string" },
    });
    for (name, schema) in more {
        properties[name] = schema;
    }
    json!({ "additionalProperties": false, "required": ["tool"], "properties": properties })
}

/// The schema of [`NewJob`].
static NEW_JOB: LazyLock<Value> = LazyLock::new(|| {
    envelope([
        ("ttl_hours", json!({ "type": "integer", "minimum": 1, "maximum": 168 })),
        ("priority", json!({ "type": "integer", "minimum": 0, "maximum": 10 })),
        (
            "then",
            json!({ "type": "array", "maxItems": MAX_STEPS, "items": {
            "type": "object", "additionalProperties": false, "required": ["tool"],
            "properties": { "tool": { "type": "string" }, "params": { "type": "object" } } } }),
        ),
    ])
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewJob {
    tool: String,
    #[serde(default = "none")]
    params: Value,
    #[serde(default)]
    idempotency_key: Option<String>,
    #[serde(default)]
    ttl_hours: Option<i16>,
    #[serde(default)]
    priority: i16,
    #[serde(default)]
    then: Vec<NewStep>,
}

/// A step that follows the job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewStep {
    tool: String,
    #[serde(default = "none")]
    params: Value,
}

/// Default for omitted parameters.
pub fn none() -> Value {
    json!({})
}

/// A job that was submitted.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Submitted {
    /// Id of the job.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: uuid::Uuid,
    /// Tool of the job.
    pub tool: String,
    /// State of the job.
    pub state: JobState,
    /// When the job was submitted.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: DateTime<Utc>,
    /// Number of queued jobs ahead of this one.
    pub position_in_queue: i64,
    /// Estimated time until the job ends; null if unknown.
    pub estimated_duration_secs: Option<f64>,
    /// Upper bound of the job's cost.
    pub estimated_cost: EstimatedCost,
}

/// A page of jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JobPage {
    /// Newest first.
    pub jobs: Vec<JobView>,
    /// Cursor of the next page; absent on the last page.
    pub next_cursor: Option<String>,
    /// Total number of matching jobs.
    pub total: i64,
}

/// `POST /v1/jobs`: one transaction; repeated with the same key it creates one job.
pub async fn submit(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let new: NewJob = body.read(&NEW_JOB)?;
    let tool = call::known(&api, &new.tool)?;
    if tool.kind() == Kind::Fast {
        let reason = "is a fast tool, not a job: POST it to /v1/mcp/invoke";
        return Err(ApiError::from(ToolError::invalid_field("tool", reason)).of_tool(tool.name));
    }
    let ttl_hours = new.ttl_hours.unwrap_or(api.toolbox.ttl_hours);
    let idempotency_key = check_key(key_of(&headers, new.idempotency_key)?)?;
    let then = new.then.into_iter().map(|step| Step { tool: step.tool, params: step.params }).collect();
    let then = checked_steps(&api.tools, &api.toolbox.engine, &caller.principal, then)
        .map_err(|error| ApiError::from(error).of_tool(tool.name))?;
    let context = SubmitContext { idempotency_key, caller, priority: new.priority, ttl_hours, then };
    Ok(submitted(&api, &call::submit(&api, tool, new.params, context, "/params").await?))
}

/// The idempotency key of the header or the body; if both are present, they must be equal.
pub fn key_of(headers: &HeaderMap, in_body: Option<String>) -> Result<Option<String>, ApiError> {
    let mut in_headers = headers.get_all("idempotency-key").iter();
    let invalid = |reason: &str| ApiError::from(ToolError::invalid_field("idempotency_key", reason));
    let in_header = match (in_headers.next(), in_headers.next()) {
        (None, _) => return Ok(in_body),
        (Some(_), Some(_)) => return Err(invalid("the header Idempotency-Key is given twice")),
        (Some(value), None) => value.to_str().map_err(|_| invalid("the header Idempotency-Key must be plain text"))?,
    };
    match in_body {
        Some(other) if other != in_header => Err(invalid("the header and the body have different keys")),
        _ => Ok(Some(in_header.to_owned())),
    }
}

/// Checks an idempotency key.
pub fn check_key(key: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(key) = key else { return Ok(None) };
    let fine = (1..=MAX_KEY_CHARS).contains(&key.chars().count()) && !key.chars().any(char::is_control);
    if fine {
        return Ok(Some(key));
    }
    let reason = format!("must be 1 to {MAX_KEY_CHARS} characters without control characters");
    Err(ToolError::invalid_field("idempotency_key", reason).into())
}

/// Converts a submitted job to its response.
pub fn shown(api: &Api, submitted: &jobs::SubmitOutcome) -> Submitted {
    let details = submitted.details();
    Submitted {
        job_id: details.job.id,
        tool: details.job.tool.clone(),
        state: details.job.state,
        created_at: details.job.created_at,
        position_in_queue: details.position_in_queue,
        estimated_duration_secs: details.estimated_duration_secs,
        estimated_cost: EstimatedCost::of(&api.toolbox.engine, &details.job),
    }
}

/// Status 202 for a new job, 200 for an existing one.
pub fn submitted(api: &Api, submitted: &jobs::SubmitOutcome) -> Response {
    let is_replay = matches!(submitted, jobs::SubmitOutcome::Replayed(_));
    let body = Json(shown(api, submitted));
    let mut response = (if is_replay { StatusCode::OK } else { StatusCode::ACCEPTED }, body).into_response();
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/{}", submitted.job().id)) {
        headers.insert(header::LOCATION, location);
    }
    headers.insert(header::RETRY_AFTER, POLL_AFTER_SECS.into());
    if is_replay {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}

/// `GET /v1/jobs`: jobs, newest first.
pub async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Json<JobPage>, ApiError> {
    let mut query = QueryParams::read(query.as_deref());
    let state = query.parsed("state", "must be queued, running, succeeded, failed or cancelled", JobState::parse);
    let status =
        query.parsed("status", "must be pending, running, completed, failed or cancelled", |text| match text {
            "pending" => Some(JobState::Queued),
            "completed" => Some(JobState::Succeeded),
            "running" | "failed" | "cancelled" => JobState::parse(text),
            _ => None,
        });
    if state.is_some() && status.is_some() && state != status {
        query.fault("status", "contradicts state");
    }
    let engine = &api.toolbox.engine;
    let tool = query.parsed("tool", "unknown tool", |name| match api.tool(name) {
        Some(tool) => Some(tool.name.to_owned()),
        // Tools that only the command line submits are listed too.
        None => engine.tools().into_iter().find(|tool| tool == name || tool.replace('.', "_") == name),
    });
    let chain = query.parsed("chain_id", "must be a job id", |text| text.parse::<JobId>().ok());
    let limit: i64 = query.number("limit", 50, 1, 100);
    let offset: i64 = query.number("offset", 0, 0, 1_000_000);
    let after = query.parsed("cursor", "is not a cursor that a listing returned", cursor::parse);
    if after.is_some() && offset > 0 {
        query.fault("offset", "cannot be combined with a cursor");
    }
    query.end()?;
    let db = &api.toolbox.engine.db;
    let filter = Filter { state: state.or(status), tool, chain, after, offset, limit };
    let (page, total) = jobs::list(db, &filter).await?;
    let next_cursor = page.next(|last| cursor::format(last.job.created_at, last.job.job_id()));
    Ok(Json(JobPage { jobs: page.rows.into_iter().map(view).collect(), next_cursor, total }))
}
