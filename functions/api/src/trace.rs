//! Middleware of every request: trace id, log line, error body, and panics as responses.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use shared::core::{ErrorCode, trace};
use shared::observability;
use tracing::Instrument;

use crate::error::{ApiError, status_of};

/// Trace id of a request: 32 hex digits.
#[derive(Clone, Debug)]
pub struct TraceId(pub String);

/// The middleware.
pub async fn around(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let trace_id = given(request.headers()).unwrap_or_else(trace::new_id);
    request.extensions_mut().insert(TraceId(trace_id.clone()));
    // The declared route: the path itself may contain anything.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span =
        tracing::info_span!("request", trace_id, method = %request.method(), route, principal = tracing::field::Empty);
    observability::continue_trace(&span, &trace_id);
    let responding = trace::within(trace_id.clone(), next.run(request));
    let responded = AssertUnwindSafe(responding).catch_unwind().instrument(span.clone()).await;
    let mut response = responded.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("a request panicked"));
        ApiError::new(ErrorCode::Internal, "internal error: see the log for this trace_id").into_response()
    });
    if let Some(failure) = response.extensions_mut().remove::<ApiError>().or_else(|| unnamed(&response)) {
        response = with_body(failure, response.headers(), &trace_id);
    }
    if let Ok(value) = HeaderValue::from_str(&trace_id) {
        response.headers_mut().insert("x-trace-id", value);
    }
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), latency_ms, "responded"));
    response
}

/// An error response of the router itself, which is not JSON.
fn unnamed(response: &Response) -> Option<ApiError> {
    if response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == "application/json") {
        return None;
    }
    let status = response.status();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let message = "method not allowed: see the Allow header";
        return Some(ApiError::new(ErrorCode::MethodNotAllowed, message));
    }
    (status == StatusCode::BAD_REQUEST).then(|| ApiError::new(ErrorCode::ValidationError, "the URL is not valid"))
}

fn given(headers: &HeaderMap) -> Option<String> {
    trace::parse(headers.get("traceparent")?.to_str().ok()?)
}

fn with_body(failure: ApiError, said: &HeaderMap, trace_id: &str) -> Response {
    let retry_after = failure.error.retry_after;
    let code = failure.error.code;
    let mut response = (status_of(code), Json(failure.body(trace_id.to_owned()))).into_response();
    for name in [header::ALLOW, header::WWW_AUTHENTICATE] {
        if let Some(value) = said.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    if code == ErrorCode::Unauthenticated {
        response.headers_mut().entry(header::WWW_AUTHENTICATE).or_insert(HeaderValue::from_static("Bearer"));
    }
    if let Some(pause) = retry_after {
        // Whole seconds, rounded up.
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
    }
    response
}
