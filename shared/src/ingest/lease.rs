//! A claimed unit and everything that may be written for it.
//!
//! Each write is one transaction: lock the job row, look whether the job goes on, write, and
//! change the unit only if its epoch is still the claimed one. No rows changed means that another
//! worker has it: roll back and stop.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::Engine;
use super::outcomes::{self, Line};
use super::quarantine::{self, Whole};
use super::unit_error::UnitError;
use crate::db::{self, DbError};
use crate::records::{self, Accepted, Advance, VersionChange};
use crate::words::{ErrorCode, JobId, Outcome, Pmid, Reason, SkipReason, Tally, UnitId, WorkerId};

/// Which units to claim.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Who claims.
    pub worker: &'a WorkerId,
    /// On which machine.
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
    /// The unit.
    pub unit: UnitId,
    /// Its job.
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
    /// What it is to do.
    pub input: Value,
    /// Where an earlier attempt stopped.
    pub cursor: Option<Value>,
    /// Attempts that ended without progress.
    pub attempt: i32,
    /// The fencing token.
    pub epoch: i64,
    /// Batches committed so far.
    batches: i64,
    tally: Tally,
    pub(super) claimed: Instant,
}

/// A batch to commit.
#[derive(Clone, Default)]
pub struct Batch {
    /// Stored versions that are to become pointers.
    pub accepts: Vec<Accepted>,
    /// One line per record of the batch.
    pub lines: Vec<Line>,
    /// Held payloads that arrived again with a newer order.
    pub advances: Vec<Advance>,
    /// Records with versions.
    pub versions: Vec<VersionChange>,
    /// Records that were missing upstream and are there again, unchanged.
    pub found_again: Vec<Pmid>,
    /// Records that came whole, stored or unchanged.
    pub whole: Vec<Whole>,
    /// What was named before it was stored, and has its rows with this batch.
    pub intents: Vec<i64>,
    /// Versions that earlier attempts stored, below those of this batch, and that no pointer is made of.
    pub superseded: Vec<(Pmid, String)>,
    /// Where the unit goes on.
    pub cursor: Value,
    /// Progress since the last batch, in what the plan counts its work in.
    pub work: i64,
    /// What the pipeline writes of its own.
    pub rows: Option<Arc<dyn BatchRows>>,
}

/// Rows of a pipeline's own that belong to a batch: written in its transaction, after pointers and
/// events.
#[async_trait]
pub trait BatchRows: Send + Sync {
    /// Writes them; `lines` are the batch's final outcomes.
    async fn write(&self, db: &mut PgConnection, lines: &[Line]) -> Result<(), DbError>;
}

/// What the end of a unit means for its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Other units are left.
    UnitsLeft,
    /// It was the last one: finalise the job.
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
    tally: Value,
    tool: String,
    params: Value,
    trace_id: String,
    principal: String,
    batches: i64,
}

/// What the locked job row says.
#[derive(FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own")]
pub(super) struct JobRow {
    cancelled: bool,
    overdue: bool,
    terminal: bool,
    /// Whether its principal has stored today what it may.
    used_up: bool,
    pub(super) progress: Value,
}

impl Lease {
    /// Claims one unit, if there is one.
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

    /// The lease of a unit that a worker has claimed and not begun.
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
            tally: serde_json::from_value(row.tally).unwrap_or_default(),
            claimed: Instant::now(),
        }))
    }

    /// Records by outcome so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Claimed → processing; the job runs from here on.
    pub async fn start(&self, db: &PgPool) -> Result<(), UnitError> {
        let mut tx = db::begin(db).await?;
        // A unit that has begun goes on: what it has stored is paid for.
        if self.lock_job(&mut tx).await?.used_up {
            let message = "the principal of this job has stored as many records today as it may \
                           (BIO_MCP_PRINCIPAL_DAILY_RECORDS): retry the job after 00:00 UTC";
            return Err(UnitError::permanent(ErrorCode::RateLimitExceeded, message));
        }
        fenced(
            &sqlx::query(
                "update ingestion_work_units set status = 'processing', heartbeat_at = now() \
                 where id = $1 and epoch = $2 and status = 'claimed'",
            )
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

    /// Says that the worker lives; false when the lease is lost or the job cancelled.
    pub async fn heartbeat(&self, db: &PgPool, stale_secs: f64) -> Result<bool, DbError> {
        let alive = sqlx::query(include_str!("sql/heartbeat.sql"))
            .bind(self.unit.0)
            .bind(self.epoch)
            .bind(stale_secs)
            .execute(db)
            .await?;
        Ok(alive.rows_affected() == 1)
    }

    /// Why the heartbeat found no row.
    pub(super) async fn why_stopped(&self, engine: &Engine) -> Result<UnitError, DbError> {
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

    /// Commits a batch. When the database is lost in the middle, waits for it, looks whether the
    /// commit had happened, and otherwise does it again.
    pub async fn commit(&mut self, engine: &Engine, mut batch: Batch) -> Result<(), UnitError> {
        let give_up = Instant::now() + engine.settings.database_patience;
        let mut pause = std::time::Duration::from_millis(100);
        loop {
            match self.try_commit(&engine.db, &mut batch).await {
                Err(CommitError::Db(error)) if error.is_transient() && Instant::now() < give_up => {
                    tracing::warn!(unit_id = %self.unit, error = %error, "the database is away, waiting for it");
                    // Whether it had happened must be known before it is done again.
                    let committed = loop {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(std::time::Duration::from_secs(2));
                        match self.is_committed(&engine.db).await {
                            Ok(committed) => break committed,
                            Err(error) if error.is_transient() && Instant::now() < give_up => {}
                            Err(error) => return Err(error.into()),
                        }
                    };
                    if committed {
                        break;
                    }
                }
                Err(CommitError::Db(error)) => return Err(error.into()),
                Err(CommitError::Unit(error)) => return Err(error),
                Ok(()) => break,
            }
        }
        for line in &batch.lines {
            self.tally.add(line.outcome, line.reason.as_ref());
        }
        self.batches += 1;
        self.cursor = Some(batch.cursor);
        Ok(())
    }

    /// Whether the batch after the last known one is there, written under this epoch's cursor.
    async fn is_committed(&self, db: &PgPool) -> Result<bool, DbError> {
        Ok(sqlx::query_scalar(
            "select exists (select from ingestion_unit_outcomes o join ingestion_work_units u on u.id = o.unit_id \
             where o.unit_id = $1 and o.batch = $2 and u.epoch = $3)",
        )
        .bind(self.unit.0)
        .bind(self.batches)
        .bind(self.epoch)
        .fetch_one(db)
        .await?)
    }

    async fn try_commit(&self, db: &PgPool, batch: &mut Batch) -> Result<(), CommitError> {
        let mut tx = db::begin(db).await?;
        let job = self.lock_job(&mut tx).await?;
        fenced(
            &sqlx::query(include_str!("sql/fence.sql")).bind(self.unit.0).bind(self.epoch).execute(&mut *tx).await?,
        )?;
        let missing: Vec<Pmid> =
            batch.lines.iter().filter(|line| line.outcome == Outcome::Missing).filter_map(|line| line.pmid).collect();
        let touched = missing.iter().chain(&batch.found_again).chain(batch.advances.iter().map(|one| &one.pmid));
        let touched: Vec<Pmid> = touched.copied().collect();
        if !touched.is_empty() {
            // More than one statement changes pointers: all are locked first, in order.
            let known = batch.accepts.iter().filter(|one| one.expected.is_some()).map(|one| one.pmid);
            let versions = batch.versions.iter().map(|one| one.pmid);
            let all: Vec<Pmid> = touched.into_iter().chain(known).chain(versions).collect();
            records::lock_pointers(&mut tx, &all).await?;
        }
        records::mark_missing(&mut tx, &missing).await?;
        records::clear_missing(&mut tx, &batch.found_again).await?;
        records::advance(&mut tx, &batch.advances).await?;
        records::forget_intents(&mut tx, &batch.intents).await?;
        records::put_aside_own(&mut tx, &batch.superseded).await?;
        let accepts = records::accept(&mut tx, &batch.accepts).await?;
        // Stored, and overtaken before this commit.
        let overtaken = batch.accepts.iter().filter(|one| accepts.older.contains(&one.pmid));
        let overtaken: Vec<(Pmid, String)> = overtaken.map(|one| (one.pmid, one.s3_uri.clone())).collect();
        records::put_aside_own(&mut tx, &overtaken).await?;
        quarantine::release_older(&mut tx, &batch.whole).await?;
        let mut undecided = accepts.undecided;
        undecided.extend(records::accept_versions(&mut tx, &batch.versions).await?);
        if let Some(pmid) = undecided.first() {
            let message = format!("PMID {pmid} was changed by another worker at the same moment");
            return Err(UnitError::Failed { code: ErrorCode::ArchiveError, message, retry: true }.into());
        }
        let overtaken = |line: &&mut Line| {
            line.outcome != Outcome::Failed && line.pmid.is_some_and(|pmid| accepts.older.contains(&pmid))
        };
        for line in batch.lines.iter_mut().filter(overtaken) {
            // Another worker was faster with a newer payload.
            line.outcome = Outcome::Skipped;
            line.reason = Some(Reason::Skip(SkipReason::Older));
        }
        let mut counted = Tally::default();
        batch.lines.iter().for_each(|line| counted.add(line.outcome, line.reason.as_ref()));
        sqlx::query("insert into ingestion_unit_outcomes (unit_id, batch, outcomes) values ($1, $2, $3)")
            .bind(self.unit.0)
            .bind(self.batches)
            .bind(outcomes::frame(&batch.lines))
            .execute(&mut *tx)
            .await?;
        outcomes::insert_failures(&mut tx, self.job, self.unit, &batch.lines).await?;
        if let Some(rows) = &batch.rows {
            rows.write(&mut tx, &batch.lines).await?;
        }
        crate::words::crash::point("in_transaction");
        let mut tally = self.tally;
        tally.merge(&counted);
        fenced(
            &sqlx::query(include_str!("sql/commit_unit.sql"))
                .bind(self.unit.0)
                .bind(self.epoch)
                .bind(&batch.cursor)
                .bind(serde_json::to_value(tally).expect("counts are JSON"))
                .execute(&mut *tx)
                .await?,
        )?;
        count(&mut tx, self.job, job.progress, &counted, batch.work).await?;
        charge(&mut tx, self.job, counted.archived + counted.deleted).await?;
        Ok(tx.commit().await.map_err(DbError::from)?)
    }

    /// Locks the job row and looks whether the job goes on.
    pub(super) async fn lock_job(&self, tx: &mut PgConnection) -> Result<JobRow, UnitError> {
        let job: Option<JobRow> =
            sqlx::query_as(include_str!("sql/lock_job.sql")).bind(self.job.0).fetch_optional(tx).await?;
        let job = job.ok_or(UnitError::LeaseLost)?;
        if job.terminal {
            return Err(UnitError::LeaseLost);
        }
        if job.cancelled {
            return Err(UnitError::Cancelled);
        }
        if job.overdue {
            return Err(UnitError::permanent(ErrorCode::DeadlineExceeded, "the job's time limit has passed"));
        }
        Ok(job)
    }
}

/// No row changed: another worker has the unit.
pub(super) fn fenced(done: &sqlx::postgres::PgQueryResult) -> Result<(), UnitError> {
    if done.rows_affected() == 1 { Ok(()) } else { Err(UnitError::LeaseLost) }
}

enum CommitError {
    Db(DbError),
    Unit(UnitError),
}

impl From<DbError> for CommitError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<UnitError> for CommitError {
    fn from(error: UnitError) -> Self {
        Self::Unit(error)
    }
}

/// Counts stored records against what the principal of a job may store today.
async fn charge(tx: &mut PgConnection, job: JobId, stored: i64) -> Result<(), DbError> {
    if stored > 0 {
        sqlx::query(include_str!("sql/charge.sql")).bind(job.0).bind(stored).execute(tx).await?;
    }
    Ok(())
}

/// Adds a batch to the job's counters; the job row is locked.
async fn count(
    tx: &mut PgConnection,
    job: JobId,
    mut progress: Value,
    counted: &Tally,
    work: i64,
) -> Result<(), DbError> {
    let mut tally: Tally = serde_json::from_value(progress.clone()).unwrap_or_default();
    tally.merge(counted);
    let number = |key: &str| progress.get(key).and_then(Value::as_i64).unwrap_or(0);
    let (work_done, work_total) = (number("work_done") + work, number("work_total"));
    if let (Some(progress), Ok(Value::Object(counts))) = (progress.as_object_mut(), serde_json::to_value(tally)) {
        progress.extend(counts);
        progress.remove("waiting");
        progress.insert("done".into(), json!(tally.requested));
        progress.insert("work_done".into(), json!(work_done));
        #[expect(clippy::cast_precision_loss, reason = "a fraction for a progress bar")]
        let fraction = if work_total > 0 { (work_done as f64 / work_total as f64).min(1.0) } else { 0.0 };
        progress.insert("fraction".into(), json!(fraction));
    }
    sqlx::query("update jobs set progress = $2 where id = $1").bind(job.0).bind(progress).execute(&mut *tx).await?;
    sqlx::query(
        "update ingestion_jobs set records_processed = records_processed + $2, \
         records_stored = records_stored + $3, records_failed = records_failed + $4 where id = $1",
    )
    .bind(job.0)
    .bind(counted.requested)
    .bind(counted.archived + counted.skipped + counted.deleted)
    .bind(counted.failed)
    .execute(tx)
    .await?;
    Ok(())
}
