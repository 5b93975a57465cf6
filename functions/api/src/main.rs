//! The function `api`: serves the router behind API Gateway's HTTP API; see the library.

use std::net::IpAddr;

use api::{Api, SourceAddress};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use lambda_http::Error;
use lambda_http::request::RequestContext;
use shared::deployment::Deployment;
use shared::observability;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let deployment = Deployment::for_lambda("api").await?;
    let api = Api::for_lambda(&deployment).inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    // Lambda sends SIGTERM only if an extension is registered.
    let access = deployment.access.clone();
    let hook = lambda_runtime::spawn_graceful_shutdown_handler(move || async move { access.close().await });
    if tokio::spawn(hook).await.is_err() {
        tracing::warn!("no notice before this function is stopped: the database closes its connections");
    }
    let mcp = api::mcp::McpServer::new(api.clone());
    // Metrics and spans are sent before the response: afterwards the function is frozen.
    let router = api::router(api, mcp).layer(from_fn(async |mut request: Request, next: Next| {
        let source = SourceAddress(source_address(&request));
        request.extensions_mut().insert(source);
        let response = next.run(request).await;
        observability::write_metrics(observability::LogOutput::Stdout, "api", &[]);
        observability::flush_spans().await;
        response
    }));
    lambda_http::run(router).await
}

/// The client's address, from API Gateway's request context.
fn source_address(request: &Request) -> Option<IpAddr> {
    match request.extensions().get::<RequestContext>()? {
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref()?.parse().ok(),
        _ => None,
    }
}
