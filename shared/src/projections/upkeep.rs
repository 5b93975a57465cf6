//! When readers of the log read on: after each job, and with each sweep, if there is anything to read.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgPool;

use super::{CatchUp, Projection, TOOL, submit_if_behind};
use crate::db::DbError;
use crate::ingest::{Engine, Pipeline, Upkeep};
use crate::jobs::{Job, JobState, Limits};

/// Where it is announced that a projection has moved.
pub const CHANNEL: &str = "bio_mcp_events";

/// Projections as a part of a deployment: a pipeline, and what starts it.
#[derive(Clone)]
pub struct ReadersOfTheLog {
    projections: Arc<[Arc<dyn Projection>]>,
    limits: Limits,
}

impl ReadersOfTheLog {
    /// These projections, their jobs submitted within limits.
    pub fn new(projections: Arc<[Arc<dyn Projection>]>, limits: Limits) -> Self {
        Self { projections, limits }
    }

    /// What runs their jobs.
    pub fn pipeline(&self) -> Arc<dyn Pipeline> {
        Arc::new(CatchUp(self.projections.clone()))
    }

    async fn submit(&self, engine: &Engine) -> Result<(), DbError> {
        // A program that only runs other jobs leaves it to those that run these.
        if engine.pipeline(TOOL).is_none() {
            return Ok(());
        }
        submit_if_behind(engine, &self.projections, self.limits).await.map(|_| ())
    }
}

#[async_trait]
impl Upkeep for ReadersOfTheLog {
    async fn sweep(&self, engine: &Engine) -> Result<usize, DbError> {
        self.submit(engine).await.map(|()| 0)
    }

    async fn job_ended(&self, engine: &Engine, job: &Job, state: JobState) -> Result<(), DbError> {
        // Events of other jobs may have come while it ended. After one that failed or was cancelled the next sweep
        // starts another, not its end.
        if job.tool == TOOL && state != JobState::Succeeded {
            return Ok(());
        }
        self.submit(engine).await
    }
}

/// Announces to callers that wait that something was written. They look by themselves now and then, so nothing is lost with the
/// word, and its commit waits for no disk.
pub(super) async fn announce(db: &PgPool) {
    let sql = "select set_config('synchronous_commit', 'off', true), pg_notify($1, '')";
    if let Err(error) = sqlx::query(sql).bind(CHANNEL).execute(db).await {
        tracing::debug!(%error, "callers that wait for events look by themselves");
    }
}
