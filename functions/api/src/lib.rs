//! All tools and jobs over HTTP and MCP.
//!
//! Layers of a request: `cors` (what a browser shows to a known page) → [`trace`] (trace id, error body, panics) →
//! `host_policy` (own names in `Host`, known pages in `Origin`) → [`auth`] → [`limits`] → a route, which decodes, calls
//! a tool or a function of `shared`, and encodes. The router runs in `bio-mcp serve` and `up`, and does not depend on
//! where it runs.

pub mod auth;
mod body;
mod call;
mod connections;
mod cors;
pub mod cursor;
mod database;
mod error;
mod fleet;
mod host_policy;
pub mod limits;
mod listener;
pub mod mcp;
mod oidc;
pub mod openapi;
mod permits;
mod query;
mod readiness;
mod resource;
mod routes;
mod server;
mod stalling;
mod tokens;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use shared::config::{AuthSetting, HttpSettings};
use shared::core::Role;
use shared::db::{Announcements, StickyConnections};
use shared::deployment::{Deployment, StartError};
use shared::jobs::Changes;
use shared::projections;
use shared::tools::{Tool, Toolbox, catalogue};

pub use auth::Auth;
pub use error::{ApiError, ErrorBody, status_of};
pub use listener::Listener;
pub use server::SourceAddress;

/// Maximum time that a request waits for a job.
const MAX_WAIT: Duration = Duration::from_secs(25);

/// The same in Lambda, where an instance serves only this request meanwhile and the wait is billed.
const MAX_WAIT_IN_LAMBDA: Duration = Duration::from_secs(2);

/// State of the routes.
#[derive(Clone)]
pub struct Api {
    toolbox: Toolbox,
    tools: Arc<[Tool]>,
    /// The tools in the form of MCP's `tools/list`.
    listed: Arc<[rmcp::model::Tool]>,
    host_policy: Arc<host_policy::HostPolicy>,
    auth: Arc<Auth>,
    limits: Arc<limits::RequestLimits>,
    database: Arc<database::DatabaseGuard>,
    changes: Changes,
    events: Announcements,
    sticky: Arc<StickyConnections>,
    readiness: Arc<readiness::Cached>,
    fleet: fleet::FleetLimits,
    max_wait: Duration,
    public_url: Option<Arc<str>>,
}

impl Api {
    /// Interfaces to a toolbox.
    pub fn new(toolbox: Toolbox, settings: &HttpSettings) -> Self {
        let tools = catalogue();
        Self {
            listed: mcp::listing(&tools, &settings.toolsets).into(),
            database: Arc::new(database::DatabaseGuard::new(toolbox.engine.db.clone())),
            changes: Changes::new(toolbox.engine.db.clone()),
            events: Announcements::new(toolbox.engine.db.clone(), projections::CHANNEL),
            sticky: Arc::new(StickyConnections::new(toolbox.engine.db.clone())),
            tools: tools.into(),
            host_policy: Arc::new(host_policy::HostPolicy::new(settings)),
            auth: Arc::new(Auth::new(settings)),
            limits: Arc::new(limits::RequestLimits::new(settings)),
            readiness: Arc::default(),
            fleet: fleet::FleetLimits::default(),
            max_wait: settings.max_wait.unwrap_or(MAX_WAIT),
            public_url: settings.public_url.as_deref().map(Arc::from),
            toolbox,
        }
    }

    /// Interfaces in Lambda: they connect to the database lazily, receive no notifications while the function is
    /// frozen, and share limits with the whole fleet.
    pub fn for_lambda(deployment: &Deployment) -> Result<Self, StartError> {
        let settings = &deployment.config.http;
        if settings.auth == AuthSetting::None && !settings.allow_anonymous {
            return Err(StartError::Anonymous);
        }
        Ok(Self {
            database: Arc::new(database::DatabaseGuard::for_lambda(deployment.access.clone())),
            changes: Changes::polling(deployment.engine.db.clone()),
            events: Announcements::polling(deployment.engine.db.clone(), projections::CHANNEL),
            fleet: fleet::FleetLimits::new(deployment.limits.slots(), settings),
            max_wait: settings.max_wait.unwrap_or(MAX_WAIT_IN_LAMBDA),
            ..Self::new(deployment.toolbox(), settings)
        })
    }

    /// The tools that MCP lists for a role.
    fn listed(&self, role: Role) -> Vec<rmcp::model::Tool> {
        let may_call = |name: &str| self.tool(name).is_some_and(|tool| tool.role <= role);
        self.listed.iter().filter(|listed| may_call(&listed.name)).cloned().collect()
    }

    fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name || tool.flat_name() == name)
    }
}

/// All routes; `/mcp` is served by this handler: [`mcp::McpServer`], except in tests.
pub fn router(api: Api, mcp: impl rmcp::ServerHandler + Clone + 'static) -> Router {
    Router::new()
        .merge(rows(&api))
        .route("/healthz", get(routes::health::alive))
        .route("/livez", get(routes::health::alive))
        .route("/readyz", get(routes::health::ready))
        .route("/metrics", get(routes::health::metrics))
        .route("/openapi.json", get(routes::about::openapi))
        .route("/llms.txt", get(routes::about::llms))
        .route(resource::PATHS[0], get(resource::metadata))
        .route(resource::PATHS[1], get(resource::metadata))
        .route("/v1/mcp/tools", get(routes::tools::list))
        .route("/v1/mcp/invoke", post(routes::tools::invoke))
        .route("/v1/pubmed/{pmid}", get(routes::pubmed::get))
        .merge(mcp::transport::http(mcp))
        .fallback(routes::nothing)
        .layer(from_fn(query::refuse_unknown))
        .layer(from_fn_with_state(api.clone(), limits::admit))
        .layer(from_fn_with_state(api.clone(), auth::check))
        .layer(from_fn_with_state(api.clone(), host_policy::check))
        .layer(from_fn(trace::around))
        .layer(from_fn_with_state(api.clone(), cors::around))
        .with_state(api)
}

/// Routes of jobs and events, which exist only as rows.
fn rows(api: &Api) -> Router<Api> {
    Router::new()
        .route("/v1/jobs", get(routes::jobs::list).post(routes::jobs::submit))
        .route("/v1/jobs/{id}", get(routes::job::get).delete(routes::job::cancel))
        .route("/v1/jobs/{id}/retry", post(routes::job::retry))
        .route("/v1/jobs/{id}/manifest", get(routes::job::manifest))
        .route("/v1/jobs/{id}/failures", get(routes::job::failures))
        .route("/v1/jobs/{id}/logs", get(routes::job::logs))
        .route("/v1/events", get(routes::events::list))
        .route_layer(from_fn_with_state(api.clone(), database::around))
}

/// Serves requests until `stop`, like [`serve_with`].
pub async fn serve(
    listener: impl Into<Listener>,
    api: Api,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let mcp = mcp::McpServer::new(api.clone());
    serve_with(listener, api, mcp, stop).await
}

/// Serves requests until `stop`, those of MCP with this handler; then no new connection is accepted, requests that wait
/// for a job get a response at once, and other requests have ten seconds.
pub async fn serve_with(
    listener: impl Into<Listener>,
    api: Api,
    mcp: impl rmcp::ServerHandler + Clone + 'static,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (stopping, mut stop_requested) = tokio::sync::watch::channel(());
    let (changes, events) = (api.changes.clone(), api.events.clone());
    let stopped = async move {
        stop.await;
        changes.end();
        events.end();
        drop(stopping);
    };
    let deadline = async move {
        while stop_requested.changed().await.is_ok() {}
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    };
    tokio::select! {
        () = server::serve(listener.into(), router(api, mcp), stopped) => {}
        () = deadline => {}
    }
    Ok(())
}
