//! The change feed.

use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use shared::projections::changes::{FeedFilter, known_query};
use shared::tools::{DEFAULT_EVENTS, EventPage, KINDS, MAX_EVENTS, ToolError, events, kinds};

use crate::Api;
use crate::error::ApiError;
use crate::fleet::Wait;
use crate::query::QueryParams;

/// Maximum time that a client may wait in one request, in seconds.
const MAX_WAIT_SECS: u64 = 25;

/// `GET /v1/events`: changes after a number of the event log, in order; with `wait`, as soon as there are any.
pub async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Json<EventPage>, ApiError> {
    let mut query = QueryParams::read(query.as_deref());
    let after: i64 = query.number("after", 0, 0, i64::MAX);
    let reason = format!("must be a list of kinds, separated by commas: {}", KINDS.join(", "));
    let kinds = query.parsed("kinds", &reason, kinds).unwrap_or_default();
    let query_key = query.text("query_key");
    let wait = Duration::from_secs(query.number("wait", 0, 0, MAX_WAIT_SECS)).min(api.max_wait);
    let limit: i64 = query.number("limit", DEFAULT_EVENTS, 1, MAX_EVENTS);
    query.end()?;
    let db = &api.toolbox.engine.db;
    if let Some(key) = &query_key
        && !known_query(db, key).await?
    {
        return Err(ToolError::invalid_field("query_key", "unknown query key").into());
    }
    let filter = FeedFilter { kinds, query_key };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = events(db, &api.events, &filter, after, limit, Duration::ZERO).await?;
    if wait.is_zero() || !page.events.is_empty() {
        return Ok(Json(page));
    }
    let Wait::Allowed(slot) = Box::pin(api.fleet.acquire_wait()).await else { return Ok(Json(page)) };
    let waited = events(db, &api.events, &filter, page.next_seq, limit, wait).await;
    Box::pin(api.fleet.release(slot)).await;
    Ok(Json(waited?))
}
