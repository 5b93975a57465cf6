//! What a source has to say: how a job is planned and how a unit is run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use serde_json::Value;

use super::Engine;
use super::lease::{Batch, Lease};
use crate::archive::{ReadError, StoreError};
use crate::db::DbError;
use crate::words::ErrorCode;

/// A kind of job. One implementation per tool, listed in `pipelines`.
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
}

/// What planning a phase gave.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The units, in the order of their numbers.
    pub units: Vec<NewUnit>,
    /// What the progress bar counts to, e.g. bytes.
    pub bytes_total: i64,
    /// Version of what is ingested, for the list of ingests.
    pub external_version: String,
}

/// A unit to be made.
#[derive(Clone, Debug)]
pub struct NewUnit {
    /// What it is to do.
    pub input: Value,
    /// The machine that must do it.
    pub required_hostname: Option<String>,
}

/// Why a unit stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// Another worker has the unit now: write nothing more.
    #[error("another worker has taken this unit over")]
    LeaseLost,
    /// The job was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// This worker stops, or the unit's time is up with progress made: the rest is for later,
    /// without blame.
    #[error("handed back")]
    HandBack,
    /// Something that an operator must mend stands in the way: no space, no permission. The unit is
    /// handed back without blame, and the worker says so.
    #[error("{message}")]
    Blocked {
        /// Stable code.
        code: ErrorCode,
        /// One sentence for a person.
        message: String,
    },
    /// The unit failed.
    #[error("{message}")]
    Failed {
        /// Stable code.
        code: ErrorCode,
        /// One sentence for a person.
        message: String,
        /// Whether another attempt may succeed.
        retry: bool,
    },
}

impl UnitError {
    /// A failure that another attempt cannot mend.
    pub fn permanent(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Failed { code, message: message.into(), retry: false }
    }
}

impl From<DbError> for UnitError {
    fn from(error: DbError) -> Self {
        let (code, message) = (ErrorCode::DatabaseError, crate::words::telemetry::chain(&error));
        match error {
            DbError::Full(_) => Self::Blocked { code, message },
            error => Self::Failed { code, message, retry: error.is_transient() },
        }
    }
}

impl From<sqlx::Error> for UnitError {
    fn from(error: sqlx::Error) -> Self {
        DbError::from(error).into()
    }
}

impl From<StoreError> for UnitError {
    fn from(error: StoreError) -> Self {
        let (code, message) = (ErrorCode::ArchiveError, crate::words::telemetry::chain(&error));
        match error {
            StoreError::Full(_) | StoreError::Denied(_) => Self::Blocked { code, message },
            error => Self::Failed { code, message, retry: error.is_transient() },
        }
    }
}

impl From<ReadError> for UnitError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            damaged @ ReadError::Damaged { .. } => {
                Self::permanent(ErrorCode::ArchiveError, crate::words::telemetry::chain(&damaged))
            }
        }
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
    /// To be asked between batches: stops the unit when the worker is to stop, the lease is gone,
    /// the job is cancelled, or the unit's time is up.
    pub async fn check(&self) -> Result<(), UnitError> {
        if self.shutdown.load(Ordering::Relaxed) {
            return Err(UnitError::HandBack);
        }
        if self.started.elapsed() > self.engine.settings.unit_timeout {
            return Err(if self.committed {
                UnitError::HandBack
            } else {
                let message = "the unit's time limit passed without any progress".to_owned();
                UnitError::Failed { code: ErrorCode::DeadlineExceeded, message, retry: true }
            });
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(self.lease.why_stopped(&self.engine).await?);
        }
        Ok(())
    }

    /// Commits a batch: its pointers, outcomes, cursor and counters, in one transaction.
    pub async fn commit(&mut self, batch: Batch) -> Result<(), UnitError> {
        self.lease.commit(&self.engine, batch).await?;
        self.committed = true;
        *self.progressed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        Ok(())
    }
}
