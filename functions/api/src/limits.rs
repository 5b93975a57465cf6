//! Back-pressure: beyond so many requests in flight the next is refused before anything is touched.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use shared::words::config::{AuthSetting, HttpSettings};
use shared::words::{Caller, ErrorCode, Principal, Role};

use crate::Api;
use crate::auth::OPEN;
use crate::error::Failure;
use crate::places::{NoPlace, Place, Places};
use crate::query::Query;
use crate::{body, server};

/// When to come again.
const PAUSE: Duration = Duration::from_secs(1);

/// Requests in flight.
#[derive(Debug)]
pub struct Limits {
    all: Places,
    /// A request that waits for a job or for events holds nothing but memory, so it counts apart.
    waiting: Places,
    /// What an MCP client asked for goes on when it hangs up, so it counts until it has ended.
    mcp: Places,
    tools: BTreeMap<String, Places>,
}

impl Limits {
    /// As configured.
    pub fn new(settings: &HttpSettings) -> Self {
        let of = |limit: usize| Places::new(limit, settings.auth != AuthSetting::None);
        Self {
            all: of(settings.max_concurrency),
            waiting: of(settings.max_concurrency),
            mcp: of(settings.max_concurrency),
            tools: settings.fast_limits.iter().map(|(tool, limit)| (tool.clone(), of(*limit))).collect(),
        }
    }

    /// A place for a request of MCP that does some work.
    pub fn mcp(&self, principal: &Principal) -> Result<Place, Failure> {
        self.mcp.take(principal).map_err(|why| too_many("requests", why))
    }

    /// A place for a call of a fast tool.
    pub fn tool(&self, tool: &str, principal: &Principal) -> Result<Option<Place>, Failure> {
        let Some(limit) = self.tools.get(tool) else { return Ok(None) };
        let refused = |why| too_many(&format!("calls of {tool}"), why).of_tool(tool);
        limit.take(principal).map(Some).map_err(refused)
    }
}

/// The answer to one too many of these.
fn too_many(what: &str, why: NoPlace) -> Failure {
    match why {
        NoPlace::Full => full(&format!("too many {what} are in flight")),
        NoPlace::Share => full(&format!("too many {what} of this principal are in flight")),
    }
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
    // What needs no credentials was answered above.
    let caller = request.extensions().get::<Caller>();
    let principal = caller.map_or_else(|| Principal::local(Role::Read), |caller| caller.principal.clone());
    let _place = limit.take(&principal).map_err(|why| too_many("requests", why))?;
    Ok(next.run(request).await)
}

/// Whether the request waits for a job or for events.
fn waits(request: &Request) -> bool {
    let path = request.uri().path();
    let may_wait = path == "/v1/events" || path.strip_prefix("/v1/jobs/").is_some_and(|id| !id.contains('/'));
    may_wait && request.method() == Method::GET && Query::read(request.uri().query()).text("wait").is_some()
}
