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
    let function = worker::Function::new(deployment.engine, deployment.access)?;
    let function = &function;
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        let left = time_left(event.context.deadline, clock::unix_ms(), timeout);
        let response = function.handle(&event.payload, Instant::now() + left).await;
        let response = response.inspect_err(|error| tracing::error!(%error, "the event is refused"));
        telemetry::write_metrics(telemetry::Output::Stdout, "worker", &[]);
        telemetry::send_spans().await;
        Ok::<_, Error>(response?)
    }))
    .await
}
