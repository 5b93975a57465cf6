//! `tools` and `call`: the tools that HTTP and MCP offer, on the command line.

use std::io::Read;

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::{Value, json};
use shared::core::{Caller, ErrorCode};
use shared::jobs::{Step, SubmitOutcome};
use shared::tools::{self, Action, SubmitContext, Tool, ToolError};

use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;

pub fn list(name: Option<&str>, json: bool) -> Result<Exit, CliError> {
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
            out::table(&["tool", "kind", "description"], &rows)?;
        }
    }
    Ok(Exit::Done)
}

/// Calls a tool and prints its result as JSON; for a job tool, the job.
pub async fn call(session: &Session, name: &str, params: &str, then: &[String]) -> Result<Exit, CliError> {
    let tool = find(name)?;
    let mut text = params.to_owned();
    if params == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text)?;
    }
    let params: Value = read("the parameters are", &text)?;
    let steps: Vec<Step> = then.iter().map(|step| read("a step is", step)).collect::<Result<_, _>>()?;
    let toolbox = session.toolbox();
    let caller = Caller::command_line();
    let then = if steps.is_empty() {
        steps
    } else {
        tools::checked_steps(&tools::catalogue(), &toolbox.engine, &caller.principal, steps)?
    };
    let output = match &tool.action {
        Action::Run(_) if !then.is_empty() => {
            return Err(CliError::usage(format!(
                "{} is a fast tool, not a job: --then cannot be used with it",
                tool.name
            )));
        }
        Action::Run(run) => run(toolbox, caller, params).await,
        Action::Submit(submit) => {
            let context =
                SubmitContext { idempotency_key: None, caller, priority: 0, ttl_hours: toolbox.ttl_hours, then };
            submit(toolbox, params, context).await.map(|submitted: SubmitOutcome| {
                let job = submitted.job();
                json!({ "job_id": job.id, "tool": job.tool, "state": job.state })
            })
        }
    };
    out::json(&output?)?;
    Ok(Exit::Done)
}

/// Reads JSON; `what` begins the message if the text is invalid.
fn read<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, CliError> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Data => CliError::usage(format!("{what} not valid: {error}")),
            _ => CliError::usage(format!("{what} not valid JSON at line {line}, column {column}")),
        }
    })
}

fn find(name: &str) -> Result<Tool, CliError> {
    tools::find(name).ok_or_else(|| {
        let message = format!("unknown tool {name:?}: `bio-mcp tools` lists the tools");
        CliError::new(Exit::Usage, ErrorCode::ToolNotFound, message)
    })
}

impl From<ToolError> for CliError {
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
