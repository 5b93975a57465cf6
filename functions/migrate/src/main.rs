//! The function `migrate`: see the library.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use migrate::{Request, handle};
use serde_json::Value;
use shared::deployment::{Deployment, log_of_function};
use shared::observability;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // Before the first event is read, because its URL is needed to report an invalid environment.
    log_of_function("migrate");
    run(service_fn(async |event: LambdaEvent<Value>| {
        let done = handle(Request::read(&event.payload), Deployment::for_lambda("migrate")).await;
        let done = done.inspect_err(|error| tracing::error!(error = observability::chain(error), "not migrated"))?;
        tracing::info!(?done, "migrated");
        Ok::<_, Error>(done)
    }))
    .await
}
