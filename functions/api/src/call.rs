//! Tool calls of every interface: limited, counted, and refused while the database is unavailable.

use std::time::Instant;

use serde_json::Value;
use shared::core::{Caller, ErrorCode, metrics};
use shared::jobs::SubmitOutcome;
use shared::tools::{Action, SubmitContext, Tool, ToolError};

use crate::Api;
use crate::error::ApiError;

/// Finds a tool by its name, in either spelling.
pub fn known<'a>(api: &'a Api, name: &str) -> Result<&'a Tool, ApiError> {
    api.tool(name).ok_or_else(|| {
        // The name is the caller's text: it is not repeated.
        ApiError::new(ErrorCode::ToolNotFound, "unknown tool: see GET /v1/mcp/tools")
    })
}

/// Runs a fast tool within its limit; `pointer_prefix` is the JSON pointer of its parameters.
pub async fn run(
    api: &Api,
    tool: &Tool,
    caller: Caller,
    params: Value,
    pointer_prefix: &str,
) -> Result<Value, ApiError> {
    let Action::Run(run) = &tool.action else {
        return Err(ApiError::new(ErrorCode::Internal, "a job tool was called as a fast one").of_tool(tool.name));
    };
    let _permit = api.limits.tool(tool.name, &caller.principal)?;
    let slot = Box::pin(api.fleet.acquire(tool)).await?;
    let result = counted(api, tool, pointer_prefix, run(api.toolbox.clone(), caller, params)).await;
    Box::pin(api.fleet.release(slot)).await;
    result
}

/// Counts a call; refuses it while the database is unavailable.
async fn counted<T>(
    api: &Api,
    tool: &Tool,
    pointer_prefix: &str,
    call: impl Future<Output = Result<T, ToolError>>,
) -> Result<T, ApiError> {
    let began = Instant::now();
    let called = async {
        if tool.needs_database {
            api.database.check().await?;
        }
        let result = call.await.map_err(|error| ApiError::from(error.with_pointer_prefix(pointer_prefix)));
        if tool.needs_database {
            api.database.record(result.as_ref().err());
        }
        result
    };
    let result = called.await;
    metrics::request(tool.name, result.is_ok(), began.elapsed());
    result.map_err(|failure| {
        metrics::error(tool.name, failure.error.code);
        failure.of_tool(tool.name)
    })
}

/// Submits the job of a job tool; `pointer_prefix` is the JSON pointer of its parameters.
pub async fn submit(
    api: &Api,
    tool: &Tool,
    params: Value,
    context: SubmitContext,
    pointer_prefix: &str,
) -> Result<SubmitOutcome, ApiError> {
    let Action::Submit(submit) = &tool.action else {
        return Err(ApiError::new(ErrorCode::Internal, "a fast tool was called as a job").of_tool(tool.name));
    };
    counted(api, tool, pointer_prefix, submit(api.toolbox.clone(), params, context)).await
}
