//! Finds lost work: units of dead workers, overdue and stranded jobs, expired rows.

use std::path::Path;

use uuid::Uuid;

use super::unit_error::UnitError;
use super::{Engine, Presence, chain, finalise, living};
use crate::db::{self, DbError, clock};
use crate::jobs;
use bio_mcp_core::JobId;

/// Result of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Units reclaimed.
    pub reclaimed: i32,
    /// Jobs failed at their deadline.
    pub overdue: u64,
    /// Jobs finalised here because no worker had finalised them.
    pub finalised: u64,
    /// Steps of chains submitted here because they could not be submitted when the job before them ended.
    pub continued: u64,
    /// Expired rows of jobs that were deleted.
    pub expired: u64,
    /// Stored times that were in the future and were pulled back.
    pub corrected: usize,
}

/// Sweeps once. `presence` is the directory with the locks of this machine's workers.
pub async fn sweep(engine: &Engine, presence: Option<&Path>) -> Result<Swept, UnitError> {
    let mut swept = Swept::default();
    if let Some(dir) = presence {
        swept.reclaimed += reclaim_of_the_dead(engine, dir).await?;
    }
    swept.corrected = clock::pull_back_jobs(&engine.db).await?.len();
    let stale = i32::try_from(engine.settings.stale.as_secs()).unwrap_or(i32::MAX);
    let reclaimed: i32 =
        sqlx::query_scalar("select reclaim_stale_work_units($1)").bind(stale).fetch_one(&engine.db).await?;
    swept.reclaimed += reclaimed;
    swept.overdue = give_up_overdue(engine).await?;
    let over: Vec<Uuid> = sqlx::query_scalar(include_str!("sql/stranded.sql")).fetch_all(&engine.db).await?;
    for job in over {
        // A job that cannot be finalised does not delay the others.
        match finalise(engine, JobId(job)).await {
            Ok(done) => swept.finalised += u64::from(done),
            Err(error) => tracing::warn!(job_id = %job, %error, "the job cannot be finalised yet"),
        }
    }
    swept.continued = chain::submit_waiting(engine).await?;
    swept.expired = jobs::expire(&engine.db).await?;
    living::forget_old_workers(&engine.db).await?;
    for upkeep in &*engine.upkeep {
        match upkeep.sweep(engine).await {
            Ok(corrected) => swept.corrected += corrected,
            Err(error) => tracing::warn!(error = bio_mcp_core::chain(&error), "a part of the sweep failed"),
        }
    }
    Ok(swept)
}

/// Reclaims the units of workers of this machine whose process is dead.
pub(super) async fn reclaim_of_the_dead(engine: &Engine, dir: &Path) -> Result<i32, UnitError> {
    let mut reclaimed = 0;
    for worker in Presence::dead_workers(dir).unwrap_or_default() {
        let units: i32 =
            sqlx::query_scalar("select reclaim_work_units_of($1)").bind(&worker).fetch_one(&engine.db).await?;
        if units > 0 {
            tracing::warn!(worker_id = worker, units, "a worker died; its units are taken over");
        }
        reclaimed += units;
        // Before its lock file is deleted, which shows that it is dead.
        living::forget_worker(&engine.db, &worker).await?;
        Presence::forget(dir, &worker);
    }
    Ok(reclaimed)
}

/// Fails the waiting units of jobs past their deadline; running ones stop at their next batch.
async fn give_up_overdue(engine: &Engine) -> Result<u64, DbError> {
    let overdue: Vec<Uuid> =
        sqlx::query_scalar("select id from jobs where state in ('queued', 'running') and deadline_at < now()")
            .fetch_all(&engine.db)
            .await?;
    let mut given_up = 0;
    for job in overdue {
        match give_up(engine, job).await {
            Ok(is_given_up) => given_up += u64::from(is_given_up),
            Err(error) => tracing::warn!(job_id = %job, %error, "the overdue job cannot be given up yet"),
        }
    }
    Ok(given_up)
}

async fn give_up(engine: &Engine, job: Uuid) -> Result<bool, DbError> {
    let mut tx = db::begin(&engine.db).await?;
    sqlx::query("select 1 from jobs where id = $1 for update").bind(job).execute(&mut *tx).await?;
    let failed = sqlx::query(
        "update ingestion_work_units set status = 'failed', completed_at = now(), \
         error_code = 'DEADLINE_EXCEEDED', error_message = 'the job''s time limit has passed' \
         where job_id = $1 and status = 'pending'",
    )
    .bind(job)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    sqlx::query("update jobs set units_failed = units_failed + $2 where id = $1 and $2 > 0")
        .bind(job)
        .bind(i32::try_from(failed).unwrap_or(i32::MAX))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(failed > 0)
}

/// Number of claimed units without a heartbeat for this long: a sweep would have reclaimed them.
pub async fn stuck_units(db: &sqlx::PgPool, silent: std::time::Duration) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar(
        "select count(*) from ingestion_work_units \
         where status in ('claimed', 'processing') and heartbeat_at < now() - make_interval(secs => $1)",
    )
    .bind(silent.as_secs_f64())
    .fetch_one(db)
    .await?)
}
