//! A claimed unit and all writes for it.
//!
//! Each write is one transaction: lock the job row, check whether the job continues, write, and change the unit only if
//! its epoch is still the claimed one. If no row changes, another worker has the unit: roll back and stop.

use std::time::Instant;

use serde_json::Value;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::Engine;
use super::unit_error::UnitError;
use crate::db::{self, DbError};
use crate::jobs::Progress;
use bio_mcp_core::{ErrorCode, JobId, Tally, UnitId, WorkerId};

/// Which units to claim.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    pub worker: &'a WorkerId,
    /// Machine of the worker.
    pub hostname: &'a str,
    /// Units of these tools.
    pub tools: &'a [String],
    /// Only this unit.
    pub unit: Option<UnitId>,
    /// Only units of this job.
    pub job: Option<JobId>,
}

/// A claimed unit.
#[derive(Clone, Debug)]
pub struct Lease {
    pub unit: UnitId,
    pub job: JobId,
    /// The job's tool.
    pub tool: String,
    /// The job's parameters.
    pub params: Value,
    /// The job's trace.
    pub trace_id: String,
    /// The principal that submitted the job.
    pub principal: String,
    /// Phase of the unit.
    pub phase: String,
    /// Number in the phase; 0 plans it.
    pub seq: i32,
    /// Input of the unit.
    pub input: Value,
    /// The cursor of an earlier attempt.
    pub cursor: Option<Value>,
    /// Number of attempts that ended without progress.
    pub attempt: i32,
    /// The fencing token of the claim.
    pub epoch: i64,
    /// Batches committed so far.
    pub(super) batches: i64,
    /// Records by outcome so far.
    pub(super) tally: Tally,
    pub(super) claimed: Instant,
}

/// How the end of a unit advanced its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobProgressed {
    /// Other units are left.
    UnitsLeft,
    /// It was the last unit: the job must be finalised.
    JobOver,
}

#[derive(FromRow)]
struct Claimed {
    id: Uuid,
    job_id: Uuid,
    phase: String,
    seq: i32,
    input: Value,
    cursor: Option<Value>,
    retry_count: i32,
    epoch: i64,
    #[sqlx(json)]
    tally: Tally,
    tool: String,
    params: Value,
    trace_id: String,
    principal: String,
    batches: i64,
}

/// State of the locked job row.
#[derive(FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own")]
pub(super) struct JobRow {
    pub(super) cancelled: bool,
    overdue: bool,
    terminal: bool,
    /// Whether its principal has reached its daily limit of stored records.
    used_up: bool,
    #[sqlx(json)]
    pub(super) progress: Progress,
}

impl Lease {
    /// Claims one unit, if one is claimable.
    pub async fn claim(db: &PgPool, settings: &super::Settings, claim: Claim<'_>) -> Result<Option<Self>, DbError> {
        let unit: Option<Uuid> = sqlx::query_scalar(include_str!("sql/claim.sql"))
            .bind(claim.worker.as_str())
            .bind(claim.hostname)
            .bind(claim.tools)
            .bind(claim.unit.map(|unit| unit.0))
            .bind(settings.job_units)
            .bind(i32::try_from(settings.stale.as_secs()).unwrap_or(i32::MAX))
            .bind(serde_json::to_value(&settings.tool_limits).expect("numbers by name are JSON"))
            .bind(claim.job.map(|job| job.0))
            .fetch_optional(db)
            .await?;
        match unit {
            Some(unit) => Self::of_claimed(db, unit, claim.worker).await,
            None => Ok(None),
        }
    }

    /// The lease of a unit that a worker has claimed but not started.
    pub(super) async fn of_claimed(db: &PgPool, unit: Uuid, worker: &WorkerId) -> Result<Option<Self>, DbError> {
        let claimed: Option<Claimed> =
            sqlx::query_as(include_str!("sql/claimed.sql")).bind(unit).bind(worker.as_str()).fetch_optional(db).await?;
        Ok(claimed.map(|row| Self {
            unit: UnitId(row.id),
            job: JobId(row.job_id),
            tool: row.tool,
            params: row.params,
            trace_id: row.trace_id,
            principal: row.principal,
            phase: row.phase,
            seq: row.seq,
            input: row.input,
            cursor: row.cursor,
            attempt: row.retry_count + 1,
            epoch: row.epoch,
            batches: row.batches,
            tally: row.tally,
            claimed: Instant::now(),
        }))
    }

    /// Records by outcome so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Changes the unit from claimed to processing, and the job to running.
    pub async fn start(&self, db: &PgPool) -> Result<(), UnitError> {
        let mut tx = db::begin(db).await?;
        // A unit that has made progress continues: its stored records are already counted.
        if self.lock_job(&mut tx).await?.used_up {
            let message = "the principal of this job has reached its daily limit of records \
                           (BIO_MCP_PRINCIPAL_DAILY_RECORDS): retry the job after 00:00 UTC";
            return Err(UnitError::permanent(ErrorCode::RateLimitExceeded, message));
        }
        fenced(
            &sqlx::query(include_str!("sql/start_unit.sql"))
                .bind(self.unit.0)
                .bind(self.epoch)
                .execute(&mut *tx)
                .await?,
        )?;
        sqlx::query(
            "update jobs set state = 'running', started_at = coalesce(started_at, now()) \
             where id = $1 and state = 'queued'",
        )
        .bind(self.job.0)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Sends a heartbeat; returns false when the lease is lost or the job cancelled.
    pub async fn heartbeat(&self, db: &PgPool, stale_secs: f64) -> Result<bool, DbError> {
        let alive = sqlx::query(include_str!("sql/heartbeat.sql"))
            .bind(self.unit.0)
            .bind(self.epoch)
            .bind(stale_secs)
            .execute(db)
            .await?;
        Ok(alive.rows_affected() == 1)
    }

    /// Why a unit was interrupted, after a heartbeat found no row.
    pub(super) async fn interruption_cause(&self, engine: &Engine) -> Result<UnitError, DbError> {
        let cancelled: Option<bool> = sqlx::query_scalar(
            "select j.cancel_requested_at is not null from ingestion_work_units u join jobs j on j.id = u.job_id \
             where u.id = $1 and u.epoch = $2 and u.status = 'processing'",
        )
        .bind(self.unit.0)
        .bind(self.epoch)
        .fetch_optional(&engine.db)
        .await?;
        Ok(if cancelled == Some(true) { UnitError::Cancelled } else { UnitError::LeaseLost })
    }

    /// Locks the job row and checks whether the job continues.
    pub(super) async fn lock_job(&self, tx: &mut PgConnection) -> Result<JobRow, UnitError> {
        let job = self.lock_row(tx).await?;
        if job.cancelled {
            return Err(UnitError::Cancelled);
        }
        if job.overdue {
            return Err(UnitError::permanent(ErrorCode::DeadlineExceeded, "the job's time limit has passed"));
        }
        Ok(job)
    }

    /// Locks the job row of a job that has not ended.
    pub(super) async fn lock_row(&self, tx: &mut PgConnection) -> Result<JobRow, UnitError> {
        let job: Option<JobRow> =
            sqlx::query_as(include_str!("sql/lock_job.sql")).bind(self.job.0).fetch_optional(tx).await?;
        job.filter(|job| !job.terminal).ok_or(UnitError::LeaseLost)
    }
}

/// Fails if no row changed: another worker has the unit.
pub(super) fn fenced(done: &sqlx::postgres::PgQueryResult) -> Result<(), UnitError> {
    if done.rows_affected() == 1 { Ok(()) } else { Err(UnitError::LeaseLost) }
}
