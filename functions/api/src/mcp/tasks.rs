//! Jobs as MCP tasks: a task is a job, with the job's id. There is no state except the job's rows in Postgres.

use chrono::SecondsFormat;
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, DetailedTask, GetTaskResult, JsonObject, Task, TaskPayload, TaskStatus};
use serde_json::{Value, json};
use shared::core::{ErrorCode, JobId};
use shared::jobs::{self, Job, JobState};
use shared::tools::readable::markdown;
use shared::tools::{ToolError, without_internals};

use super::caller::McpCaller;
use super::tools::refused;
use crate::Api;
use crate::call;
use crate::error::ApiError;

/// Suggested polling interval, in milliseconds.
const POLL_INTERVAL_MS: u64 = 1000;

/// A job as a task.
pub fn task(job: &Job) -> Task {
    let at = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let status = match job.state {
        JobState::Queued | JobState::Running => TaskStatus::Working,
        // A tool that ran and failed has a result with the error.
        JobState::Succeeded | JobState::Failed => TaskStatus::Completed,
        JobState::Cancelled => TaskStatus::Cancelled,
    };
    let message = match job.state {
        JobState::Running => format!("running: {:.0} %", job.progress.fraction * 100.0),
        other => other.as_str().to_owned(),
    };
    // For a job that has not ended, the latest time at which its row can expire.
    let ends = job.expires_at.unwrap_or(job.deadline_at + chrono::TimeDelta::hours(job.ttl_hours.into()));
    let ttl_ms = u64::try_from((ends - job.created_at).num_milliseconds()).unwrap_or(0);
    Task::new(job.id.to_string(), status, at(job.created_at), at(job.updated_at))
        .with_status_message(message)
        .with_ttl_ms(ttl_ms)
        .with_poll_interval_ms(POLL_INTERVAL_MS)
}

/// `tasks/get`
pub async fn get(api: &Api, task_id: &str, caller: &McpCaller) -> Result<GetTaskResult, ErrorData> {
    let job = find(api, task_id, caller).await?;
    let payload = match job.state {
        JobState::Queued | JobState::Running => TaskPayload::Working,
        JobState::Cancelled => TaskPayload::Cancelled,
        JobState::Succeeded => {
            let result = job.result.as_ref().map_or_else(|| json!({}), |result| json!(result));
            let result = caller.visible(result);
            let text =
                api.tool(&job.tool).map_or_else(|| markdown(&job.tool, &result), |tool| (tool.to_markdown)(&result));
            TaskPayload::Completed { result: object(&super::tools::readable(&text, result)) }
        }
        JobState::Failed => {
            let refused = refused(api, failure(&job), job.trace_id.clone());
            TaskPayload::Completed { result: object(&refused) }
        }
    };
    Ok(GetTaskResult::new(DetailedTask::new(task(&job), payload)))
}

/// `tasks/update`: jobs never request input, so there is nothing to update.
pub async fn update(api: &Api, task_id: &str, caller: &McpCaller) -> Result<(), ErrorData> {
    find(api, task_id, caller).await.map(|_| ())
}

/// `tasks/cancel`
pub async fn cancel(api: &Api, task_id: &str, caller: &McpCaller) -> Result<(), ErrorData> {
    let job = find(api, task_id, caller).await?;
    let tool = call::known(api, "job.cancel").map_err(|failure| internal(&failure.error, caller))?;
    let cancelled = call::run(api, tool, caller.caller.clone(), json!({ "job_id": job.id }), "").await;
    cancelled.map(|_| ()).map_err(|failure| internal(&failure.error, caller))
}

async fn find(api: &Api, task_id: &str, caller: &McpCaller) -> Result<Job, ErrorData> {
    let unknown = || ErrorData::invalid_params("task not found; tasks are deleted when they expire", None);
    let id: JobId = task_id.parse().map_err(|_| unknown())?;
    let read = async {
        api.database.check().await?;
        let job = jobs::get(&api.toolbox.engine.db, id).await.map_err(ApiError::from);
        api.database.record(job.as_ref().err());
        job
    };
    let job = read.await.map_err(|failure| internal(&failure.error, caller))?;
    job.ok_or_else(unknown)
}

/// Why a job failed.
fn failure(job: &Job) -> ApiError {
    let error = job.error.clone().unwrap_or(Value::Null);
    let error = without_internals(error.clone(), &error["error_code"]);
    let said = |name: &str| error[name].clone();
    let code = serde_json::from_value(said("error_code")).unwrap_or(ErrorCode::Internal);
    let message = said("message").as_str().unwrap_or("the job failed").to_owned();
    ApiError::new(code, message).of_tool(&job.tool)
}

fn internal(error: &ToolError, caller: &McpCaller) -> ErrorData {
    let data = json!({ "error_code": error.code.as_str(), "trace_id": caller.trace_id });
    ErrorData::internal_error(error.message.clone(), Some(data))
}

fn object(result: &CallToolResult) -> JsonObject {
    match serde_json::to_value(result) {
        Ok(Value::Object(object)) => object,
        _ => JsonObject::new(),
    }
}
