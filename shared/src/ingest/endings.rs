//! How a claimed unit ends: completed, failed, handed back for later, or stopped.
//!
//! Each ending is one transaction under the job's lock, so that the last unit of a phase is known
//! to be the last.

use std::time::Duration;

use serde_json::json;
use sqlx::{PgConnection, Postgres, Transaction};

use super::Engine;
use super::lease::{Lease, Settled, fenced};
use super::outcomes;
use super::plan::{NewUnit, Plan};
use super::unit_error::UnitError;
use crate::db::{self, DbError};
use crate::jobs::{self, Level};
use crate::words::{ErrorCode, JobId, UnitId};

impl Lease {
    /// Completes a planning unit: its phase's units are there in the same commit.
    pub async fn complete_plan(&self, engine: &Engine, plan: &Plan) -> Result<Settled, UnitError> {
        let mut tx = db::begin(&engine.db).await?;
        let job = self.lock_job(&mut tx).await?;
        self.finish(&mut tx, "completed", None).await?;
        for (n, unit) in (1..).zip(&plan.units) {
            insert_unit(&mut tx, self.job, &self.phase, n, unit).await?;
        }
        let mut progress = job.progress;
        progress["work_total"] = json!(plan.work_total);
        progress["work_done"] = json!(0);
        if let Some(total) = plan.records_total {
            progress["total"] = json!(total);
        }
        sqlx::query(
            "update jobs set units_total = units_total + $2, units_done = units_done + 1, progress = $3 where id = $1",
        )
        .bind(self.job.0)
        .bind(i32::try_from(plan.units.len()).unwrap_or(i32::MAX))
        .bind(progress)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into ingestion_jobs (id, organization_id, job_type, external_version, is_whole, status, started_at) \
             select id, principal, tool, $2, $3, 'parsing', now() from jobs where id = $1 on conflict (id) do nothing",
        )
        .bind(self.job.0)
        .bind(&plan.external_version)
        .bind(plan.is_whole)
        .execute(&mut *tx)
        .await?;
        let fields = json!({ "phase": self.phase, "units": plan.units.len(), "records": plan.records_total });
        jobs::write_log(&mut tx, self.job, Level::Info, "planned", fields).await?;
        let settled = self.settle(&mut tx, engine).await?;
        tx.commit().await?;
        jobs::wake_soon(&engine.db);
        Ok(settled)
    }

    /// Completes a unit whose batches are all committed.
    pub async fn complete(&self, engine: &Engine) -> Result<Settled, UnitError> {
        let part = outcomes::write_part(engine, self.job, self.unit).await?;
        crate::words::crash::point("after_part");
        let mut tx = db::begin(&engine.db).await?;
        self.lock_job(&mut tx).await?;
        self.finish(&mut tx, "completed", part.as_deref()).await?;
        sqlx::query("update jobs set units_done = units_done + 1 where id = $1")
            .bind(self.job.0)
            .execute(&mut *tx)
            .await?;
        if let Some(pipeline) = engine.pipeline(&self.tool) {
            pipeline.completed(&mut tx, self).await?;
        }
        let settled = self.settle(&mut tx, engine).await?;
        tx.commit().await?;
        Ok(settled)
    }

    /// Ends an attempt that failed: another one later, or the unit has failed for good.
    pub async fn fail(
        &self,
        engine: &Engine,
        code: ErrorCode,
        message: &str,
        retry: bool,
    ) -> Result<Settled, UnitError> {
        let mut tx = db::begin(&engine.db).await?;
        if self.is_cancelled(&mut tx).await? {
            tx.rollback().await?;
            return self.stop(engine).await;
        }
        let failed: Option<bool> = sqlx::query_scalar(include_str!("sql/fail_unit.sql"))
            .bind(self.unit.0)
            .bind(self.epoch)
            .bind(code.as_str())
            .bind(message)
            .bind(retry)
            .fetch_optional(&mut *tx)
            .await?;
        let failed = failed.ok_or(UnitError::LeaseLost)?;
        if failed {
            sqlx::query("update jobs set units_failed = units_failed + 1 where id = $1")
                .bind(self.job.0)
                .execute(&mut *tx)
                .await?;
        }
        let level = if failed { Level::Error } else { Level::Warn };
        let fields = json!({"unit_id": self.unit, "error_code": code, "attempt": self.attempt, "final": failed});
        jobs::write_log(&mut tx, self.job, level, message, fields).await?;
        let settled = self.settle(&mut tx, engine).await?;
        tx.commit().await?;
        Ok(settled)
    }

    /// Gives a unit back without blame: the worker stops, or the unit's time is up. A cancelled
    /// job's unit ends instead, because no worker would claim it again.
    pub async fn hand_back(&self, engine: &Engine) -> Result<Settled, UnitError> {
        self.give_back(engine, Duration::ZERO, None).await
    }

    /// Gives a unit back without blame, for later: what it needs from outside is not there now.
    pub async fn snooze(&self, engine: &Engine, pause: Duration, why: &str) -> Result<Settled, UnitError> {
        self.give_back(engine, pause, Some(why)).await
    }

    async fn give_back(&self, engine: &Engine, pause: Duration, why: Option<&str>) -> Result<Settled, UnitError> {
        let mut tx = db::begin(&engine.db).await?;
        if self.is_cancelled(&mut tx).await? {
            tx.rollback().await?;
            return self.stop(engine).await;
        }
        fenced(
            &sqlx::query(include_str!("sql/give_back.sql"))
                .bind(self.unit.0)
                .bind(self.epoch)
                .bind(pause.as_secs_f64())
                .execute(&mut *tx)
                .await?,
        )?;
        if let Some(why) = why {
            let fields = json!({"unit_id": self.unit, "again_in_secs": pause.as_secs()});
            jobs::write_log(&mut tx, self.job, Level::Warn, why, fields).await?;
            sqlx::query("update jobs set progress = progress || jsonb_build_object('waiting', $2::text) where id = $1")
                .bind(self.job.0)
                .bind(why)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(Settled::UnitsLeft)
    }

    /// Ends a unit of a cancelled job.
    pub async fn stop(&self, engine: &Engine) -> Result<Settled, UnitError> {
        let mut tx = db::begin(&engine.db).await?;
        sqlx::query("select 1 from jobs where id = $1 for update").bind(self.job.0).execute(&mut *tx).await?;
        self.finish(&mut tx, "cancelled", None).await?;
        let settled = self.settle(&mut tx, engine).await?;
        tx.commit().await?;
        Ok(settled)
    }

    /// Locks the job; an overdue one lets its units end as they do.
    async fn is_cancelled(&self, tx: &mut PgConnection) -> Result<bool, UnitError> {
        match self.lock_job(tx).await {
            Err(UnitError::Cancelled) => Ok(true),
            Ok(_) | Err(UnitError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn finish(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        status: &str,
        part: Option<&str>,
    ) -> Result<(), UnitError> {
        fenced(
            &sqlx::query(include_str!("sql/finish_unit.sql"))
                .bind(self.unit.0)
                .bind(self.epoch)
                .bind(status)
                .bind(part)
                .bind(i64::try_from(self.claimed.elapsed().as_millis()).unwrap_or(i64::MAX))
                .execute(&mut **tx)
                .await?,
        )
    }

    /// Under the job's lock: is anything left, and if not, is there a next phase?
    async fn settle(&self, tx: &mut Transaction<'_, Postgres>, engine: &Engine) -> Result<Settled, UnitError> {
        let (left, failed, cancelled): (bool, bool, bool) =
            sqlx::query_as(include_str!("sql/settle.sql")).bind(self.job.0).fetch_one(&mut **tx).await?;
        if left {
            return Ok(Settled::UnitsLeft);
        }
        let phases = engine.pipeline(&self.tool).map_or(&[][..], |pipeline| pipeline.phases());
        let next = phases.iter().skip_while(|phase| **phase != self.phase).nth(1);
        let Some(next) = next.filter(|_| !failed && !cancelled) else { return Ok(Settled::JobOver) };
        insert_unit(tx, self.job, next, 0, &NewUnit { input: json!({}), required_hostname: None }).await?;
        sqlx::query("update jobs set units_total = units_total + 1 where id = $1")
            .bind(self.job.0)
            .execute(&mut **tx)
            .await?;
        // Once a phase: by the commit itself.
        jobs::wake_at_commit(tx).await?;
        Ok(Settled::UnitsLeft)
    }
}

async fn insert_unit(
    tx: &mut Transaction<'_, Postgres>,
    job: JobId,
    phase: &str,
    seq: i32,
    unit: &NewUnit,
) -> Result<(), DbError> {
    sqlx::query(
        "insert into ingestion_work_units (id, job_id, phase, seq, input, required_hostname, priority) \
         select $1, id, $3, $4, $5, $6, priority from jobs where id = $2",
    )
    .bind(UnitId::new().0)
    .bind(job.0)
    .bind(phase)
    .bind(seq)
    .bind(&unit.input)
    .bind(&unit.required_hostname)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
