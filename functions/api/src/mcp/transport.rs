//! From bytes to [`ServerHandler`] and back: HTTP without sessions, and stdio.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use rmcp::transport::StreamableHttpServerConfig;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::{ServerHandler, ServiceExt};
use serde_json::{Value, json};

use crate::body;

/// JSON-RPC's codes of what is wrong before any method is looked at.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;

/// The route `/mcp`: JSON answers, no sessions, both eras. `Host` and `Origin` are checked for every route alike.
pub fn http<S, H>(handler: H) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    H: ServerHandler + Clone + 'static,
{
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(body::MAX_BYTES)
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let service =
        StreamableHttpService::new(move || Ok(handler.clone()), Arc::new(NeverSessionManager::default()), config);
    Router::new().route_service("/mcp", service).layer(from_fn(speak_json_rpc))
}

/// Answers on standard input and output until the input ends.
pub async fn stdio(handler: impl ServerHandler) -> std::io::Result<()> {
    let running = handler.serve(rmcp::transport::stdio_pipes()).await;
    let running = running.map_err(|error| std::io::Error::other(error.to_string()))?;
    running.waiting().await.map_err(std::io::Error::other)?;
    Ok(())
}

/// What is no JSON-RPC message is refused as JSON-RPC says, and a refusal in plain text is put into its words.
async fn speak_json_rpc(request: Request, next: Next) -> Result<Response, crate::error::Failure> {
    if request.method() != axum::http::Method::POST {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body).await?;
    let message: Value = match serde_json::from_slice(&bytes) {
        Ok(message) => message,
        Err(error) => {
            let place = format!("not valid JSON at line {}, column {}", error.line(), error.column());
            return Ok(refusal(StatusCode::BAD_REQUEST, PARSE_ERROR, &place));
        }
    };
    let fault = match &message {
        Value::Array(_) => Some("one message at a time: batches are not spoken"),
        Value::Object(message) if message.get("jsonrpc").is_none_or(|version| version != "2.0") => {
            Some("jsonrpc must be \"2.0\"")
        }
        Value::Object(message) if !message.contains_key("method") => Some("a request or a notification has a method"),
        Value::Object(_) => None,
        _ => Some("a message is a JSON object"),
    };
    if let Some(fault) = fault {
        return Ok(refusal(StatusCode::BAD_REQUEST, INVALID_REQUEST, fault));
    }
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    let status = response.status();
    let is_plain = response.headers().get(header::CONTENT_TYPE).is_none();
    if !(status.is_client_error() || status.is_server_error()) || !is_plain {
        return Ok(response);
    }
    let text = to_bytes(response.into_body(), body::MAX_BYTES).await.unwrap_or_default();
    let status = if status == StatusCode::UNSUPPORTED_MEDIA_TYPE { StatusCode::BAD_REQUEST } else { status };
    // An internal error's text is for the log.
    let text = if status.is_server_error() {
        tracing::error!(error = %String::from_utf8_lossy(&text), "the transport of MCP failed");
        "something went wrong in this program; its log has the trace_id".into()
    } else {
        String::from_utf8_lossy(&text)
    };
    Ok(refusal(status, INVALID_REQUEST, &text))
}

fn refusal(status: StatusCode, code: i32, message: &str) -> Response {
    let body = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": message } });
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
