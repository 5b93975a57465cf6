//! The interface of a source: how a job is planned and how a unit is run.

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

/// How often a waiting unit checks whether it must stop.
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

    /// Runs a unit from its cursor, committing batches.
    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError>;

    /// Writes rows of the pipeline in the transaction that completes a unit, under the job's lock.
    async fn completed(&self, _db: &mut PgConnection, _lease: &Lease) -> Result<(), UnitError> {
        Ok(())
    }

    /// Writes rows of the pipeline in the transaction that ends a job, under its lock, and returns the fields of its
    /// result besides the counts and the manifest.
    async fn ended(&self, _db: &mut PgConnection, _ended: &Ended<'_>) -> Result<Map<String, Value>, UnitError> {
        Ok(Map::new())
    }

    /// The time windows that a job covered, for its manifest.
    async fn windows(&self, _db: &PgPool, _job: &Job) -> Result<Value, UnitError> {
        Ok(Value::Null)
    }

    /// Maximum number of records that a job with these parameters can store; none if unknown.
    fn records_at_most(&self, _params: &Value) -> Option<i64> {
        None
    }

    /// Multiple of a job's time limit for a job with these parameters, also when it is retried.
    fn time_limits(&self, _params: &Value) -> u32 {
        1
    }

    /// The parameters of a job that repeats only what failed in an ended one; none if nothing failed. If a tool cannot
    /// tell, it repeats everything: records that are already stored are skipped.
    async fn retry(&self, _db: &PgPool, job: &Job) -> Result<Option<Value>, UnitError> {
        Ok(Some(job.params.clone()))
    }
}

/// A job that is ending.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The job, before its end.
    pub job: &'a Job,
    /// Its final state.
    pub state: JobState,
    /// Its units, ordered by phase and number.
    pub units: &'a [EndedUnit],
}

impl<'a> Ended<'a> {
    /// The first failed unit, which made the job fail.
    pub fn failure(&self) -> Option<&'a EndedUnit> {
        self.units.iter().find(|unit| unit.has_failed())
    }
}

/// Maintenance of rows above the engine, run by the sweep besides the engine's own.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Runs the maintenance; returns how many stored times were in the future and were pulled back.
    async fn sweep(&self, engine: &Engine) -> Result<usize, DbError>;

    /// Called after the end of a job in this state was committed. If it fails, the next sweep repeats it.
    async fn job_ended(&self, _engine: &Engine, _job: &Job, _state: JobState) -> Result<(), DbError> {
        Ok(())
    }
}

/// The context in which a pipeline plans or runs a unit.
pub struct UnitContext {
    pub engine: Engine,
    /// The claimed unit.
    pub lease: Lease,
    /// Set when the worker must stop, or the heartbeat found the unit lost or cancelled.
    pub(super) stop: Arc<AtomicBool>,
    /// Set when the whole worker must stop.
    pub(super) shutdown: Arc<AtomicBool>,
    pub(super) started: Instant,
    pub(super) progressed: Arc<std::sync::Mutex<Instant>>,
    /// Whether this attempt has committed anything.
    pub(super) committed: bool,
}

impl UnitContext {
    /// Must be called between batches: stops the unit when the worker must stop, the lease is lost, the job is
    /// cancelled, or the unit's time limit is reached.
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

    /// Waits for an operation that may be slow and can be cancelled at any time, such as a request to another server:
    /// until it completes, or until the unit must stop.
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

    /// Commits a batch: its rows, outcomes, cursor and counters, in one transaction.
    pub async fn commit(&mut self, batch: Batch) -> Result<(), UnitError> {
        self.lease.commit(&self.engine, batch).await?;
        self.committed = true;
        *self.progressed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        Ok(())
    }
}
