//! Back-pressure: beyond so many requests in flight the next is refused before anything is touched.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use shared::config::{AuthSetting, HttpSettings};
use shared::core::{Caller, ErrorCode, Principal, Role};

use crate::Api;
use crate::auth::UNAUTHENTICATED_PATHS;
use crate::error::ApiError;
use crate::permits::{NoPermit, Permit, Permits};
use crate::query::QueryParams;
use crate::{body, server};

/// When the client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Requests in flight.
#[derive(Debug)]
pub struct RequestLimits {
    all: Permits,
    /// A request that waits for a job or for events holds nothing but memory, so it counts apart.
    waiting: Permits,
    /// What an MCP client asked for goes on when it hangs up, so it counts until it has ended.
    mcp: Permits,
    tools: BTreeMap<String, Permits>,
}

impl RequestLimits {
    /// As configured.
    pub fn new(settings: &HttpSettings) -> Self {
        let of = |limit: usize| Permits::new(limit, settings.auth != AuthSetting::None);
        Self {
            all: of(settings.max_concurrency),
            waiting: of(settings.max_concurrency),
            mcp: of(settings.max_concurrency),
            tools: settings.fast_limits.iter().map(|(tool, limit)| (tool.clone(), of(*limit))).collect(),
        }
    }

    /// A permit for a request of MCP that does some work.
    pub fn mcp(&self, principal: &Principal) -> Result<Permit, ApiError> {
        self.mcp.acquire(principal).map_err(|why| too_many("requests", why))
    }

    /// A permit for a call of a fast tool.
    pub fn tool(&self, tool: &str, principal: &Principal) -> Result<Option<Permit>, ApiError> {
        let Some(limit) = self.tools.get(tool) else { return Ok(None) };
        let refused = |why| too_many(&format!("calls of {tool}"), why).of_tool(tool);
        limit.acquire(principal).map(Some).map_err(refused)
    }
}

/// The error for one request too many of these.
fn too_many(what: &str, why: NoPermit) -> ApiError {
    match why {
        NoPermit::Full => full(&format!("too many {what} are in flight")),
        NoPermit::Share => full(&format!("too many {what} of this principal are in flight")),
    }
}

/// The error for one request too many.
pub fn full(message: &str) -> ApiError {
    ApiError::new(ErrorCode::RateLimitExceeded, format!("{message}: try again")).retry_after(RETRY_AFTER)
}

/// Lets a request through, or responds with 429. Health routes are always served. A permit is taken for a request that
/// is complete: a client that sends its body slowly takes no permit meanwhile.
pub async fn admit(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    if UNAUTHENTICATED_PATHS.contains(&request.uri().path()) {
        server::is_complete(&request);
        return Ok(next.run(request).await);
    }
    let request = body::arrived(request).await?;
    server::is_complete(&request);
    let limit = if waits(&request) { &api.limits.waiting } else { &api.limits.all };
    // What needs no credentials was served above.
    let caller = request.extensions().get::<Caller>();
    let principal = caller.map_or_else(|| Principal::local(Role::Read), |caller| caller.principal.clone());
    let _permit = limit.acquire(&principal).map_err(|why| too_many("requests", why))?;
    Ok(next.run(request).await)
}

/// Whether the request waits for a job or for events.
fn waits(request: &Request) -> bool {
    let path = request.uri().path();
    let may_wait = path == "/v1/events" || path.strip_prefix("/v1/jobs/").is_some_and(|id| !id.contains('/'));
    may_wait && request.method() == Method::GET && QueryParams::read(request.uri().query()).text("wait").is_some()
}
