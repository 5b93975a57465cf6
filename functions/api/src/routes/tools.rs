//! Routes to list and call tools.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::tools::{Action, Kind, SubmitContext};

use super::jobs::{check_key, envelope, key_of, none, submitted};
use crate::Api;
use crate::body::Body;
use crate::call::{known, run, submit};
use crate::error::ApiError;
use shared::core::{Caller, Role};

/// The list of tools.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ToolList {
    /// The tools, in a fixed order.
    pub tools: Vec<ToolView>,
}

/// A listed tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ToolView {
    /// Dotted name of the tool.
    pub name: &'static str,
    /// Name of the tool for people.
    pub title: &'static str,
    /// Whether the tool returns its result directly or becomes a job.
    pub kind: Kind,
    /// The lowest role that may call the tool.
    pub role: Role,
    /// What the tool does.
    pub description: &'static str,
    /// JSON Schema of the parameters.
    pub input_schema: Value,
    /// JSON Schema of the result, or of the result of the job.
    pub output_schema: Value,
}

/// The response of a fast tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Invoked {
    /// Always true.
    pub ok: bool,
    /// The tool.
    pub tool: &'static str,
    /// The result of the tool.
    pub result: Value,
    /// Identifies this request in the log.
    pub trace_id: String,
}

/// `GET /v1/mcp/tools`
pub async fn list(State(api): State<Api>) -> Json<ToolList> {
    let tools = api.tools.iter().map(|tool| ToolView {
        name: tool.name,
        title: tool.title,
        kind: tool.kind(),
        role: tool.role,
        description: tool.description,
        input_schema: tool.input_schema.clone(),
        output_schema: tool.output_schema.clone(),
    });
    Json(ToolList { tools: tools.collect() })
}

/// The schema of [`Call`].
static CALL: LazyLock<Value> = LazyLock::new(|| envelope([]));

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    tool: String,
    #[serde(default = "none")]
    params: Value,
    #[serde(default)]
    idempotency_key: Option<String>,
}

/// `POST /v1/mcp/invoke`: the result of a fast tool, or the job of a job tool.
pub async fn invoke(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let call: Call = body.read(&CALL)?;
    let tool = known(&api, &call.tool)?;
    let params = call.params;
    let idempotency_key = key_of(&headers, call.idempotency_key)?;
    match &tool.action {
        Action::Run(_) if idempotency_key.is_some() => Err(ApiError::from(shared::tools::ToolError::invalid_field(
            "idempotency_key",
            "is only for job tools; this is a fast tool",
        ))
        .of_tool(tool.name)),
        Action::Run(_) => {
            let trace_id = caller.trace_id.clone();
            let result = run(&api, tool, caller, params, "/params").await?;
            Ok(Json(Invoked { ok: true, tool: tool.name, result, trace_id }).into_response())
        }
        Action::Submit(_) => {
            let context = SubmitContext {
                idempotency_key: check_key(idempotency_key)?,
                caller,
                priority: 0,
                ttl_hours: api.toolbox.ttl_hours,
                then: Vec::new(),
            };
            Ok(submitted(&api, &submit(&api, tool, params, context, "/params").await?))
        }
    }
}
