//! When projections catch up: after each other job and with each sweep, if one is behind.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgPool;

use super::{CatchUp, Lag, Projection, TOOL, catch_up, lag, submit_if_behind};
use crate::db::DbError;
use crate::ingest::{Engine, Pipeline, Upkeep};
use crate::jobs::{Job, JobState, Limits};

/// Channel of notifications that a projection has moved.
pub const CHANNEL: &str = "bio_mcp_events";

/// The projections of a deployment: their pipeline, and what starts its jobs.
#[derive(Clone)]
pub struct ReadersOfTheLog {
    projections: Arc<[Arc<dyn Projection>]>,
    limits: Limits,
}

impl ReadersOfTheLog {
    /// Readers with these projections; their jobs are submitted within `limits`.
    pub fn new(projections: Arc<[Arc<dyn Projection>]>, limits: Limits) -> Self {
        Self { projections, limits }
    }

    /// The pipeline of their jobs.
    pub fn pipeline(&self) -> Arc<dyn Pipeline> {
        Arc::new(CatchUp(self.projections.clone()))
    }

    async fn submit(&self, engine: &Engine) -> Result<(), DbError> {
        // A program that runs only other jobs leaves this to programs that run these.
        if engine.pipeline(TOOL).is_none() {
            return Ok(());
        }
        submit_if_behind(engine, &self.projections, self.limits).await.map(|_| ())
    }

    /// Whether more than one batch is left.
    async fn is_far_behind(&self, engine: &Engine) -> Result<bool, DbError> {
        let batch = i64::try_from(catch_up::batch_events(engine)).unwrap_or(i64::MAX);
        let is_far = |lag: &Lag| lag.is_to_be_read() && lag.work() > batch;
        Ok(lag(&engine.db, &self.projections).await?.iter().any(is_far))
    }
}

#[async_trait]
impl Upkeep for ReadersOfTheLog {
    async fn sweep(&self, engine: &Engine) -> Result<usize, DbError> {
        self.submit(engine).await.map(|()| 0)
    }

    async fn job_ended(&self, engine: &Engine, job: &Job, state: JobState) -> Result<(), DbError> {
        // Events that arrive while a catch-up ends are left to the next sweep: during a long load they arrive
        // continuously, and each would become a job. The sweep also repeats a failed catch-up. Only if one job cannot
        // read the whole log, the next one is submitted immediately, behind the jobs that wait.
        if job.tool == TOOL && !(state == JobState::Succeeded && self.is_far_behind(engine).await?) {
            return Ok(());
        }
        self.submit(engine).await
    }
}

/// Notifies waiting callers that rows were written. They also poll, so a lost notification is harmless, and its commit
/// does not wait for the disk.
pub(super) async fn announce(db: &PgPool) {
    let sql = "select set_config('synchronous_commit', 'off', true), pg_notify($1, '')";
    if let Err(error) = sqlx::query(sql).bind(CHANNEL).execute(db).await {
        tracing::debug!(%error, "waiting callers were not notified; they poll");
    }
}
