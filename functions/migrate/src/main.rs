//! The function `migrate`: see the library.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use migrate::{Function, Request};
use shared::deployment::Deployment;
use shared::words::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function(Deployment::of_function("migrate").await?.access);
    let function = &function;
    run(service_fn(move |event: LambdaEvent<Request>| async move {
        let done = function.handle(event.payload).await;
        let done = done.inspect_err(|error| tracing::error!(error = telemetry::chain(error), "not migrated"))?;
        tracing::info!(?done, "migrated");
        Ok::<_, Error>(done)
    }))
    .await
}
