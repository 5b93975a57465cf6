//! `tools` and `call`: the tools that HTTP and MCP offer, on the command line.

use std::io::Read;

use serde_json::{Value, json};
use shared::jobs::Submitted;
use shared::tools::{self, Action, Asked, Tool, ToolError};
use shared::words::{Caller, ErrorCode};

use crate::failure::{Exit, Failure};
use crate::out;
use crate::session::Session;

/// Lists all tools, or shows one.
pub fn list(name: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let shown = |tool: &Tool| {
        json!({
            "name": tool.name, "title": tool.title, "kind": tool.kind(), "role": tool.role, "description": tool.description,
            "input_schema": tool.input_schema, "output_schema": tool.output_schema,
        })
    };
    let all = tools::catalogue();
    match name {
        Some(name) => out::json(&shown(&find(name)?))?,
        None if json => out::json(&all.iter().map(shown).collect::<Vec<_>>())?,
        None => {
            let rows: Vec<_> = all
                .iter()
                .map(|tool| {
                    vec![tool.name.to_owned(), format!("{:?}", tool.kind()).to_lowercase(), tool.title.to_owned()]
                })
                .collect();
            out::table(&["tool", "kind", "what it does"], &rows)?;
        }
    }
    Ok(Exit::Done)
}

/// Calls a tool and prints its answer as JSON; of a job, the job.
pub async fn call(session: &Session, name: &str, params: &str) -> Result<Exit, Failure> {
    let tool = find(name)?;
    let mut text = params.to_owned();
    if params == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text)?;
    }
    let params: Value = serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("the parameters are not valid JSON at line {}, column {}", error.line(), error.column()))
    })?;
    let toolbox = session.toolbox();
    let answer = match &tool.action {
        Action::Run(run) => run(toolbox, Caller::command_line(), params).await,
        Action::Submit(submit) => {
            let asked = Asked {
                idempotency_key: None,
                caller: Caller::command_line(),
                priority: 0,
                ttl_hours: toolbox.ttl_hours,
            };
            submit(toolbox, params, asked).await.map(|submitted: Submitted| {
                let job = submitted.job();
                json!({ "job_id": job.id, "tool": job.tool, "state": job.state })
            })
        }
    };
    out::json(&answer?)?;
    Ok(Exit::Done)
}

fn find(name: &str) -> Result<Tool, Failure> {
    tools::find(name).ok_or_else(|| {
        let message = format!("there is no tool {name:?}: `bio-mcp tools` lists them");
        Failure::new(Exit::Usage, ErrorCode::ToolNotFound, message)
    })
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        let exit = match error.code {
            ErrorCode::NotFound | ErrorCode::JobNotFound => Exit::NotFound,
            code if code.is_retryable() => Exit::Unavailable,
            ErrorCode::Internal => Exit::Failed,
            _ => Exit::Usage,
        };
        Self::new(exit, error.code, error.message)
    }
}
