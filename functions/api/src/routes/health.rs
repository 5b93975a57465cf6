//! Whether the process lives, and whether it can serve.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use shared::words::metrics;

use crate::Api;

/// `GET /healthz`, `/livez`
pub async fn alive() -> Json<Value> {
    Json(json!({ "status": "healthy" }))
}

/// `GET /readyz`; without credentials, the status alone.
pub async fn ready(State(api): State<Api>, headers: HeaderMap) -> Response {
    let readiness = api.readiness.get(&api.toolbox).await;
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = match api.auth.principal(&headers).await {
        Some(_) => json!(readiness),
        None => json!({ "status": readiness.status }),
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// `GET /metrics`
pub async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::prometheus())
}
