//! Which workers live, on every machine.
//!
//! Each worker that runs until it is told to stop has a row, which it renews while it waits for work and, with the
//! heartbeat of its unit, while it works. The locks of [`Presence`] say the same of this machine at once; a row says it
//! of every machine, and of a worker that was killed until it is as old as a unit that is taken back.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;

use super::Presence;
use super::presence::Census;
use crate::db::DbError;
use bio_mcp_core::WorkerId;

/// How long the end of a worker waits for its row to go: one that stays is silent from now on.
const FAREWELL: Duration = Duration::from_secs(2);

/// Rows of workers that were not seen for so long go, in seconds.
const KEPT_SECS: f64 = 86_400.0;

/// Workers that live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LivingWorkers {
    /// Those that hold a lock in the directory that was looked at.
    pub here: i64,
    /// The others, by the names of their machines.
    pub elsewhere: Vec<(String, i64)>,
}

impl LivingWorkers {
    /// How many there are.
    pub fn count(&self) -> i64 {
        self.elsewhere.iter().fold(self.here, |sum, (_, workers)| sum.saturating_add(*workers))
    }
}

/// The workers that live, with or without a unit: those that hold a lock in `dir`, and the others that were heard of
/// within `stale`. A worker of a function is heard of only while it has a unit.
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

    /// Says that the worker lives, unless it did so within `interval`.
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

    /// Says that the worker has ended, if it ever said that it lives.
    pub(super) async fn leave(&self, db: &PgPool, worker: &WorkerId) {
        if self.written().take().is_none() {
            return;
        }
        let (db, worker) = (db.clone(), worker.clone());
        // In a task of its own, so that the statement is not dropped where the database is unreachable.
        let said = tokio::spawn(async move { forget_worker(&db, worker.as_str()).await });
        if !matches!(tokio::time::timeout(FAREWELL, said).await, Ok(Ok(Ok(())))) {
            tracing::debug!("the row of a worker that has ended could not be removed: it is not renewed any more");
        }
    }
}

/// Removes the row of a worker that has ended, or whose process is gone.
pub(super) async fn forget_worker(db: &PgPool, worker: &str) -> Result<(), DbError> {
    sqlx::query("delete from ingestion_workers where worker_id = $1").bind(worker).execute(db).await?;
    Ok(())
}

/// Removes the rows of workers that were killed long ago.
pub(super) async fn forget_old_workers(db: &PgPool) -> Result<(), DbError> {
    sqlx::query("delete from ingestion_workers where seen_at < now() - make_interval(secs => $1)")
        .bind(KEPT_SECS)
        .execute(db)
        .await?;
    Ok(())
}
