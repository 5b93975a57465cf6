//! Chains of job tools: each step is checked when the chain is submitted, and again when the step itself is.
//!
//! A reference (`{"$result": "/pointer"}`) is replaced by a value from the result of the previous job: until that
//! exists, only the existence of its parameter and the other parameters are checked.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::error::{FieldError, ToolError};
use super::find;
use super::params::{read, understood};
use super::tool::{JobTool, Tool, allow};
use crate::core::{ErrorCode, Principal};
use crate::ingest::{Engine, StepError, Steps, UnitError};
use crate::jobs::{self, Limits, MAX_STEPS, ResultReference, Step, StepRefusal, Submission};

/// A job tool as a step of a chain.
#[derive(Clone, Copy)]
pub struct AsStep {
    submission: fn(&Value, &Engine, Value) -> Result<Submission, ToolError>,
    prepare: for<'a> fn(&'a mut PgConnection, &'a Submission) -> BoxFuture<'a, Result<(), ToolError>>,
}

impl AsStep {
    /// The functions of a tool.
    pub(super) fn of<T: JobTool + 'static>() -> Self {
        Self {
            submission: |schema, engine, params| T::submission(engine, read(schema, T::ALIASES, params)?),
            prepare: prepare::<T>,
        }
    }
}

fn prepare<'a, T: JobTool + 'static>(
    db: &'a mut PgConnection,
    submission: &'a Submission,
) -> BoxFuture<'a, Result<(), ToolError>> {
    T::prepare(db, submission)
}

impl From<jobs::ReferenceFault> for FieldError {
    fn from(fault: jobs::ReferenceFault) -> Self {
        Self { pointer: fault.at, reason: fault.reason }
    }
}

/// Checks the steps that follow a job of a principal, and returns them under the tools' own names. All faults are
/// reported together, with pointers below `/then`.
pub fn checked_steps(
    tools: &[Tool],
    engine: &Engine,
    principal: &Principal,
    steps: Vec<Step>,
) -> Result<Vec<Step>, ToolError> {
    if steps.len() > MAX_STEPS {
        return Err(ToolError::invalid_field("then", format!("must be a list of at most {MAX_STEPS} items")));
    }
    let (mut checked, mut faults) = (Vec::with_capacity(steps.len()), Vec::new());
    for (n, step) in steps.into_iter().enumerate() {
        let of_tool = |reason: &str| {
            let field = FieldError { pointer: format!("/then/{n}/tool"), reason: reason.to_owned() };
            ToolError::invalid(vec![field])
        };
        let known = tools.iter().find(|tool| tool.name == step.tool || tool.flat_name() == step.tool);
        let step = match known.map(|tool| (tool, tool.as_step)) {
            None => Err(of_tool("unknown tool")),
            Some((_, None)) => Err(of_tool("is a fast tool, not a job: it cannot be a step")),
            Some((tool, Some(as_step))) => {
                allow(principal, tool.name, tool.role)?;
                let params = checked_params(tool, as_step, engine, step.params);
                params
                    .map_err(|error| error.with_pointer_prefix(&format!("/then/{n}/params")))
                    .map(|params| (tool, params))
            }
        };
        match step {
            Ok((tool, params)) => checked.push(Step { tool: tool.name.to_owned(), params }),
            Err(error) if error.code == ErrorCode::ValidationError => faults.extend(error.fields),
            Err(error) => return Err(error),
        }
    }
    if faults.is_empty() { Ok(checked) } else { Err(ToolError::invalid(faults)) }
}

/// Checks the parameters of a step, which may contain references.
fn checked_params(tool: &Tool, as_step: AsStep, engine: &Engine, params: Value) -> Result<Value, ToolError> {
    let of_fault =
        |faults: Vec<jobs::ReferenceFault>| -> Vec<FieldError> { faults.into_iter().map(FieldError::from).collect() };
    let references = jobs::references(&params).map_err(|faults| ToolError::invalid(of_fault(faults)))?;
    if references.is_empty() {
        let params = tool.understood(params)?;
        (as_step.submission)(&tool.input_schema, engine, params.clone())?;
        return Ok(params);
    }
    let mut faults = unknown(tool, &references);
    if let Value::Object(fields) = &params {
        let rest = Value::Object(jobs::without_references(fields));
        let found = understood(&tool.input_schema, tool.aliases, rest).err().map(|error| error.fields);
        faults.extend(found.into_iter().flatten().filter(|field| !is_of_reference(tool, &references, &field.pointer)));
    }
    if faults.is_empty() { Ok(params) } else { Err(ToolError::invalid(faults)) }
}

/// The name of the parameter that a reference is, or is part of.
fn parameter<'a>(tool: &Tool, reference: &'a ResultReference) -> &'a str {
    let name = reference.at.split('/').nth(1).unwrap_or_default();
    tool.aliases.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| own)
}

/// Faults of references at unknown parameters.
fn unknown(tool: &Tool, references: &[ResultReference]) -> Vec<FieldError> {
    let is_unknown =
        |reference: &&ResultReference| tool.input_schema["properties"].get(parameter(tool, reference)).is_none();
    let fault = |reference: &ResultReference| FieldError {
        pointer: reference.at.clone(),
        reason: "is not a parameter".to_owned(),
    };
    references.iter().filter(is_unknown).map(fault).collect()
}

/// Whether a fault is only that a reference has no value yet: at its position, or at a value that contains it.
fn is_of_reference(tool: &Tool, references: &[ResultReference], pointer: &str) -> bool {
    references.iter().any(|reference| {
        let below = reference.at.splitn(3, '/').nth(2).map_or_else(String::new, |rest| format!("/{rest}"));
        let at = format!("/{}{below}", parameter(tool, reference));
        at == pointer || at.starts_with(&format!("{pointer}/"))
    })
}

/// The steps of chains of this deployment's tools.
pub struct ToolSteps {
    /// Limits on submissions.
    pub limits: Limits,
}

#[async_trait]
impl Steps for ToolSteps {
    async fn submission(
        &self,
        engine: &Engine,
        tx: &mut PgConnection,
        step: Step,
        principal: &Principal,
    ) -> Result<Submission, StepError> {
        let tool = find(&step.tool);
        let Some((tool, as_step)) = tool.and_then(|tool| tool.as_step.map(|as_step| (tool, as_step))) else {
            // The chain was checked when it was submitted, so another version of this program has the tool.
            return Err(StepError::NotNow(StepRefusal::new(ErrorCode::ToolNotFound, "unknown tool")));
        };
        allow(principal, tool.name, tool.role).map_err(step_error)?;
        let submission = (as_step.submission)(&tool.input_schema, engine, step.params).map_err(step_error)?;
        let submission = Submission { principal: principal.clone(), ..submission };
        (as_step.prepare)(tx, &submission).await.map_err(step_error)?;
        Ok(submission)
    }

    fn limits(&self) -> Limits {
        self.limits
    }
}

/// An unavailable database is not a refusal: the step is tried again.
fn step_error(error: ToolError) -> StepError {
    let ToolError { code, message, fields, .. } = error;
    if matches!(code, ErrorCode::DatabaseError | ErrorCode::DatabaseTimeout) {
        return UnitError::Failed { code, message, retry: true }.into();
    }
    let details = if fields.is_empty() { Value::Null } else { json!(fields) };
    StepRefusal { code, message, details }.into()
}
