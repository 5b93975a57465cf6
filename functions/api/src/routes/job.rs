//! Routes of one job: get, wait, cancel, retry, manifest, failures, logs.

use std::sync::LazyLock;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::core::{Caller, ErrorCode, JobId, Role};
use shared::ingest;
use shared::jobs::{self, Job, LogLine};
use shared::tools::{FailureView, ToolError, allow, allow_change, view, without_internals};

use super::jobs::{check_key, key_of, submitted};
use crate::Api;
use crate::body::OptionalBody;
use crate::call::{known, run};
use crate::error::ApiError;
use crate::fleet::Wait;
use crate::query::QueryParams;

/// Maximum wait of one request, in seconds.
const MAX_WAIT_SECS: u64 = 25;

fn id(text: &str) -> Result<JobId, ApiError> {
    // Only the canonical spelling of an id, so that a job has exactly one URL.
    let parsed = text.parse::<JobId>().ok().filter(|job| job.to_string() == text);
    parsed.ok_or_else(|| not_found().into())
}

fn not_found() -> ToolError {
    ToolError::new(ErrorCode::JobNotFound, "job not found; jobs are deleted when they expire")
}

async fn one(api: &Api, text: &str) -> Result<Job, ApiError> {
    Ok(jobs::get(&api.toolbox.engine.db, id(text)?).await?.ok_or_else(not_found)?)
}

fn etag(job: &Job) -> String {
    format!("\"{}\"", job.version)
}

/// `GET /v1/jobs/{id}`: 304 if nothing has changed; with `wait`, returns as soon as something has.
pub async fn get(
    State(api): State<Api>,
    Path(job): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut query = QueryParams::read(query.as_deref());
    let wait = Duration::from_secs(query.number("wait", 0, 0, MAX_WAIT_SECS)).min(api.max_wait);
    query.end()?;
    let job = id(&job)?;
    let found = api.sticky.run(async move |connection| jobs::details(connection, job).await).await?;
    let mut details = found.ok_or_else(not_found)?;
    let known_tags: Vec<String> = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/").to_owned())
        .collect();
    let is_known = |job: &Job| known_tags.iter().any(|tag| *tag == etag(job) || tag == "*");
    // A request with the ETag of another version gets the job at once.
    let job = &details.job;
    let has_no_news = !job.state.is_terminal() && (known_tags.is_empty() || is_known(job));
    if !wait.is_zero()
        && has_no_news
        && let Wait::Allowed(slot) = Box::pin(api.fleet.acquire_wait()).await
    {
        let changed = api.changes.wait(job.job_id(), job.version, wait).await;
        Box::pin(api.fleet.release(slot)).await;
        details = changed?.ok_or_else(not_found)?;
    }
    let tag = HeaderValue::from_str(&etag(&details.job)).map_err(|_| not_found())?;
    let mut response = if is_known(&details.job) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(view(details)).into_response()
    };
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// `DELETE /v1/jobs/{id}`
pub async fn cancel(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(job): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let params = json!({ "job_id": id(&job)?.0 });
    Ok(Json(run(&api, known(&api, "job.cancel")?, caller, params, "").await?))
}

/// The schema of [`Retry`].
static RETRY: LazyLock<Value> = LazyLock::new(
    || json!({ "additionalProperties": false, "properties": { "idempotency_key": { "type": "string" } } }),
);

/// The optional body of a retry.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retry {
    #[serde(default)]
    idempotency_key: Option<String>,
}

/// `POST /v1/jobs/{id}/retry`: creates a job of only what failed or was not returned.
pub async fn retry(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(job): Path<String>,
    headers: HeaderMap,
    OptionalBody(body): OptionalBody,
) -> Result<Response, ApiError> {
    let retry: Retry = match body {
        Some(body) => body.read(&RETRY)?,
        None => Retry::default(),
    };
    let idempotency_key = check_key(key_of(&headers, retry.idempotency_key)?)?;
    let job = jobs::to_retry(&api.toolbox.engine.db, one(&api, &job).await?).await?;
    // Needs the same role as submitting. Tools that only the command line submits need the role admin.
    let role = api.tool(&job.tool).map_or(Role::Admin, |tool| tool.role);
    allow(&caller.principal, &job.tool, role).and_then(|()| allow_change(&caller.principal, &job, "retried"))?;
    if !job.state.is_terminal() {
        let message = format!("only finished jobs can be retried; this one is {}", job.state);
        return Err(ApiError::new(ErrorCode::JobNotFinished, message).of_tool(&job.tool));
    }
    let child = ingest::retry(&api.toolbox.engine, &job, api.toolbox.limits, &caller, |submission| jobs::Submission {
        idempotency_key,
        ..submission
    });
    match child.await? {
        Some(child) => Ok(submitted(&api, &child)),
        None => Err(ApiError::new(
            ErrorCode::ValidationError,
            "nothing to retry: in this job no record failed and none is missing",
        )
        .of_tool(&job.tool)),
    }
}

/// `GET /v1/jobs/{id}/manifest`
pub async fn manifest(State(api): State<Api>, Path(job): Path<String>) -> Result<Response, ApiError> {
    let job = one(&api, &job).await?;
    let none = || ApiError::new(ErrorCode::NotFound, "the job has no manifest: it has not finished");
    let address = job.result_ref.ok_or_else(none)?;
    let bytes = api.toolbox.engine.archive.manifest(JobId(job.id), &address).await.map_err(ToolError::from)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// A page of records that failed or are missing.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FailurePage {
    /// The records, in the order in which they were processed.
    pub failures: Vec<FailureView>,
    /// Cursor of the next page; absent on the last page.
    pub next_cursor: Option<String>,
    /// Total number of entries.
    pub total: i64,
}

/// A page of a job's log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogPage {
    /// The lines, oldest first.
    pub logs: Vec<LogLine>,
    /// Cursor of the next page; absent on the last page.
    pub next_cursor: Option<String>,
    /// Total number of entries.
    pub total: i64,
}

/// `GET /v1/jobs/{id}/failures`
pub async fn failures(
    State(api): State<Api>,
    Path(job): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<FailurePage>, ApiError> {
    let (limit, after) = paging(query.as_deref())?;
    let job = one(&api, &job).await?.job_id();
    let db = &api.toolbox.engine.db;
    let (page, total) = tokio::try_join!(ingest::failures(db, job, after, limit), ingest::failures_count(db, job))?;
    let next_cursor = page.next(|last| last.id.to_string());
    Ok(Json(FailurePage { failures: page.rows.into_iter().map(FailureView::from).collect(), next_cursor, total }))
}

/// `GET /v1/jobs/{id}/logs`
pub async fn logs(
    State(api): State<Api>,
    Path(job): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<LogPage>, ApiError> {
    let (limit, after) = paging(query.as_deref())?;
    let job = one(&api, &job).await?.job_id();
    let db = &api.toolbox.engine.db;
    let (page, total) = tokio::try_join!(jobs::logs_after(db, job, after, limit), jobs::logs_count(db, job))?;
    let next_cursor = page.next(|last| last.id.to_string());
    let mut logs = page.rows;
    for line in &mut logs {
        let message = without_internals(json!({ "message": line.message }), &line.fields["error_code"]);
        message["message"].as_str().unwrap_or_default().clone_into(&mut line.message);
    }
    Ok(Json(LogPage { logs, next_cursor, total }))
}

fn paging(query: Option<&str>) -> Result<(i64, i64), ApiError> {
    let mut query = QueryParams::read(query);
    let limit = query.number("limit", 100, 1, 1000);
    let cursor = |text: &str| text.parse().ok().filter(|after| *after >= 0);
    let after = query.parsed("cursor", "is not a cursor that a listing returned", cursor).unwrap_or(0);
    query.end()?;
    Ok((limit, after))
}
