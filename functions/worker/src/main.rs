//! The function `worker`: see the library.

use std::time::Instant;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use shared::deployment::Deployment;
use shared::words::invocation::time_left;
use shared::words::{clock, telemetry};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let deployment = Deployment::of_function("worker").await?;
    let timeout = deployment.config.function_timeout;
    // Lambda asks a process to end only where an extension is registered.
    let access = deployment.access.clone();
    let hook = lambda_runtime::spawn_graceful_shutdown_handler(move || async move { access.close().await });
    if tokio::spawn(hook).await.is_err() {
        tracing::warn!("no notice before this function is stopped: the database closes its connections");
    }
    let function = worker::Function::new(deployment.engine, deployment.access)?;
    let function = &function;
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        let left = time_left(event.context.deadline, clock::unix_ms(), timeout);
        let response = function.handle(&event.payload, Instant::now() + left).await;
        let response = response.inspect_err(|error| tracing::error!(%error, "the event was rejected"));
        telemetry::write_metrics(telemetry::Output::Stdout, "worker", &[]);
        telemetry::flush_spans().await;
        Ok::<_, Error>(response?)
    }))
    .await
}
