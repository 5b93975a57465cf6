//! Live workers on all machines.
//!
//! Each worker that runs until it is stopped has a row, which it renews while it waits for work and, with the heartbeat
//! of its unit, while it works. The locks of [`Presence`] show the same at once, but for this machine only; the row of
//! a killed worker counts as live until it is as old as a unit that is reclaimed.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;

use super::Presence;
use super::presence::Census;
use crate::db::DbError;
use bio_mcp_core::WorkerId;

/// Time limit for deleting the row of a worker that ends: a remaining row is not renewed any more.
const FAREWELL: Duration = Duration::from_secs(2);

/// Age, in seconds, at which rows of silent workers are deleted.
const KEPT_SECS: f64 = 86_400.0;

/// Numbers of live workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LivingWorkers {
    /// Workers that hold a lock in the given directory.
    pub here: i64,
    /// Other workers, by host name.
    pub elsewhere: Vec<(String, i64)>,
}

impl LivingWorkers {
    /// Total number.
    pub fn count(&self) -> i64 {
        self.elsewhere.iter().fold(self.here, |sum, (_, workers)| sum.saturating_add(*workers))
    }
}

/// The live workers, with or without a unit: those that hold a lock in `dir`, and the others seen within `stale`. A
/// worker of a function is seen only while it has a unit.
pub async fn living_workers(db: &PgPool, dir: &Path, stale: Duration) -> Result<LivingWorkers, DbError> {
    let Census { living, dead } = Presence::census(dir).unwrap_or_default();
    let here: Vec<String> = living.iter().chain(&dead).cloned().collect();
    let elsewhere: Vec<(String, i64)> =
        sqlx::query_as(include_str!("sql/workers.sql")).bind(here).bind(stale.as_secs_f64()).fetch_all(db).await?;
    Ok(LivingWorkers { here: i64::try_from(living.len()).unwrap_or(i64::MAX), elsewhere })
}

/// The row of a worker of this process.
#[derive(Debug, Default)]
pub(super) struct WorkerRow {
    /// When it was last written.
    written: Mutex<Option<Instant>>,
}

impl WorkerRow {
    fn written(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the row, unless it was written within `interval`.
    pub(super) async fn renew(
        &self,
        db: &PgPool,
        worker: &WorkerId,
        hostname: &str,
        interval: Duration,
    ) -> Result<(), DbError> {
        if self.written().is_some_and(|at| at.elapsed() < interval) {
            return Ok(());
        }
        let now = Instant::now();
        sqlx::query(include_str!("sql/renew_worker.sql")).bind(worker.as_str()).bind(hostname).execute(db).await?;
        *self.written() = Some(now);
        Ok(())
    }

    /// Deletes the row, if it was written.
    pub(super) async fn leave(&self, db: &PgPool, worker: &WorkerId) {
        if self.written().take().is_none() {
            return;
        }
        let (db, worker) = (db.clone(), worker.clone());
        // In a separate task, so that the statement is not dropped if the database is unreachable.
        let said = tokio::spawn(async move { forget_worker(&db, worker.as_str()).await });
        if !matches!(tokio::time::timeout(FAREWELL, said).await, Ok(Ok(Ok(())))) {
            tracing::debug!("the row of a worker that has ended could not be removed: it is not renewed any more");
        }
    }
}

/// Deletes the row of a worker that has ended, or whose process is dead.
pub(super) async fn forget_worker(db: &PgPool, worker: &str) -> Result<(), DbError> {
    sqlx::query("delete from ingestion_workers where worker_id = $1").bind(worker).execute(db).await?;
    Ok(())
}

/// Deletes the rows of workers that were killed long ago.
pub(super) async fn forget_old_workers(db: &PgPool) -> Result<(), DbError> {
    sqlx::query("delete from ingestion_workers where seen_at < now() - make_interval(secs => $1)")
        .bind(KEPT_SECS)
        .execute(db)
        .await?;
    Ok(())
}
