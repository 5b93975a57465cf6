//! MCP tool calls.

use rmcp::ErrorData;
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CreateTaskResult};
use serde_json::{Value, json};
use shared::core::trace;
use shared::observability::terminal::plain;
use shared::tools::readable::markdown;
use shared::tools::{Action, SubmitContext, Tool};

use super::caller::McpCaller;
use super::names::flat_names;
use super::tasks;
use crate::Api;
use crate::call;
use crate::error::ApiError;
use crate::routes::jobs;

/// The error of a tool call, as the HTTP error body in text alone. Clients would validate structured content against
/// the schema of the tool's results, and lose the reason.
pub fn refused(api: &Api, failure: ApiError, trace_id: String) -> CallToolResult {
    let mut body = failure.body(trace_id);
    body.message = flat_names(&api.tools, &body.message);
    for detail in &mut body.details {
        detail.reason = flat_names(&api.tools, &detail.reason);
    }
    CallToolResult::error(vec![ContentBlock::text(plain(&json!(body).to_string()))])
}

/// Calls a tool. What the tool refuses, or fails at, is a result that a model can read; only an unknown tool is
/// an error of the protocol.
pub async fn call(
    api: &Api,
    request: CallToolRequestParams,
    caller: McpCaller,
    knows_tasks: bool,
) -> Result<CallToolResponse, ErrorData> {
    let Some(tool) = api.tool(&request.name) else {
        return Err(ErrorData::invalid_params("unknown tool: see tools/list", None));
    };
    let params = Value::Object(request.arguments.unwrap_or_default());
    let trace_id = caller.trace_id.clone();
    let called = match (api.limits.mcp(&caller.principal), &tool.action) {
        (Err(failure), _) => Err(failure),
        (Ok(_permit), Action::Run(_)) => {
            let running = Box::pin(call::run(api, tool, caller.caller.clone(), params, ""));
            let ran = trace::within(trace_id.clone(), running).await;
            ran.map(|result| {
                let result = caller.visible(result);
                readable(&(tool.to_markdown)(&result), result).into()
            })
        }
        (Ok(_permit), Action::Submit(_)) => submit(api, tool, params, caller, knows_tasks).await,
    };
    Ok(called.unwrap_or_else(|failure| refused(api, failure.of_tool(tool.name), trace_id).into()))
}

/// A structured result with a text of the same content: several clients show a model only the text.
pub fn readable(text: &str, result: Value) -> CallToolResult {
    let mut both = CallToolResult::structured(result);
    // Clients print the text on terminals. The structured content is unchanged.
    both.content = vec![ContentBlock::text(plain(text))];
    both
}

async fn submit(
    api: &Api,
    tool: &Tool,
    params: Value,
    caller: McpCaller,
    knows_tasks: bool,
) -> Result<CallToolResponse, ApiError> {
    let ttl_hours = api.toolbox.ttl_hours;
    let context =
        SubmitContext { idempotency_key: None, caller: caller.caller, priority: 0, ttl_hours, then: Vec::new() };
    let submitted = call::submit(api, tool, params, context, "").await?;
    Ok(if knows_tasks {
        CallToolResponse::Task(CreateTaskResult::new(tasks::task(submitted.job())))
    } else {
        let job = json!(jobs::shown(api, &submitted));
        readable(&markdown(&format!("{}: a job", tool.title), &job), job).into()
    })
}
