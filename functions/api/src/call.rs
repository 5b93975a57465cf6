//! Calling tools, whichever door the call came through: within limits, counted, and not while the database is away.

use std::time::Instant;

use serde_json::Value;
use shared::jobs::Submitted;
use shared::tools::{Action, Asked, Tool, ToolError};
use shared::words::{Caller, ErrorCode, metrics};

use crate::Api;
use crate::error::Failure;

/// The tool of a name, in either spelling.
pub fn known<'a>(api: &'a Api, name: &str) -> Result<&'a Tool, Failure> {
    api.tool(name).ok_or_else(|| {
        // The name is the caller's: it is not repeated.
        Failure::new(ErrorCode::ToolNotFound, "unknown tool: see GET /v1/mcp/tools")
    })
}

/// Runs a fast tool within its limit; `below` is where its parameters stood.
pub async fn run(api: &Api, tool: &Tool, caller: Caller, params: Value, below: &str) -> Result<Value, Failure> {
    let Action::Run(run) = &tool.action else {
        return Err(Failure::new(ErrorCode::Internal, "a job tool was called as a fast one").of_tool(tool.name));
    };
    let _place = api.limits.tool(tool.name, &caller.principal)?;
    let slot = Box::pin(api.fleet.take(tool)).await?;
    let result = counted(api, tool, below, run(api.toolbox.clone(), caller, params)).await;
    Box::pin(api.fleet.give_back(slot)).await;
    result
}

/// Counts a call, and does not begin it while the database is away.
async fn counted<T>(
    api: &Api,
    tool: &Tool,
    below: &str,
    call: impl Future<Output = Result<T, ToolError>>,
) -> Result<T, Failure> {
    let began = Instant::now();
    let called = async {
        if tool.needs_database {
            api.database.pass().await?;
        }
        let result = call.await.map_err(|error| Failure::from(error.below(below)));
        if tool.needs_database {
            api.database.learn(result.as_ref().err());
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

/// Submits the job of a job tool; `below` is where its parameters stood.
pub async fn submit(api: &Api, tool: &Tool, params: Value, asked: Asked, below: &str) -> Result<Submitted, Failure> {
    let Action::Submit(submit) = &tool.action else {
        return Err(Failure::new(ErrorCode::Internal, "a fast tool was called as a job").of_tool(tool.name));
    };
    counted(api, tool, below, submit(api.toolbox.clone(), params, asked)).await
}
