//! The function `worker`: see the library.

use std::time::Instant;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use shared::core::clock;
use shared::deployment::Deployment;
use shared::invocation::time_left;
use shared::observability;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let deployment = Deployment::for_lambda("worker").await?;
    let timeout = deployment.config.function_timeout;
    // Lambda sends SIGTERM only if an extension is registered.
    let access = deployment.access.clone();
    let hook = lambda_runtime::spawn_graceful_shutdown_handler(move || async move { access.close().await });
    if tokio::spawn(hook).await.is_err() {
        tracing::warn!("no notice before this function is stopped: the database closes its connections");
    }
    let function = worker::WorkerFunction::new(deployment.engine, deployment.access)?;
    let function = &function;
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        let left = time_left(event.context.deadline, clock::unix_ms(), timeout);
        let response = function.handle(&event.payload, Instant::now() + left).await;
        let response = response.inspect_err(|error| tracing::error!(%error, "the event was rejected"));
        observability::write_metrics(observability::LogOutput::Stdout, "worker", &[]);
        observability::flush_spans().await;
        Ok::<_, Error>(response?)
    }))
    .await
}
