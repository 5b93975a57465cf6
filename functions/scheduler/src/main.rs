//! The function `scheduler`: see the library.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use scheduler::{SchedulerFunction, Tick};
use serde_json::Value;
use shared::deployment::Deployment;
use shared::observability;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let deployment = Deployment::for_lambda("scheduler").await?;
    // Lambda sends SIGTERM only if an extension is registered.
    let access = deployment.access.clone();
    let hook = lambda_runtime::spawn_graceful_shutdown_handler(move || async move { access.close().await });
    if tokio::spawn(hook).await.is_err() {
        tracing::warn!("no notice before this function is stopped: the database closes its connections");
    }
    let function = SchedulerFunction::new(deployment);
    let function = &function;
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        let tick = Tick::read(&event.payload).inspect_err(|error| tracing::error!(%error, "the event was rejected"))?;
        let done = function.handle(tick).await;
        let (done, gauges) = done.inspect_err(|error| {
            tracing::error!(error = observability::chain(error), "the tick failed");
        })?;
        tracing::info!(?done, "tick finished");
        observability::write_metrics(observability::LogOutput::Stdout, "scheduler", &gauges);
        observability::flush_spans().await;
        Ok::<_, Error>(done)
    }))
    .await
}
