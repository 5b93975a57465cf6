//! The function `worker`: see the library.

use std::time::{Duration, Instant};

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use shared::deployment::Deployment;
use shared::words::{clock, telemetry};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let deployment = Deployment::of_function("worker").await?;
    // Lambda asks a process to end only where an extension is registered.
    let access = deployment.access.clone();
    let hook = lambda_runtime::spawn_graceful_shutdown_handler(move || async move { access.close().await });
    if tokio::spawn(hook).await.is_err() {
        tracing::warn!("no word before this function is ended: the database closes its connections");
    }
    let function = worker::Function::new(deployment.engine, deployment.access)?;
    let function = &function;
    run(service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        let left = event.context.deadline.saturating_sub(clock::unix_ms());
        let response = function.handle(event.payload, Instant::now() + Duration::from_millis(left)).await;
        telemetry::write_metrics(telemetry::Output::Stdout, "worker", &[]);
        telemetry::send_spans().await;
        Ok::<_, Error>(response)
    }))
    .await
}
