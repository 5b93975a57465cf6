//! Tools as MCP lists and calls them.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CreateTaskResult, JsonObject,
    Tool as McpTool, ToolAnnotations,
};
use serde_json::{Value, json};
use shared::tools::readable::markdown;
use shared::tools::{Action, Asked, Kind, Tool, output_schema};
use shared::words::trace;

use super::caller::Caller;
use super::tasks;
use crate::Api;
use crate::call;
use crate::error::Failure;
use crate::routes::jobs;

/// A tool as it is listed.
pub fn described(tool: &Tool) -> McpTool {
    let hints = tool.hints;
    let annotations = ToolAnnotations::with_title(tool.title)
        .read_only(hints.read_only)
        .destructive(hints.destructive)
        .idempotent(hints.idempotent)
        .open_world(hints.open_world);
    McpTool::new(tool.flat_name(), tool.description, object(tool.input_schema.clone()))
        .with_title(tool.title)
        .with_raw_output_schema(object(answer_schema(tool)))
        .with_annotations(annotations)
}

/// What a call answers: of a job the job, or its result when it was called as a task.
fn answer_schema(tool: &Tool) -> Value {
    match tool.kind() {
        Kind::Fast => tool.output_schema.clone(),
        Kind::Job => {
            let mut both = [output_schema::<jobs::Submitted>(), tool.output_schema.clone()];
            for schema in both.iter_mut().filter_map(Value::as_object_mut) {
                schema.remove("$schema");
            }
            json!({ "type": "object", "anyOf": both })
        }
    }
}

fn object(schema: Value) -> Arc<JsonObject> {
    Arc::new(match schema {
        Value::Object(schema) => schema,
        _ => JsonObject::new(),
    })
}

/// Calls a tool. What the tool refuses, or fails at, is an answer that a model can read; only an unknown tool is
/// an error of the protocol.
pub async fn call(
    api: &Api,
    request: CallToolRequestParams,
    caller: Caller,
    knows_tasks: bool,
) -> Result<CallToolResponse, ErrorData> {
    let Some(tool) = api.tool(&request.name) else {
        return Err(ErrorData::invalid_params("there is no tool of this name: see tools/list", None));
    };
    let params = Value::Object(request.arguments.unwrap_or_default());
    let trace_id = caller.trace_id.clone();
    let answered = match (api.limits.mcp(), &tool.action) {
        (Err(failure), _) => Err(failure),
        (Ok(_place), Action::Run(_)) => {
            let running = Box::pin(call::run(api, tool, params, ""));
            let ran = trace::within(trace_id.clone(), running).await;
            ran.map(|result| readable((tool.to_markdown)(&result), result).into())
        }
        (Ok(_place), Action::Submit(_)) => submit(api, tool, params, caller, knows_tasks).await,
    };
    Ok(answered.unwrap_or_else(|failure| {
        CallToolResult::structured_error(json!(failure.of_tool(tool.name).body(trace_id))).into()
    }))
}

/// A result beside a text that says all of it: several clients show a model only the text.
pub fn readable(text: String, result: Value) -> CallToolResult {
    let mut both = CallToolResult::structured(result);
    both.content = vec![ContentBlock::text(text)];
    both
}

async fn submit(
    api: &Api,
    tool: &Tool,
    params: Value,
    caller: Caller,
    knows_tasks: bool,
) -> Result<CallToolResponse, Failure> {
    let Caller { principal, trace_id } = caller;
    let ttl_hours = api.toolbox.ttl_hours;
    let asked = Asked { idempotency_key: None, principal: principal.0, priority: 0, ttl_hours, trace_id };
    let submitted = call::submit(api, tool, params, asked, "").await?;
    Ok(if knows_tasks {
        CallToolResponse::Task(CreateTaskResult::new(tasks::task(submitted.job())))
    } else {
        let job = json!(jobs::shown(&submitted));
        readable(markdown(&format!("{}: a job", tool.title), &job), job).into()
    })
}
