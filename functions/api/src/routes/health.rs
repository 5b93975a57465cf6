//! Health: whether the process is alive, and whether it can serve.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use shared::gauges::gauges;
use shared::observability;

use crate::Api;

/// `GET /healthz`, `/livez`
pub async fn alive() -> Json<Value> {
    Json(json!({ "status": "healthy" }))
}

/// `GET /readyz`; without credentials, only the status.
pub async fn ready(State(api): State<Api>, headers: HeaderMap) -> Response {
    let readiness = api.readiness.get(&api).await;
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = match api.auth.principal(&headers).await {
        Ok(_) => json!(readiness),
        Err(_) => json!({ "status": readiness.status }),
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// `GET /metrics`: counters of this process and current activity; only the counters while the database is unavailable.
/// Those of a function are in CloudWatch.
pub async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let is_open = |pause: Option<Duration>| if pause.is_some() { 1.0 } else { 0.0 };
    let of = |key: &'static str, value: &str| vec![(key, value.to_owned())];
    let mut gauges_now = vec![
        ("breaker_open", of("dependency", "database"), is_open(api.database.closed_for())),
        ("breaker_open", of("dependency", "ncbi"), is_open(api.toolbox.client.breaker().open_for(Instant::now()))),
    ];
    if api.database.check().await.is_ok()
        && let Ok(seen) = gauges(&api.toolbox.engine.db).await
    {
        gauges_now.extend(seen);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], observability::prometheus(&gauges_now))
}
