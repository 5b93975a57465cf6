//! Tools: listed, and called.

use std::time::Instant;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::jobs::Submitted;
use shared::tools::{Action, Asked, Kind, Tool, ToolError};
use shared::words::{ErrorCode, metrics};

use super::jobs::{check_key, none, submitted};
use crate::Api;
use crate::auth::Principal;
use crate::body::Body;
use crate::error::Failure;
use crate::trace::TraceId;

/// Every tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ToolList {
    /// In a fixed order.
    pub tools: Vec<ToolView>,
}

/// A tool as it is listed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ToolView {
    /// Its dotted name.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Whether it answers at once or becomes a job.
    pub kind: Kind,
    /// What it does.
    pub description: &'static str,
    /// JSON Schema of its parameters.
    pub input_schema: Value,
    /// JSON Schema of its result, or of the result of its job.
    pub output_schema: Value,
}

/// The answer of a fast tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Invoked {
    /// Always true.
    pub ok: bool,
    /// The tool.
    pub tool: &'static str,
    /// What it answered.
    pub result: Value,
    /// Names this request in the log.
    pub trace_id: String,
}

/// `GET /v1/mcp/tools`
pub async fn list(State(api): State<Api>) -> Json<ToolList> {
    let tools = api.tools.iter().map(|tool| ToolView {
        name: tool.name,
        title: tool.title,
        kind: tool.kind(),
        description: tool.description,
        input_schema: tool.input_schema.clone(),
        output_schema: tool.output_schema.clone(),
    });
    Json(ToolList { tools: tools.collect() })
}

/// A call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    tool: String,
    #[serde(default = "none")]
    params: Value,
    #[serde(default)]
    idempotency_key: Option<String>,
}

/// `POST /v1/mcp/invoke`: the answer of a fast tool, or the job of a job tool.
pub async fn invoke(
    State(api): State<Api>,
    Extension(TraceId(trace_id)): Extension<TraceId>,
    Extension(Principal(principal)): Extension<Principal>,
    body: Body,
) -> Result<Response, Failure> {
    let call: Call = body.parse()?;
    let tool = known(&api, &call.tool)?;
    let params = call.params;
    match &tool.action {
        Action::Run(_) if call.idempotency_key.is_some() => Err(Failure::from(shared::tools::ToolError::of_field(
            "idempotency_key",
            "is for tools that become jobs; this one answers at once",
        ))
        .of_tool(tool.name)),
        Action::Run(_) => {
            let result = run(&api, tool, params, "/params").await?;
            Ok(Json(Invoked { ok: true, tool: tool.name, result, trace_id }).into_response())
        }
        Action::Submit(_) => {
            let asked = Asked {
                idempotency_key: check_key(call.idempotency_key)?,
                principal,
                priority: 0,
                ttl_hours: api.toolbox.ttl_hours,
                trace_id,
            };
            Ok(submitted(&submit(&api, tool, params, asked, "/params").await?))
        }
    }
}

/// The tool of a name, in either spelling.
pub fn known<'a>(api: &'a Api, name: &str) -> Result<&'a Tool, Failure> {
    api.tool(name).ok_or_else(|| {
        // The name is the caller's: it is not repeated.
        Failure::new(ErrorCode::ToolNotFound, "there is no tool of this name: see GET /v1/mcp/tools")
    })
}

/// Runs a fast tool within its limit; `below` is where its parameters stood.
pub async fn run(api: &Api, tool: &Tool, params: Value, below: &str) -> Result<Value, Failure> {
    let Action::Run(run) = &tool.action else {
        return Err(Failure::new(ErrorCode::Internal, "a job tool was called as a fast one").of_tool(tool.name));
    };
    let _place = api.limits.tool(tool.name)?;
    counted(api, tool, below, run(api.toolbox.clone(), params)).await
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
