//! Commits a batch: its rows, its outcomes, the cursor and the counters, in one transaction that only the worker with
//! the lease of the unit can commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

use super::Engine;
use super::lease::{Lease, fenced};
use super::outcomes::{self, RecordOutcome};
use super::unit_error::UnitError;
use crate::db::{self, DbError};
use crate::jobs::Progress;
use bio_mcp_core::{JobId, Tally};

/// A batch to commit.
#[derive(Clone, Default)]
pub struct Batch {
    /// Outcome of each record of the batch.
    pub outcomes: Vec<RecordOutcome>,
    /// Where the unit resumes; only its pipeline reads it.
    pub cursor: Value,
    /// Progress since the last batch, counted like the `work_total` of the plan.
    pub work: i64,
    /// Rows of the pipeline.
    pub rows: Option<Arc<dyn BatchRows>>,
}

/// Rows of a pipeline that belong to a batch: written in its transaction, when the job is locked and the lease of the
/// unit is verified, and before the outcomes are counted.
#[async_trait]
pub trait BatchRows: Send + Sync {
    /// Writes them. If another worker was faster, an outcome may have changed: it is updated here.
    ///
    /// A commit that the database did not confirm is repeated with the original outcomes of the batch, so that this may
    /// be called more than once. Rows are locked in the order that all transactions of the pipeline use.
    async fn write(&self, tx: &mut PgConnection, outcomes: &mut [RecordOutcome]) -> Result<(), CommitError>;

    /// The work of the batch, called after the rows were written: less than planned if another worker was faster.
    fn work(&self, planned: i64) -> i64 {
        planned
    }
}

/// A batch was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The database failed. If the connection was lost, the commit is repeated.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The unit cannot continue.
    #[error(transparent)]
    Unit(#[from] UnitError),
}

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<CommitError> for UnitError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Db(error) => error.into(),
            CommitError::Unit(error) => error,
        }
    }
}

impl Lease {
    /// Commits a batch. If the database is lost during the commit, waits for it, checks whether the batch was
    /// committed, and otherwise repeats the commit.
    pub async fn commit(&mut self, engine: &Engine, batch: Batch) -> Result<(), UnitError> {
        let give_up = Instant::now() + engine.settings.database_patience;
        let mut pause = Duration::from_millis(100);
        let mut counted = Tally::default();
        loop {
            match self.try_commit(&engine.db, &batch, &mut counted).await {
                Err(CommitError::Db(error)) if error.is_transient() && Instant::now() < give_up => {
                    tracing::warn!(unit_id = %self.unit, error = %error, "the database is unavailable; waiting");
                    // Before a repetition it must be known whether the batch was committed.
                    let committed = loop {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(Duration::from_secs(2));
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
                Err(error) => return Err(error.into()),
                Ok(()) => break,
            }
        }
        self.tally.merge(&counted);
        self.batches += 1;
        self.cursor = Some(batch.cursor);
        Ok(())
    }

    /// Whether the batch after the last known one was committed, with a cursor of this epoch.
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

    /// `counted` receives the counts of the batch, once it may have been committed.
    async fn try_commit(&self, db: &PgPool, batch: &Batch, counted: &mut Tally) -> Result<(), CommitError> {
        let mut tx = db::begin(db).await?;
        let job = self.lock_job(&mut tx).await?;
        fenced(
            &sqlx::query(include_str!("sql/fence.sql")).bind(self.unit.0).bind(self.epoch).execute(&mut *tx).await?,
        )?;
        let mut outcomes = batch.outcomes.clone();
        let mut work = batch.work;
        if let Some(rows) = &batch.rows {
            rows.write(&mut tx, &mut outcomes).await?;
            work = rows.work(work);
        }
        *counted = Tally::default();
        for one in &outcomes {
            counted.add(one.outcome, one.reason.as_ref());
        }
        sqlx::query("insert into ingestion_unit_outcomes (unit_id, batch, outcomes) values ($1, $2, $3)")
            .bind(self.unit.0)
            .bind(self.batches)
            .bind(outcomes::frame(&outcomes))
            .execute(&mut *tx)
            .await?;
        outcomes::insert_failures(&mut tx, self.job, self.unit, &outcomes).await?;
        bio_mcp_core::crash::point("in_transaction");
        let mut tally = self.tally;
        tally.merge(counted);
        fenced(
            &sqlx::query(include_str!("sql/commit_unit.sql"))
                .bind(self.unit.0)
                .bind(self.epoch)
                .bind(&batch.cursor)
                .bind(Json(tally))
                .execute(&mut *tx)
                .await?,
        )?;
        count(&mut tx, self.job, job.progress, counted, work).await?;
        charge(&mut tx, self.job, counted.archived + counted.deleted).await?;
        Ok(tx.commit().await.map_err(DbError::from)?)
    }
}

/// Adds stored records to the daily usage of the principal of a job.
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
    mut progress: Progress,
    counted: &Tally,
    work: i64,
) -> Result<(), DbError> {
    progress.add(counted, work);
    sqlx::query("update jobs set progress = $2 where id = $1")
        .bind(job.0)
        .bind(Json(progress))
        .execute(&mut *tx)
        .await?;
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
