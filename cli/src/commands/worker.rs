//! `worker`: runs queued jobs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::ingest::Worker;
use shared::observability;

use super::interrupted;
use crate::failure::{CliError, Exit};
use crate::session::Session;

/// How often metrics are written, for CloudWatch.
const METRICS_INTERVAL: Duration = Duration::from_secs(60);

fn write_metrics() {
    observability::write_metrics(observability::LogOutput::Stderr, "bio-mcp", &[]);
}

/// Runs until stopped, or with `once` until no work is left.
pub async fn run(session: &Session, once: bool) -> Result<Exit, CliError> {
    let worker = Worker::new(session.engine.clone(), Some(session.data_dir.workers()))?;
    let shutdown = worker.shutdown_flag();
    let _keeper = session.keep_database_alive();
    // For as long as this command runs, which may be weeks.
    let writing = session.config.json_logs.then(|| {
        tokio::spawn(async {
            loop {
                tokio::time::sleep(METRICS_INTERVAL).await;
                write_metrics();
            }
        })
    });
    let mut working = tokio::spawn(async move { worker.run(once).await });
    let stopped = tokio::select! {
        result = &mut working => Some(result),
        () = interrupted() => None,
    };
    let result = if let Some(result) = stopped {
        result
    } else {
        shutdown.store(true, Ordering::Relaxed);
        working.await
    };
    if let Some(writing) = writing {
        writing.abort();
        write_metrics();
    }
    result.map_err(|error| CliError::internal(format!("the worker panicked: {error}")))??;
    Ok(Exit::Done)
}
