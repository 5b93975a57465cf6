//! Workers of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shared::ingest::Worker;
use tokio::task::JoinSet;

use crate::failure::CliError;
use crate::session::Session;

/// Workers that run until stopped; each also sweeps at intervals.
pub struct Workers {
    working: JoinSet<Result<(), CliError>>,
    shutdowns: Vec<Arc<AtomicBool>>,
}

impl Workers {
    /// Starts the configured number of workers.
    pub fn start(session: &Session) -> Result<Self, CliError> {
        let (mut working, mut shutdowns) = (JoinSet::new(), Vec::new());
        for _ in 0..session.config.workers {
            let worker = Worker::new(session.engine.clone(), Some(session.data_dir.workers()))?;
            shutdowns.push(worker.shutdown_flag());
            working.spawn(async move { Ok(worker.run(false).await?) });
        }
        tracing::info!(workers = session.config.workers, "up");
        Ok(Self { working, shutdowns })
    }

    /// Waits until a worker ends, which happens only if it cannot continue.
    pub async fn failed(&mut self) -> Result<(), CliError> {
        match self.working.join_next().await {
            Some(ended) => ended.map_err(|error| CliError::internal(format!("a worker panicked: {error}")))?,
            None => std::future::pending().await,
        }
    }

    /// Stops each worker at the end of its batch.
    pub async fn stop(mut self) {
        for flag in &self.shutdowns {
            flag.store(true, Ordering::Relaxed);
        }
        while self.working.join_next().await.is_some() {}
    }
}
