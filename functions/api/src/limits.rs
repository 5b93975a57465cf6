//! Back-pressure: beyond so many requests in flight the next is refused before anything is touched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use shared::words::ErrorCode;
use shared::words::config::HttpSettings;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Api;
use crate::auth::OPEN;
use crate::error::Failure;
use crate::query::Query;
use crate::{body, server};

/// When to come again.
const PAUSE: Duration = Duration::from_secs(1);

/// Requests in flight.
#[derive(Debug)]
pub struct Limits {
    all: Arc<Semaphore>,
    /// Who waits for a job holds nothing but memory, so it counts apart.
    waiting: Arc<Semaphore>,
    /// What an MCP client asked for goes on when it hangs up, so it counts until it has ended.
    mcp: Arc<Semaphore>,
    tools: BTreeMap<String, Arc<Semaphore>>,
}

/// A place among the requests in flight; given back when it is dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Limits {
    /// As configured.
    pub fn new(settings: &HttpSettings) -> Self {
        let of = |limit: usize| Arc::new(Semaphore::new(limit));
        Self {
            all: of(settings.max_concurrency),
            waiting: of(settings.max_concurrency),
            mcp: of(settings.max_concurrency),
            tools: settings.fast_limits.iter().map(|(tool, limit)| (tool.clone(), of(*limit))).collect(),
        }
    }

    /// A place for a request of MCP that does some work.
    pub fn mcp(&self) -> Result<Place, Failure> {
        take(&self.mcp).ok_or_else(|| full("too many requests are in flight"))
    }

    /// A place for a call of a fast tool.
    pub fn tool(&self, tool: &str) -> Result<Option<Place>, Failure> {
        let Some(limit) = self.tools.get(tool) else { return Ok(None) };
        take(limit).map(Some).ok_or_else(|| full(&format!("too many calls of {tool} are in flight")).of_tool(tool))
    }
}

fn take(limit: &Arc<Semaphore>) -> Option<Place> {
    limit.clone().try_acquire_owned().ok().map(Place)
}

/// The answer to one too many.
pub fn full(message: &str) -> Failure {
    Failure::new(ErrorCode::RateLimitExceeded, format!("{message}: try again")).retry_after(PAUSE)
}

/// Lets a request through, or answers 429. How the process is can always be asked. A place is taken for a request that is
/// complete: a client that sends its body slowly takes no permit meanwhile.
pub async fn admit(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Failure> {
    if OPEN.contains(&request.uri().path()) {
        server::is_complete(&request);
        return Ok(next.run(request).await);
    }
    let request = body::arrived(request).await?;
    server::is_complete(&request);
    let limit = if waits(&request) { &api.limits.waiting } else { &api.limits.all };
    let _place = take(limit).ok_or_else(|| full("too many requests are in flight"))?;
    Ok(next.run(request).await)
}

/// Whether it waits for a job.
fn waits(request: &Request) -> bool {
    let is_job = request.uri().path().strip_prefix("/v1/jobs/").is_some_and(|id| !id.contains('/'));
    is_job && request.method() == Method::GET && Query::read(request.uri().query()).text("wait").is_some()
}
