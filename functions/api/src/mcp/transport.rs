//! Connects HTTP to a [`ServerHandler`], without sessions.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use rmcp::ServerHandler;
use rmcp::transport::StreamableHttpServerConfig;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;

use super::message::{self, INVALID_PARAMS, Refused};
use crate::body;

/// The Accept value that the library requires, though it only ever sends the first of the two.
const ACCEPTED: &str = "application/json, text/event-stream";

/// The route `/mcp`: JSON responses, no sessions, both eras. `Host` and `Origin` are checked as for every route.
pub fn http<S, H>(handler: H) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    H: ServerHandler + Clone + 'static,
{
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(body::MAX_BODY_BYTES)
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let service =
        StreamableHttpService::new(move || Ok(handler.clone()), Arc::new(NeverSessionManager::default()), config);
    // Several clients append a slash to the configured address.
    Router::new().route_service("/mcp", service.clone()).route_service("/mcp/", service).layer(from_fn(speak_json_rpc))
}

/// Refuses invalid JSON-RPC messages with JSON-RPC errors, and converts the library's plain-text errors to them.
async fn speak_json_rpc(request: Request, next: Next) -> Result<Response, crate::error::ApiError> {
    if request.method() != Method::POST {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    if !accepts_json(&parts.headers) {
        let refused = Refused::invalid("the Accept header must allow application/json");
        return Ok(refusal(StatusCode::NOT_ACCEPTABLE, &refused));
    }
    parts.headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPTED));
    let bytes = body::read(&parts.headers, body).await?;
    let read = message::read(&bytes).and_then(|message| match message.get("method") {
        None => Err(Refused::invalid("a request or notification must have a method")),
        Some(_) => Ok(()),
    });
    if let Err(refused) = read {
        // An error of a method has HTTP status 200, like every other refusal by the method itself.
        let is_of_method = refused.code == INVALID_PARAMS && !refused.in_metadata;
        return Ok(refusal(if is_of_method { StatusCode::OK } else { StatusCode::BAD_REQUEST }, &refused));
    }
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    let status = response.status();
    let is_plain = response.headers().get(header::CONTENT_TYPE).is_none();
    if !(status.is_client_error() || status.is_server_error()) || !is_plain {
        return Ok(response);
    }
    let text = to_bytes(response.into_body(), body::MAX_BODY_BYTES).await.unwrap_or_default();
    let status = if status == StatusCode::UNSUPPORTED_MEDIA_TYPE { StatusCode::BAD_REQUEST } else { status };
    // The text of an internal error is only logged.
    let text = if status.is_server_error() {
        tracing::error!(error = %String::from_utf8_lossy(&text), "the MCP transport failed");
        "internal error: see the log for this trace_id".into()
    } else {
        String::from_utf8_lossy(&text)
    };
    Ok(refusal(status, &Refused::invalid(text)))
}

/// Whether a client accepts JSON: by its type or a wildcard, or because it sends no Accept header.
fn accepts_json(headers: &HeaderMap) -> bool {
    let mut said = headers.get_all(header::ACCEPT).iter().peekable();
    let takes = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let is_refused = weight.is_some_and(|weight| weight.trim_matches(['0', '.']).is_empty());
        ["application/json", "application/*", "*/*"].contains(&media.as_str()) && !is_refused
    };
    said.peek().is_none() || said.filter_map(|one| one.to_str().ok()).any(|one| one.split(',').any(takes))
}

fn refusal(status: StatusCode, refused: &Refused) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], refused.response().to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_accepted_where_the_client_takes_it() {
        let accepts = |values: &[&'static str]| {
            let values = values.iter().map(|value| (header::ACCEPT, HeaderValue::from_static(value)));
            accepts_json(&values.collect())
        };
        for fine in [
            &[][..],
            &["application/json"],
            &["text/event-stream, Application/JSON"],
            &["text/event-stream", "application/json;q=0.5"],
            &["*/*"],
            &["application/*; q=0.1"],
        ] {
            assert!(accepts(fine), "{fine:?}");
        }
        for bad in
            [&["text/event-stream"][..], &["text/html"], &["application/json;q=0"], &[""], &["application/jsonl"]]
        {
            assert!(!accepts(bad), "{bad:?}");
        }
    }
}
