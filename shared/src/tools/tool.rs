//! The definition of a tool.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use schemars::generate::{Contract, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::PgConnection;

use super::chain::AsStep;
use super::error::ToolError;
use super::listed::{self, ListingFault};
use super::params::{Aliases, parse, read, understood};
use super::readable;
use crate::config::{LimitedUnit, ToolLimit, Toolset};
use crate::core::access::MAX_SUBMIT_PRIORITY;
use crate::core::{Caller, ErrorCode, Principal, Role};
use crate::ingest::Engine;
use crate::jobs::{self, Limits, Step, Submission, SubmitOutcome};
use crate::pubmed::eutils::Client;

/// The dependencies of tools.
#[derive(Clone)]
pub struct Toolbox {
    /// Database, archive, and the pipelines of jobs.
    pub engine: Engine,
    pub client: Client,
    /// Limits on submissions.
    pub limits: Limits,
    /// How long a job's row stays by default, in hours.
    pub ttl_hours: i16,
    /// Whether abstracts are served: their copyright belongs to publishers.
    pub serve_abstracts: bool,
}

/// Time limit of all requests of a fast tool to NCBI, with their attempts: its caller waits, and a supervisor that
/// stops this program gives it ten seconds.
const UPSTREAM_TIME: Duration = Duration::from_secs(8);

/// Maximum number of attempts of a request of a fast tool.
const UPSTREAM_ATTEMPTS: u32 = 4;

/// Whether a tool returns its result directly or becomes a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The tool returns its result directly.
    Fast,
    /// The tool becomes a job.
    Job,
}

/// The behaviour of a tool, as in MCP's annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "these are the four of the protocol")]
pub struct Annotations {
    /// It changes nothing.
    pub read_only: bool,
    /// It may delete something.
    pub destructive: bool,
    /// Repeating a call changes nothing more.
    pub idempotent: bool,
    /// It calls external servers.
    pub open_world: bool,
}

impl Annotations {
    /// A tool that reads from this deployment.
    pub const READS: Self = Self { read_only: true, destructive: false, idempotent: true, open_world: false };
    /// A tool that also reads from NCBI.
    pub const READS_NCBI: Self = Self { open_world: true, ..Self::READS };
    /// A tool that adds records from NCBI to the archive.
    pub const ADDS_FROM_NCBI: Self = Self { read_only: false, ..Self::READS_NCBI };
}

/// Who submits a job, and how.
#[derive(Clone, Debug)]
pub struct SubmitContext {
    /// Identifies the request, so that repeating it does not submit a second job.
    pub idempotency_key: Option<String>,
    pub caller: Caller,
    /// 0 to 10, 10 first.
    pub priority: i16,
    /// How long the row stays after the job has ended, 1 to 168 hours.
    pub ttl_hours: i16,
    /// The steps that follow, as [`super::checked_steps`] returned them.
    pub then: Vec<Step>,
}

impl SubmitContext {
    /// Adds the caller to a submission.
    pub fn of(self, submission: Submission) -> Submission {
        Submission {
            idempotency_key: self.idempotency_key,
            principal: self.caller.principal,
            priority: self.priority,
            ttl_hours: self.ttl_hours,
            trace_id: self.caller.trace_id,
            then: self.then,
            ..submission
        }
    }
}

/// How many calls or jobs of a tool run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The variable that overrides it.
    pub variable: &'static str,
    /// The default: calls of a fast tool in one process, running jobs of a job tool.
    pub default: u16,
}

impl Limit {
    /// The limit of a fast tool, if it has one.
    pub(super) fn fast<T: FastTool>() -> Option<ToolLimit> {
        T::LIMIT.map(|limit| limit.of(T::NAME, LimitedUnit::Calls))
    }

    /// The limit of a job tool, if it has one.
    pub(super) fn job<T: JobTool>() -> Option<ToolLimit> {
        T::LIMIT.map(|limit| limit.of(T::NAME, LimitedUnit::Jobs))
    }

    fn of(self, tool: &'static str, counted: LimitedUnit) -> ToolLimit {
        ToolLimit { tool, counted, variable: self.variable, default: self.default }
    }
}

/// The definition of a tool.
pub trait ToolSpec {
    /// Its dotted name.
    const NAME: &'static str;
    /// Display name.
    const TITLE: &'static str;
    /// What it does, for people and models.
    const DESCRIPTION: &'static str;
    const ANNOTATIONS: Annotations;
    /// The lowest role that may call it.
    const ROLE: Role = if Self::ANNOTATIONS.read_only { Role::Read } else { Role::Submit };
    /// Whether it cannot be used while the database is unavailable.
    const NEEDS_DATABASE: bool = true;
    /// Whether every call sends requests to a server with a rate limit.
    const RATE_LIMITED_UPSTREAM: bool = false;
    /// How much of it runs at the same time; without one, the limit of all requests or all jobs applies.
    const LIMIT: Option<Limit> = None;
    /// Other names of its parameters: the other name, then the parameter's own.
    const ALIASES: Aliases = &[];
    type Params: DeserializeOwned + JsonSchema + Send;
    /// Its result, or the result of its job.
    type Output: JsonSchema;

    /// A result with all its content as Markdown, for clients that show a model only text.
    fn to_markdown(result: &Value) -> String {
        readable::markdown(Self::TITLE, result)
    }
}

/// A tool that returns its result directly.
#[async_trait]
pub trait FastTool: ToolSpec<Output: Serialize> {
    /// Runs it for a caller who has its role.
    async fn run(toolbox: &Toolbox, caller: &Caller, params: Self::Params) -> Result<Self::Output, ToolError>;
}

/// A tool that becomes a job.
#[async_trait]
pub trait JobTool: ToolSpec {
    /// Checks the parameters and fills in defaults; returns the submission without the fields of the request. No I/O.
    fn submission(engine: &Engine, params: Self::Params) -> Result<Submission, ToolError>;

    /// Writes the rows that the job needs in addition to its own, on a connection whose transaction then submits it.
    async fn prepare(_db: &mut PgConnection, _submission: &Submission) -> Result<(), ToolError> {
        Ok(())
    }

    /// Submits the job, with the rows that it needs.
    async fn submit(toolbox: &Toolbox, submission: &Submission) -> Result<SubmitOutcome, ToolError> {
        Ok(jobs::submit(&toolbox.engine.db, submission, toolbox.limits).await?)
    }
}

type Run = Arc<dyn Fn(Toolbox, Caller, Value) -> BoxFuture<'static, Result<Value, ToolError>> + Send + Sync>;
type Submit =
    Arc<dyn Fn(Toolbox, Value, SubmitContext) -> BoxFuture<'static, Result<SubmitOutcome, ToolError>> + Send + Sync>;

/// What calling a tool does.
#[derive(Clone)]
pub enum Action {
    /// Returns the result.
    Run(Run),
    /// Submits a job.
    Submit(Submit),
}

/// A tool.
#[derive(Clone)]
pub struct Tool {
    /// Its dotted name.
    pub name: &'static str,
    /// Display name.
    pub title: &'static str,
    pub description: &'static str,
    pub annotations: Annotations,
    /// The lowest role that may call it; calling it checks that.
    pub role: Role,
    /// Whether it cannot be used while the database is unavailable.
    pub needs_database: bool,
    /// Whether every call sends requests to a server with a rate limit.
    pub rate_limited_upstream: bool,
    /// JSON Schema of its parameters.
    pub input_schema: Value,
    /// The same as MCP lists it: a plain object that every provider of models accepts.
    pub listed_schema: Value,
    /// The group it is listed with.
    pub toolset: Toolset,
    /// JSON Schema of the result, or of the result of the job.
    pub output_schema: Value,
    read: fn(&Value) -> Result<(), ToolError>,
    pub(super) aliases: Aliases,
    /// The tool as a step of a chain, if it is a job tool.
    pub(super) as_step: Option<AsStep>,
    /// A result as Markdown; of a job tool, the result of its job.
    pub to_markdown: fn(&Value) -> String,
    /// What calling it does; it also checks the parameters.
    pub action: Action,
}

impl Tool {
    pub(super) fn fast<T: FastTool>() -> Self {
        let schema = Arc::new(input_schema::<T::Params>());
        let own = Arc::clone(&schema);
        let run = move |toolbox: Toolbox, caller: Caller, params: Value| -> BoxFuture<'static, _> {
            let schema = Arc::clone(&schema);
            Box::pin(async move {
                allow(&caller.principal, T::NAME, T::ROLE)?;
                let client = toolbox.client.within(UPSTREAM_TIME, UPSTREAM_ATTEMPTS);
                let toolbox = Toolbox { client, ..toolbox };
                let output = T::run(&toolbox, &caller, read(&schema, T::ALIASES, params)?).await?;
                serde_json::to_value(output).map_err(|error| {
                    tracing::error!(tool = T::NAME, %error, "a result is not JSON");
                    ToolError::new(ErrorCode::Internal, "the result cannot be written as JSON")
                })
            })
        };
        Self::new::<T>(&own, Action::Run(Arc::new(run)))
    }

    pub(super) fn job<T: JobTool + 'static>() -> Self {
        let schema = Arc::new(input_schema::<T::Params>());
        let own = Arc::clone(&schema);
        let submit = move |toolbox: Toolbox, params: Value, context: SubmitContext| -> BoxFuture<'static, _> {
            let schema = Arc::clone(&schema);
            Box::pin(async move {
                allow(&context.caller.principal, T::NAME, T::ROLE)?;
                allow_priority(&context)?;
                let params = read(&schema, T::ALIASES, params)?;
                let caller = context.caller.clone();
                let submission = context.of(T::submission(&toolbox.engine, params)?);
                let submitted = T::submit(&toolbox, &submission).await?;
                if let SubmitOutcome::Created(details) = &submitted {
                    caller.audit("job.submit", &format!("{} {}", T::NAME, details.job.id));
                    toolbox.engine.wake_after_commit().await;
                }
                Ok(submitted)
            })
        };
        Self { as_step: Some(AsStep::of::<T>()), ..Self::new::<T>(&own, Action::Submit(Arc::new(submit))) }
    }

    /// A definition that MCP clients could not pass to their model panics here, and so in the first test.
    fn new<T: ToolSpec>(input_schema: &Value, action: Action) -> Self {
        let (listed_schema, toolset) =
            listed::<T>(input_schema).unwrap_or_else(|fault| panic!("the tool {} cannot be listed: {fault}", T::NAME));
        Self {
            name: T::NAME,
            title: T::TITLE,
            description: T::DESCRIPTION,
            annotations: T::ANNOTATIONS,
            role: T::ROLE,
            needs_database: T::NEEDS_DATABASE,
            rate_limited_upstream: T::RATE_LIMITED_UPSTREAM,
            input_schema: input_schema.clone(),
            listed_schema,
            toolset,
            output_schema: output_schema::<T::Output>(),
            read: |params| parse::<T::Params>(params).map(drop),
            aliases: T::ALIASES,
            as_step: None,
            to_markdown: T::to_markdown,
            action,
        }
    }

    /// Whether it returns its result directly or becomes a job.
    pub fn kind(&self) -> Kind {
        match self.action {
            Action::Run(_) => Kind::Fast,
            Action::Submit(_) => Kind::Job,
        }
    }

    /// Parameters as this tool interprets them, before it is called; nothing that depends on state is checked.
    pub fn understood(&self, params: Value) -> Result<Value, ToolError> {
        let params = understood(&self.input_schema, self.aliases, params)?;
        (self.read)(&params).map(|()| params)
    }

    /// Its name with `_` for `.`: several MCP clients refuse dots.
    pub fn flat_name(&self) -> String {
        flat(self.name)
    }
}

/// Refuses a principal whose role is too low.
pub fn allow(principal: &Principal, tool: &str, role: Role) -> Result<(), ToolError> {
    if principal.role >= role {
        return Ok(());
    }
    let message = format!("{tool} needs the role {role}; the token of this request has the role {}", principal.role);
    Err(ToolError::new(ErrorCode::Forbidden, message))
}

/// High priorities are reserved for operators.
fn allow_priority(context: &SubmitContext) -> Result<(), ToolError> {
    if context.priority <= MAX_SUBMIT_PRIORITY || context.caller.principal.role >= Role::Admin {
        return Ok(());
    }
    let message = format!("priority: above {MAX_SUBMIT_PRIORITY} it needs the role {}", Role::Admin);
    Err(ToolError::new(ErrorCode::Forbidden, message))
}

fn flat(name: &str) -> String {
    name.replace('.', "_")
}

/// How MCP lists a tool: its input schema and its group.
fn listed<T: ToolSpec>(input_schema: &Value) -> Result<(Value, Toolset), ListingFault> {
    listed::check_name(&flat(T::NAME))?;
    listed::check_description("description", T::DESCRIPTION)?;
    let no_group = || ListingFault { at: T::NAME.to_owned(), reason: "is in no group: see Toolset".to_owned() };
    Ok((listed::input_schema(input_schema)?, Toolset::of_tool(T::NAME).ok_or_else(no_group)?))
}

/// The schema of what is taken in.
fn input_schema<T: JsonSchema>() -> Value {
    schema::<T>(Contract::Deserialize)
}

/// The schema of a result.
pub fn output_schema<T: JsonSchema>() -> Value {
    schema::<T>(Contract::Serialize)
}

/// A schema that refers to nothing outside of itself.
fn schema<T: JsonSchema>(contract: Contract) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.contract = contract;
    });
    let settings = settings.with_transform(RecursiveTransform(without_rust_formats));
    SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value()
}

/// Removes formats that only Rust knows, about which validators warn; the bounds state the same.
fn without_rust_formats(schema: &mut Schema) {
    if schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        schema.remove("format");
    }
}
