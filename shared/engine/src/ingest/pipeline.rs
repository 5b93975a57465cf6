//! What a source has to say: how a job is planned and how a unit is run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgPool};

use super::Engine;
use super::commit::Batch;
use super::finalise::EndedUnit;
use super::lease::Lease;
use super::plan::Plan;
use super::unit_error::UnitError;
use crate::db::DbError;
use crate::jobs::{Job, JobState};
use bio_mcp_core::ErrorCode;

/// How often a unit that waits checks whether it is to stop.
pub(super) const STOP_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A kind of job. One implementation per tool, listed in `sources`.
#[async_trait]
pub trait Pipeline: Send + Sync {
    /// The tool.
    fn tool(&self) -> &'static str;

    /// The phases in order; at least one.
    fn phases(&self) -> &'static [&'static str];

    /// Plans a phase into units.
    async fn plan(&self, context: &UnitContext) -> Result<Plan, UnitError>;

    /// Runs a unit, from its cursor on, committing batches.
    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError>;

    /// Writes rows of the pipeline's own in the transaction that completes a unit, under the job's
    /// lock.
    async fn completed(&self, _db: &mut PgConnection, _lease: &Lease) -> Result<(), UnitError> {
        Ok(())
    }

    /// Writes rows of the pipeline's own in the transaction that ends a job, under its lock, and
    /// returns what its result says besides the counts and the manifest.
    async fn ended(&self, _db: &mut PgConnection, _ended: &Ended<'_>) -> Result<Map<String, Value>, UnitError> {
        Ok(Map::new())
    }

    /// What a manifest says about the spans of time that a job covered.
    async fn windows(&self, _db: &PgPool, _job: &Job) -> Result<Value, UnitError> {
        Ok(Value::Null)
    }

    /// The most records that a job of these parameters can store; nothing where they do not say.
    fn records_at_most(&self, _params: &Value) -> Option<i64> {
        None
    }

    /// The parameters of a job that does again only what failed in an ended one; nothing when
    /// nothing did. Where a tool cannot tell, the whole again: what is done already is skipped.
    async fn retry(&self, _db: &PgPool, job: &Job) -> Result<Option<Value>, UnitError> {
        Ok(Some(job.params.clone()))
    }
}

/// A job that ends.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The job, as it was before.
    pub job: &'a Job,
    /// The state that it ends in.
    pub state: JobState,
    /// Its units, in the order of phases and numbers.
    pub units: &'a [EndedUnit],
}

impl<'a> Ended<'a> {
    /// The first unit that failed, for which the job did.
    pub fn failure(&self) -> Option<&'a EndedUnit> {
        self.units.iter().find(|unit| unit.has_failed())
    }
}

/// Rows above the engine that the sweep keeps in order, besides the engine's own.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Does it; returns how many stored instants were in the future and were pulled back.
    async fn sweep(&self, engine: &Engine) -> Result<usize, DbError>;

    /// Called after a job has ended in this state and that is committed. The next sweep repeats what fails here.
    async fn job_ended(&self, _engine: &Engine, _job: &Job, _state: JobState) -> Result<(), DbError> {
        Ok(())
    }
}

/// What a pipeline works with while it plans or runs a unit.
pub struct UnitContext {
    /// State and objects.
    pub engine: Engine,
    /// The claimed unit.
    pub lease: Lease,
    /// Set when the worker is to stop, or the heartbeat found the unit lost or cancelled.
    pub(super) stop: Arc<AtomicBool>,
    /// Set when the whole worker is to stop.
    pub(super) shutdown: Arc<AtomicBool>,
    pub(super) started: Instant,
    pub(super) progressed: Arc<std::sync::Mutex<Instant>>,
    /// Whether this attempt has committed anything.
    pub(super) committed: bool,
}

impl UnitContext {
    /// To be called between batches: stops the unit when the worker is to stop, the lease is gone,
    /// the job is cancelled, or the unit's time is up.
    pub async fn check(&self) -> Result<(), UnitError> {
        if self.shutdown.load(Ordering::Relaxed) {
            return Err(UnitError::Released);
        }
        if self.started.elapsed() > self.engine.settings.unit_timeout {
            return Err(if self.committed {
                UnitError::Released
            } else {
                let message = "the unit's time limit passed without any progress".to_owned();
                UnitError::Failed { code: ErrorCode::DeadlineExceeded, message, retry: true }
            });
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(self.lease.interruption_cause(&self.engine).await?);
        }
        Ok(())
    }

    /// Waits for something that can take long and may be given up at any time, such as a request to another server:
    /// until it is there, or until the unit is to stop.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T, UnitError>>) -> Result<T, UnitError> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(STOP_POLL_INTERVAL) => {
                    if self.shutdown.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed) {
                        self.check().await?;
                    }
                }
            }
        }
    }

    /// Commits a batch: its pointers, outcomes, cursor and counters, in one transaction.
    pub async fn commit(&mut self, batch: Batch) -> Result<(), UnitError> {
        self.lease.commit(&self.engine, batch).await?;
        self.committed = true;
        *self.progressed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        Ok(())
    }
}
