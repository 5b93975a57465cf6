//! The tools, prompts and resources that the official MCP conformance runner calls, to test the transport that this
//! project uses.

#![expect(deprecated, reason = "the runner asks for what the newest revision left behind")]

mod catalogue;

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ClientCapabilities, CreateTaskResult,
    GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult, InputRequest, InputRequests,
    InputRequiredResult, InputResponses, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    ServerCapabilities, ServerConfig, ServerRequest, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
    Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::model::{RequestStateCodec, ServerNotification};
use rmcp::service::{PeerRequestOptions, RequestContext, SubscriptionContext};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use catalogue::{TOOLS, plain, tool};

/// An image of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// How long a tool waits for a response that cannot reach a server without sessions.
const UNANSWERED: Duration = Duration::from_millis(300);

type Context = RequestContext<RoleServer>;

/// The handler for the conformance runner.
#[derive(Clone)]
pub struct Fixture {
    tasks: Arc<TaskManager>,
    state: Arc<RequestStateCodec>,
    changes: broadcast::Sender<&'static str>,
}

impl Default for Fixture {
    fn default() -> Self {
        Self {
            tasks: Arc::new(TaskManager::new()),
            state: Arc::new(RequestStateCodec::try_new(vec![7; 32]).expect("long enough")),
            changes: broadcast::channel(16).0,
        }
    }
}

fn of<T: DeserializeOwned>(value: impl Borrow<Value>) -> T {
    let value = value.borrow();
    T::deserialize(value).unwrap_or_else(|error| panic!("{error}: {value}"))
}

fn text(text: &str) -> CallToolResponse {
    content(&json!([{ "type": "text", "text": text }]))
}

fn content(content: &Value) -> CallToolResponse {
    of::<CallToolResult>(json!({ "resultType": "complete", "content": content })).into()
}

fn ask(message: &str, name: &str) -> InputRequest {
    let schema = json!({ "type": "object", "properties": { name: { "type": "string" } }, "required": [name] });
    elicit(message, &schema)
}

fn elicit(message: &str, schema: &Value) -> InputRequest {
    of(
        json!({ "method": "elicitation/create", "params": { "mode": "form", "message": message, "requestedSchema": schema } }),
    )
}

fn sample(prompt: &str) -> InputRequest {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    of(json!({ "method": "sampling/createMessage", "params": { "messages": [message], "maxTokens": 100 } }))
}

fn roots() -> InputRequest {
    of(json!({ "method": "roots/list" }))
}

fn needs(requests: Vec<(&str, InputRequest)>, state: Option<String>) -> InputRequiredResult {
    let requests: InputRequests = requests.into_iter().map(|(name, request)| (name.to_owned(), request)).collect();
    InputRequiredResult::new(Some(requests), state)
}

/// The accepted content of a response to an elicitation.
fn accepted<'a>(responses: Option<&'a InputResponses>, name: &str) -> Option<&'a Value> {
    let response = responses?.get(name)?;
    (response["action"] == "accept").then_some(&response["content"])
}

impl Fixture {
    fn sealed(&self, step: &str) -> String {
        self.state.seal_json(&step).expect("seals")
    }

    fn opened(&self, state: Option<&str>) -> Result<String, ErrorData> {
        let state = state.ok_or_else(|| ErrorData::invalid_params("requestState is missing", None))?;
        self.state.open_json(state).map_err(|_| ErrorData::invalid_params("requestState is not one of ours", None))
    }

    fn task<F>(&self, work: impl FnOnce(TaskContext) -> F) -> CallToolResponse
    where
        F: Future<Output = Result<CallToolResult, TaskExit>> + Send + 'static,
    {
        let options = TaskOptions::new().with_poll_interval_ms(100);
        let task = self.tasks.spawn(options, |context| {
            let work = work(context);
            Box::pin(async move { Ok(of(json!(work.await?))) })
        });
        CallToolResponse::Task(CreateTaskResult::new(task))
    }

    /// Tools that request input from the client before they return.
    fn asking(&self, params: &CallToolRequestParams, context: &Context) -> Result<CallToolResponse, ErrorData> {
        let responses = params.input_responses.as_ref();
        let state = params.request_state.as_deref();
        let required = |required: InputRequiredResult| Ok(CallToolResponse::InputRequired(required));
        match params.name.trim_start_matches("test_input_required_result_") {
            "elicitation" => match accepted(responses, "user_name") {
                Some(response) => Ok(text(&format!("Hello, {}!", response["name"].as_str().unwrap_or("?")))),
                None => required(needs(vec![("user_name", ask("What is your name?", "name"))], None)),
            },
            "sampling" => match responses.and_then(|responses| responses.get("capital_question")) {
                Some(response) => Ok(text(response["content"]["text"].as_str().unwrap_or("?"))),
                None => required(needs(vec![("capital_question", sample("What is the capital of France?"))], None)),
            },
            "list_roots" => match responses.and_then(|responses| responses.get("client_roots")) {
                Some(response) => Ok(text(&response["roots"].to_string())),
                None => required(needs(vec![("client_roots", roots())], None)),
            },
            "request_state" | "tampered_state" => match accepted(responses, "confirm") {
                Some(_) => self.opened(state).map(|_| text("state-ok")),
                None => required(needs(vec![("confirm", ask("Is it right?", "ok"))], Some(self.sealed("confirm")))),
            },
            "multiple_inputs" => match responses {
                Some(_) => self.opened(state).map(|_| text("all answered")),
                None => required(needs(
                    vec![
                        ("user_name", ask("What is your name?", "name")),
                        ("greeting", sample("Greet them.")),
                        ("client_roots", roots()),
                    ],
                    Some(self.sealed("all")),
                )),
            },
            "multi_round" => match responses {
                None => required(needs(vec![("step1", ask("What is your name?", "name"))], Some(self.sealed("step1")))),
                Some(_) if self.opened(state)? == "step1" => {
                    required(needs(vec![("step2", ask("Which colour?", "color"))], Some(self.sealed("step2"))))
                }
                Some(_) => Ok(text("both answered")),
            },
            "capabilities" => {
                let client = context.client_capabilities().unwrap_or_default();
                let mut requests = Vec::new();
                if client.elicitation.is_some() {
                    requests.push(("user_name", ask("What is your name?", "name")));
                }
                if client.sampling.is_some() {
                    requests.push(("greeting", sample("Greet them.")));
                }
                required(needs(requests, None))
            }
            _ => Err(ErrorData::invalid_params("unknown tool", None)),
        }
    }

    /// Tools that run as tasks if the client supports them.
    async fn working(&self, params: &CallToolRequestParams, context: &Context) -> Result<CallToolResponse, ErrorData> {
        let knows_tasks = context.client_capabilities().is_some_and(|client| client.supports_tasks());
        let said = |name: &str| params.arguments.as_ref().and_then(|all| all.get(name)).cloned().unwrap_or_default();
        let done = |said: &str| {
            Ok(of::<CallToolResult>(json!({ "resultType": "complete", "content": [{ "type": "text", "text": said }] })))
        };
        match &*params.name {
            "greet" => Ok(text(&format!("Hello, {}!", said("name").as_str().unwrap_or("?")))),
            "slow_compute" => {
                let pause = Duration::from_secs(said("seconds").as_u64().unwrap_or(0));
                if !knows_tasks {
                    tokio::time::sleep(pause).await;
                    return Ok(text("computed"));
                }
                Ok(self.task(|task| async move {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => done("computed"),
                        () = task.cancelled() => Err(TaskExit::Cancelled),
                    }
                }))
            }
            _ if !knows_tasks => Err(ErrorData::missing_required_client_capability(
                ClientCapabilities::builder().enable_tasks().build(),
            )),
            "failing_job" => Ok(self.task(|_| async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok(of(json!({ "resultType": "complete", "isError": true, "content": [{ "type": "text", "text": "it failed" }] })))
            })),
            "protocol_error_job" => Ok(self.task(|_| async move {
                Err(TaskExit::Error(ErrorData::internal_error("it broke", None)))
            })),
            "confirm_delete" => Ok(self.task(|task| async move {
                task.request_input("confirm", ask("Delete it?", "confirm")).await?;
                done("deleted")
            })),
            "multi_input" => Ok(self.task(|task| async move {
                tokio::try_join!(
                    task.request_input("first", ask("The first?", "name")),
                    task.request_input("second", ask("The second?", "name")),
                )?;
                done("both")
            })),
            "test_tool_with_task" => match accepted(params.input_responses.as_ref(), "user_name") {
                None => Ok(CallToolResponse::InputRequired(needs(
                    vec![("user_name", ask("What is your name?", "name"))],
                    Some(self.sealed("task")),
                ))),
                Some(response) => {
                    let name = response["name"].as_str().unwrap_or("?").to_owned();
                    Ok(self.task(|_| async move { done(&format!("Hello, {name}!")) }))
                }
            },
            _ => Err(ErrorData::invalid_params("unknown tool", None)),
        }
    }

    /// Sends a request to a client of the older era during its call. The client's response arrives with another
    /// request, which a server without sessions cannot match to this one.
    async fn ask_now(request: Value, context: &Context) -> CallToolResponse {
        let options = PeerRequestOptions::with_timeout(UNANSWERED);
        let sent = context.peer.send_request_with_option(of::<ServerRequest>(request), options).await;
        let responded = match sent {
            Ok(sent) => sent.await_response().await.is_ok(),
            Err(_) => false,
        };
        text(if responded { "answered" } else { "asked; the answer cannot come back without a session" })
    }

    async fn notify(method: &str, params: Value, context: &Context) {
        let notification = json!({ "method": method, "params": params });
        let _ = context.peer.send_notification(of::<ServerNotification>(notification)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        TOOLS.into_iter().find(|one| *one == name).map(tool)
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: Context) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.into_iter().map(tool).collect()))
    }

    async fn call_tool(&self, params: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        let name = params.name.clone();
        if let Some(response) = plain(&name) {
            return Ok(content(&response));
        }
        match &*name {
            "test_error_handling" => Ok(of::<CallToolResult>(json!({ "resultType": "complete", "isError": true,
                "content": [{ "type": "text", "text": "This tool intentionally returns an error for testing" }] }))
            .into()),
            "test_tool_with_progress" => {
                if let Some(token) = context.meta.get_progress_token() {
                    for progress in [0, 50, 100] {
                        let params = json!({ "progressToken": token, "progress": progress, "total": 100 });
                        Self::notify("notifications/progress", params, &context).await;
                    }
                }
                Ok(text("done"))
            }
            "test_tool_with_logging" | "test_logging_tool" => {
                let is_wanted = context.meta.log_level().is_some() || context.meta.protocol_version().is_none();
                for line in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                    if is_wanted {
                        Self::notify("notifications/message", json!({ "level": "info", "data": line }), &context).await;
                    }
                }
                Ok(text("done"))
            }
            "test_sampling" => {
                let InputRequest::CreateMessage(request) = sample("Test prompt for sampling") else { unreachable!() };
                Ok(Self::ask_now(json!(request), &context).await)
            }
            "test_elicitation" => Ok(Self::ask_now(json!(ask("Who are you?", "username")), &context).await),
            "test_elicitation_sep1034_defaults" => {
                let schema = json!({ "type": "object", "properties": {
                    "name": { "type": "string", "default": "John Doe" },
                    "age": { "type": "integer", "default": 30 },
                    "score": { "type": "number", "default": 95.5 },
                    "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
                    "verified": { "type": "boolean", "default": true },
                } });
                Ok(Self::ask_now(json!(elicit("Check these.", &schema)), &context).await)
            }
            "test_elicitation_sep1330_enums" => {
                let titled = json!([{ "const": "a", "title": "A" }, { "const": "b", "title": "B" }]);
                let schema = json!({ "type": "object", "properties": {
                    "untitledSingle": { "type": "string", "enum": ["a", "b"] },
                    "titledSingle": { "type": "string", "oneOf": titled },
                    "legacyEnum": { "type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"] },
                    "untitledMulti": { "type": "array", "items": { "type": "string", "enum": ["a", "b"] } },
                    "titledMulti": { "type": "array", "items": { "anyOf": titled } },
                } });
                Ok(Self::ask_now(json!(elicit("Choose.", &schema)), &context).await)
            }
            "test_missing_capability" => {
                let needed = ClientCapabilities::builder().enable_sampling().build();
                if context.client_capabilities().is_none_or(|client| client.sampling.is_none()) {
                    return Err(ErrorData::missing_required_client_capability(needed));
                }
                Ok(text("there"))
            }
            "test_streaming_elicitation" => Ok(text("nothing is asked on the stream")),
            "test_trigger_tool_change" | "test_trigger_prompt_change" => {
                let what = if name.contains("tool_change") { "tools" } else { "prompts" };
                let _ = self.changes.send(what);
                Ok(text("told"))
            }
            name if name.starts_with("test_input_required_result_") => self.asking(&params, &context),
            _ => self.working(&params, &context).await,
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let argument = |name: &str| json!({ "name": name, "description": "An argument.", "required": true });
        Ok(of(json!({ "prompts": [
            { "name": "test_simple_prompt", "description": "A simple one." },
            { "name": "test_prompt_with_arguments", "description": "One with arguments.", "arguments": [argument("arg1"), argument("arg2")] },
            { "name": "test_prompt_with_embedded_resource", "description": "One with a resource.", "arguments": [argument("resourceUri")] },
            { "name": "test_prompt_with_image", "description": "One with a picture." },
            { "name": "test_input_required_result_prompt", "description": "One that asks first." },
        ], "resultType": "complete" })))
    }

    async fn get_prompt(&self, params: GetPromptRequestParams, _: Context) -> Result<GetPromptResponse, ErrorData> {
        let said = |name: &str| {
            let value = params.arguments.as_ref().and_then(|all| all.get(name));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let text = |text: &str| json!({ "role": "user", "content": { "type": "text", "text": text } });
        let messages = match &*params.name {
            "test_simple_prompt" => json!([text("This is a simple prompt for testing.")]),
            "test_prompt_with_arguments" => {
                json!([text(&format!("Prompt with arguments: arg1='{}', arg2='{}'", said("arg1"), said("arg2")))])
            }
            "test_prompt_with_embedded_resource" => json!([
                { "role": "user", "content": { "type": "resource", "resource": { "uri": said("resourceUri"),
                  "mimeType": "text/plain", "text": "Embedded resource content for testing." } } },
                text("Please process the embedded resource above."),
            ]),
            "test_prompt_with_image" => json!([
                { "role": "user", "content": { "type": "image", "data": PNG, "mimeType": "image/png" } },
                text("Please analyze the image above."),
            ]),
            "test_input_required_result_prompt" => {
                let Some(response) = accepted(params.input_responses.as_ref(), "user_context") else {
                    let asked = needs(vec![("user_context", ask("In which context?", "context"))], None);
                    return Ok(GetPromptResponse::InputRequired(asked));
                };
                json!([text(response["context"].as_str().unwrap_or("?"))])
            }
            _ => return Err(ErrorData::invalid_params("there is no such prompt", None)),
        };
        Ok(GetPromptResponse::Complete(of(json!({ "messages": messages, "resultType": "complete" }))))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(of(json!({ "resources": [
            { "uri": "test://static-text", "name": "text", "description": "A text.", "mimeType": "text/plain" },
            { "uri": "test://static-binary", "name": "binary", "description": "A picture.", "mimeType": "image/png" },
            { "uri": "test://watched-resource", "name": "watched", "description": "Another text.", "mimeType": "text/plain" },
        ], "resultType": "complete" })))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(of(json!({ "resourceTemplates": [
            { "uriTemplate": "test://template/{id}/data", "name": "template", "mimeType": "application/json" },
        ], "resultType": "complete" })))
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = &params.uri;
        let contents = match uri.as_str() {
            "test://static-text" | "test://watched-resource" => {
                json!({ "uri": uri, "mimeType": "text/plain", "text": "This is the content of the static text resource." })
            }
            "test://static-binary" => json!({ "uri": uri, "mimeType": "image/png", "blob": PNG }),
            other => {
                let id = other.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
                let Some(id) = id else {
                    return Err(ErrorData::resource_not_found("there is none", Some(json!({ "uri": uri }))));
                };
                let text = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") }).to_string();
                json!({ "uri": uri, "mimeType": "application/json", "text": text })
            }
        };
        Ok(of::<ReadResourceResult>(json!({ "contents": [contents], "resultType": "complete" })).into())
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => {
                    // Clients that did not subscribe are not notified.
                    let _ = match change {
                        Ok("tools") => context.sink().notify_tool_list_changed().await,
                        Ok(_) => context.sink().notify_prompt_list_changed().await,
                        Err(_) => return Ok(()),
                    };
                }
            }
        }
    }

    async fn get_task(&self, params: GetTaskParams, _: Context) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&params.task_id)?))
    }

    async fn update_task(&self, params: UpdateTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.update_task(&params.task_id, params.input_responses)
    }

    async fn cancel_task(&self, params: CancelTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&params.task_id)
    }
}
