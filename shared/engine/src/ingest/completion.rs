//! The end of a claimed unit: completed, failed, released for later, or cancelled.
//!
//! Each ending is one transaction under the job's lock, so that the last unit of a phase is known
//! to be the last.

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Engine;
use super::lease::{JobProgressed, Lease, fenced};
use super::outcomes;
use super::plan::{NewUnit, Plan};
use super::unit_error::UnitError;
use super::unit_status::{ReleaseKind, UnitStatus};
use crate::db::{self, DbError};
use crate::jobs::{self, Level, Progress};
use bio_mcp_core::{ErrorCode, JobId, UnitId};

impl Lease {
    /// Completes a planning unit and inserts the units of its phase in the same commit.
    pub async fn complete_plan(&self, engine: &Engine, plan: &Plan) -> Result<JobProgressed, UnitError> {
        let mut tx = db::begin(&engine.db).await?;
        let job = self.lock_job(&mut tx).await?;
        self.finish(&mut tx, UnitStatus::Completed, None).await?;
        insert_units(&mut tx, self.job, &self.phase, 1, &plan.units).await?;
        let mut progress = job.progress;
        progress.plan(plan.work_total, plan.records_total);
        sqlx::query(
            "update jobs set units_total = units_total + $2, units_done = units_done + 1, progress = $3 where id = $1",
        )
        .bind(self.job.0)
        .bind(i32::try_from(plan.units.len()).unwrap_or(i32::MAX))
        .bind(Json(progress))
        .execute(&mut *tx)
        .await?;
        self.replace_release(&mut tx, plan).await?;
        let may_continue: bool = sqlx::query_scalar(include_str!("sql/begin_ingest.sql"))
            .bind(self.job.0)
            .bind(&plan.external_version)
            .bind(plan.is_whole)
            .bind(plan.is_release)
            .bind(&plan.source_digest)
            .fetch_one(&mut *tx)
            .await?;
        if !may_continue {
            let message = format!("{} is ingested already, or being ingested by another job", plan.external_version);
            return Err(UnitError::permanent(ErrorCode::AlreadyExists, message));
        }
        if let Some(rows) = &plan.rows {
            rows.write(&mut tx, &mut []).await?;
        }
        let fields = json!({ "phase": self.phase, "units": plan.units.len(), "records": plan.records_total });
        jobs::write_log(&mut tx, self.job, Level::Info, "planned", fields).await?;
        let progressed = self.advance_phase(&mut tx, engine).await?;
        tx.commit().await?;
        jobs::wake_soon(&engine.db);
        Ok(progressed)
    }

    /// Replaces an earlier ingest of the same release version with other content, if a whole release is planned.
    async fn replace_release(&self, tx: &mut PgConnection, plan: &Plan) -> Result<(), DbError> {
        let (true, true, Some(digest)) = (plan.is_release, plan.is_whole, &plan.source_digest) else { return Ok(()) };
        let replaced: Option<Uuid> = sqlx::query_scalar(include_str!("sql/replace_release.sql"))
            .bind(self.job.0)
            .bind(&plan.external_version)
            .bind(digest)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(replaced) = replaced else { return Ok(()) };
        let message = "this version was ingested from other content: this run replaces that one";
        let fields = json!({ "replaced_job_id": replaced, "source_digest": digest });
        jobs::write_log(tx, self.job, Level::Info, message, fields).await
    }

    /// Completes a unit whose batches are all committed.
    pub async fn complete(&self, engine: &Engine) -> Result<JobProgressed, UnitError> {
        let part = outcomes::write_part(engine, self.job, self.unit).await?;
        bio_mcp_core::crash::point("after_part");
        let mut tx = db::begin(&engine.db).await?;
        self.lock_job(&mut tx).await?;
        self.finish(&mut tx, UnitStatus::Completed, part.as_deref()).await?;
        sqlx::query("update jobs set units_done = units_done + 1 where id = $1")
            .bind(self.job.0)
            .execute(&mut *tx)
            .await?;
        if let Some(pipeline) = engine.pipeline(&self.tool) {
            pipeline.completed(&mut tx, self).await?;
        }
        let progressed = self.advance_phase(&mut tx, engine).await?;
        tx.commit().await?;
        Ok(progressed)
    }

    /// Ends a failed attempt: the unit is retried later, or has failed for good.
    pub async fn fail(
        &self,
        engine: &Engine,
        code: ErrorCode,
        message: &str,
        retry: bool,
    ) -> Result<JobProgressed, UnitError> {
        let mut tx = db::begin(&engine.db).await?;
        if self.lock_live_job(&mut tx).await?.is_none() {
            tx.rollback().await?;
            return self.cancel(engine).await;
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
        let progressed = self.advance_phase(&mut tx, engine).await?;
        tx.commit().await?;
        Ok(progressed)
    }

    /// Releases a unit without counting an attempt: the worker stops, or the unit's time limit is reached. The unit of
    /// a cancelled job ends instead, because no worker would claim it again.
    pub async fn release(&self, engine: &Engine) -> Result<JobProgressed, UnitError> {
        self.release_as(engine, Duration::ZERO, ReleaseKind::Released).await
    }

    /// Releases a unit for later without counting an attempt: an external dependency is unavailable.
    pub async fn snooze(&self, engine: &Engine, pause: Duration, why: &str) -> Result<JobProgressed, UnitError> {
        self.release_as(engine, pause, ReleaseKind::Snoozed(why)).await
    }

    async fn release_as(
        &self,
        engine: &Engine,
        pause: Duration,
        kind: ReleaseKind<'_>,
    ) -> Result<JobProgressed, UnitError> {
        let mut tx = db::begin(&engine.db).await?;
        let Some(progress) = self.lock_live_job(&mut tx).await? else {
            tx.rollback().await?;
            return self.cancel(engine).await;
        };
        fenced(
            &sqlx::query(include_str!("sql/release_unit.sql"))
                .bind(self.unit.0)
                .bind(self.epoch)
                .bind(pause.as_secs_f64())
                .bind(kind.as_str())
                .bind(kind.why())
                .execute(&mut *tx)
                .await?,
        )?;
        if let Some(why) = kind.why() {
            let fields = json!({"unit_id": self.unit, "again_in_secs": pause.as_secs()});
            jobs::write_log(&mut tx, self.job, Level::Warn, why, fields).await?;
            let progress = Progress { waiting: Some(why.to_owned()), ..progress };
            sqlx::query("update jobs set progress = $2 where id = $1")
                .bind(self.job.0)
                .bind(Json(progress))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(JobProgressed::UnitsLeft)
    }

    /// Cancels a unit of a cancelled job.
    pub async fn cancel(&self, engine: &Engine) -> Result<JobProgressed, UnitError> {
        let mut tx = db::begin(&engine.db).await?;
        sqlx::query("select 1 from jobs where id = $1 for update").bind(self.job.0).execute(&mut *tx).await?;
        self.finish(&mut tx, UnitStatus::Cancelled, None).await?;
        let progressed = self.advance_phase(&mut tx, engine).await?;
        tx.commit().await?;
        Ok(progressed)
    }

    /// Locks the job and returns its progress; none if it is cancelled. Units of an overdue job end as usual.
    async fn lock_live_job(&self, tx: &mut PgConnection) -> Result<Option<Progress>, UnitError> {
        let job = self.lock_row(tx).await?;
        Ok((!job.cancelled).then_some(job.progress))
    }

    async fn finish(&self, tx: &mut PgConnection, status: UnitStatus, part: Option<&str>) -> Result<(), UnitError> {
        fenced(
            &sqlx::query(include_str!("sql/finish_unit.sql"))
                .bind(self.unit.0)
                .bind(self.epoch)
                .bind(status.as_str())
                .bind(part)
                .bind(i64::try_from(self.claimed.elapsed().as_millis()).unwrap_or(i64::MAX))
                .execute(tx)
                .await?,
        )
    }

    /// Under the job's lock: checks whether units are left, and otherwise starts the next phase, if there is one.
    async fn advance_phase(&self, tx: &mut PgConnection, engine: &Engine) -> Result<JobProgressed, UnitError> {
        let (left, failed, cancelled): (bool, bool, bool) =
            sqlx::query_as(include_str!("sql/advance_phase.sql")).bind(self.job.0).fetch_one(&mut *tx).await?;
        if left {
            return Ok(JobProgressed::UnitsLeft);
        }
        let phases = engine.pipeline(&self.tool).map_or(&[][..], |pipeline| pipeline.phases());
        let next = phases.iter().skip_while(|phase| **phase != self.phase).nth(1);
        let Some(next) = next.filter(|_| !failed && !cancelled) else { return Ok(JobProgressed::JobOver) };
        let plans_it = NewUnit { input: json!({}), ..NewUnit::default() };
        insert_units(&mut *tx, self.job, next, 0, &[plans_it]).await?;
        sqlx::query("update jobs set units_total = units_total + 1 where id = $1")
            .bind(self.job.0)
            .execute(&mut *tx)
            .await?;
        // Once per phase: with the commit itself.
        jobs::wake_at_commit(tx).await?;
        Ok(JobProgressed::UnitsLeft)
    }
}

/// Inserts units of a phase, numbered from `first` on.
async fn insert_units(
    tx: &mut PgConnection,
    job: JobId,
    phase: &str,
    first: i32,
    units: &[NewUnit],
) -> Result<(), DbError> {
    if units.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = units.iter().map(|_| UnitId::new().0).collect();
    let numbers: Vec<i32> = (first..).zip(units).map(|(seq, _)| seq).collect();
    sqlx::query(include_str!("sql/insert_units.sql"))
        .bind(job.0)
        .bind(phase)
        .bind(ids)
        .bind(numbers)
        .bind(units.iter().map(|unit| Json(&unit.input)).collect::<Vec<_>>())
        .bind(units.iter().map(|unit| unit.required_hostname.as_deref()).collect::<Vec<_>>())
        .bind(units.iter().map(|unit| unit.label.as_deref()).collect::<Vec<_>>())
        .execute(tx)
        .await?;
    Ok(())
}
