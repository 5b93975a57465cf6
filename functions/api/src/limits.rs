//! Back-pressure: requests beyond the limit are refused before any work is done.

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

/// `Retry-After` of a refused request.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Permits for concurrent requests.
#[derive(Debug)]
pub struct RequestLimits {
    all: Permits,
    /// A request that waits for a job or for events uses only memory, so it is counted separately.
    waiting: Permits,
    /// Work for an MCP client continues after the client disconnects, so it is counted until it ends.
    mcp: Permits,
    tools: BTreeMap<String, Permits>,
}

impl RequestLimits {
    pub fn new(settings: &HttpSettings) -> Self {
        let of = |limit: usize| Permits::new(limit, settings.auth != AuthSetting::None);
        Self {
            all: of(settings.max_concurrency),
            waiting: of(settings.max_concurrency),
            mcp: of(settings.max_concurrency),
            tools: settings.fast_limits.iter().map(|(tool, limit)| (tool.clone(), of(*limit))).collect(),
        }
    }

    /// Acquires a permit for a request of MCP that does some work.
    pub fn mcp(&self, principal: &Principal) -> Result<Permit, ApiError> {
        self.mcp.acquire(principal).map_err(|why| too_many("requests", why))
    }

    /// Acquires a permit for a call of a fast tool.
    pub fn tool(&self, tool: &str, principal: &Principal) -> Result<Option<Permit>, ApiError> {
        let Some(limit) = self.tools.get(tool) else { return Ok(None) };
        let refused = |why| too_many(&format!("calls of {tool}"), why).of_tool(tool);
        limit.acquire(principal).map(Some).map_err(refused)
    }
}

/// The error for a request beyond a limit; `what` names what is limited.
fn too_many(what: &str, why: NoPermit) -> ApiError {
    match why {
        NoPermit::Full => full(&format!("too many {what} are in flight")),
        NoPermit::Share => full(&format!("too many {what} of this principal are in flight")),
    }
}

/// The error for a request beyond a limit.
pub fn full(message: &str) -> ApiError {
    ApiError::new(ErrorCode::RateLimitExceeded, format!("{message}: try again")).retry_after(RETRY_AFTER)
}

/// Allows a request, or responds with 429. Health routes are always served. A permit is acquired when the request is
/// complete: a client that sends its body slowly holds none meanwhile.
pub async fn admit(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    if UNAUTHENTICATED_PATHS.contains(&request.uri().path()) {
        server::is_complete(&request);
        return Ok(next.run(request).await);
    }
    let request = body::arrived(request).await?;
    server::is_complete(&request);
    let limit = if waits(&request) { &api.limits.waiting } else { &api.limits.all };
    // Routes without credentials were served above.
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
