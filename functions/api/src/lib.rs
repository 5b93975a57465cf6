//! The doors: every tool and job over HTTP.
//!
//! The way of a request: `cors` (what a browser shows to a known page) → [`trace`] (a trace id, one error body, no panic
//! gets out) → `names` (own names in `Host`, known pages in `Origin`) → [`auth`] → [`limits`] → a route, which decodes, calls a tool or a verb of `shared`, and
//! encodes. The router runs in `bio-mcp serve`
//! and `up`, and knows nothing of where it runs.

pub mod auth;
mod body;
mod call;
mod connections;
mod cors;
pub mod cursor;
mod database;
mod error;
mod fleet;
pub mod limits;
mod listener;
pub mod mcp;
mod names;
mod oidc;
pub mod openapi;
mod places;
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
use shared::db::{Announcements, Kept};
use shared::deployment::{Deployment, StartError};
use shared::jobs::Changes;
use shared::projections;
use shared::tools::{Tool, Toolbox, catalogue};
use shared::words::Role;
use shared::words::config::{AuthSetting, HttpSettings};

pub use auth::Auth;
pub use error::{ErrorBody, Failure, status_of};
pub use listener::Listener;
pub use server::SourceAddress;

/// The longest that a request waits for a job.
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// The same in a function, which answers nothing else meanwhile and is paid for.
const LONGEST_WAIT_OF_A_FUNCTION: Duration = Duration::from_secs(2);

/// What the routes work with.
#[derive(Clone)]
pub struct Api {
    toolbox: Toolbox,
    tools: Arc<[Tool]>,
    /// The tools that MCP lists, as it lists them.
    listed: Arc<[rmcp::model::Tool]>,
    names: Arc<names::Names>,
    auth: Arc<Auth>,
    limits: Arc<limits::Limits>,
    database: Arc<database::Gate>,
    changes: Changes,
    events: Announcements,
    kept: Arc<Kept>,
    readiness: Arc<readiness::Cached>,
    fleet: fleet::Fleet,
    longest_wait: Duration,
    public_url: Option<Arc<str>>,
}

impl Api {
    /// The doors to a toolbox.
    pub fn new(toolbox: Toolbox, settings: &HttpSettings) -> Self {
        let tools = catalogue();
        Self {
            listed: mcp::listing(&tools, &settings.toolsets).into(),
            database: Arc::new(database::Gate::new(toolbox.engine.db.clone())),
            changes: Changes::new(toolbox.engine.db.clone()),
            events: Announcements::new(toolbox.engine.db.clone(), projections::CHANNEL),
            kept: Arc::new(Kept::new(toolbox.engine.db.clone())),
            tools: tools.into(),
            names: Arc::new(names::Names::new(settings)),
            auth: Arc::new(Auth::new(settings)),
            limits: Arc::new(limits::Limits::new(settings)),
            readiness: Arc::default(),
            fleet: fleet::Fleet::default(),
            longest_wait: settings.max_wait.unwrap_or(LONGEST_WAIT),
            public_url: settings.public_url.as_deref().map(Arc::from),
            toolbox,
        }
    }

    /// The doors of a function: it leads to its database by itself, hears of no changes while it is frozen, and
    /// shares limits with the whole fleet.
    pub fn of_function(deployment: &Deployment) -> Result<Self, StartError> {
        let settings = &deployment.config.http;
        if settings.auth == AuthSetting::None && !settings.allow_anonymous {
            return Err(StartError::Anonymous);
        }
        Ok(Self {
            database: Arc::new(database::Gate::of_function(deployment.access.clone())),
            changes: Changes::by_looking(deployment.engine.db.clone()),
            events: Announcements::by_looking(deployment.engine.db.clone(), projections::CHANNEL),
            fleet: fleet::Fleet::new(deployment.limits.slots(), settings),
            longest_wait: settings.max_wait.unwrap_or(LONGEST_WAIT_OF_A_FUNCTION),
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

/// Every route; `/mcp` answers with this handler, [`mcp::Door`] where it is not a test.
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
        .layer(from_fn_with_state(api.clone(), names::check))
        .layer(from_fn(trace::around))
        .layer(from_fn_with_state(api.clone(), cors::around))
        .with_state(api)
}

/// Jobs and events exist only as rows.
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

/// Answers requests until `stop`, as [`serve_with`].
pub async fn serve(
    listener: impl Into<Listener>,
    api: Api,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let door = mcp::Door::new(api.clone());
    serve_with(listener, api, door, stop).await
}

/// Answers requests, those of MCP with this handler, until `stop`; then no new connection is taken, who waits for a job is answered at once,
/// and what else is under way has ten seconds.
pub async fn serve_with(
    listener: impl Into<Listener>,
    api: Api,
    mcp: impl rmcp::ServerHandler + Clone + 'static,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (told, mut tell) = tokio::sync::watch::channel(());
    let (changes, events) = (api.changes.clone(), api.events.clone());
    let stopped = async move {
        stop.await;
        changes.end();
        events.end();
        drop(told);
    };
    let late = async move {
        while tell.changed().await.is_ok() {}
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    };
    tokio::select! {
        () = server::serve(listener.into(), router(api, mcp), stopped) => {}
        () = late => {}
    }
    Ok(())
}
