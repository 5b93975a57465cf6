//! Wakes workers: directly after a commit that leaves claimable units, and in the sweep for lost wake-ups.
//!
//! The rows are the outbox. A unit is marked before its message is sent; one whose message was lost is marked again
//! after a while.

use uuid::Uuid;

use super::Engine;
use crate::db::DbError;
use crate::jobs;
use crate::queue::WakeUp;
use bio_mcp_core::{JobId, UnitId, metrics};

/// Units marked by one statement.
const WAKE_BATCH: i64 = 200;

impl Engine {
    /// Wakes workers for claimable units; returns how many messages the queue accepted. The others are sent by the next
    /// call.
    pub async fn wake_workers(&self) -> Result<usize, DbError> {
        if !self.queue.carries_messages() {
            jobs::wake_soon(&self.db);
            return Ok(0);
        }
        let mut taken = 0;
        loop {
            let wake_ups = self.due().await?;
            let sent = self.queue.wake(&wake_ups).await;
            let mut lost = Vec::new();
            for (wake_up, sent) in wake_ups.iter().zip(sent) {
                match sent {
                    Ok(()) => taken += 1,
                    Err(error) => {
                        let error = bio_mcp_core::chain(&error);
                        tracing::warn!(unit_id = %wake_up.unit_id, error, "a wake-up was not sent");
                        lost.push(wake_up.unit_id.0);
                    }
                }
            }
            metrics::wake_ups(wake_ups.len() - lost.len(), lost.len());
            if !lost.is_empty() {
                self.unmark(&lost).await?;
                return Ok(taken);
            }
            if i64::try_from(wake_ups.len()).is_ok_and(|marked| marked < WAKE_BATCH) {
                return Ok(taken);
            }
        }
    }

    /// Like [`Self::wake_workers`], after a commit: a failure is only logged, and the sweep repeats it.
    pub async fn wake_after_commit(&self) {
        if let Err(error) = self.wake_workers().await {
            tracing::warn!(%error, "workers could not be woken");
        }
    }

    /// Wakes a worker for these units again: the previous one had no time for them.
    pub async fn rewake(&self, units: &[UnitId]) -> Result<(), DbError> {
        self.unmark(&units.iter().map(|unit| unit.0).collect::<Vec<_>>()).await?;
        self.wake_workers().await.map(|_| ())
    }

    async fn due(&self) -> Result<Vec<WakeUp>, DbError> {
        let due: Vec<(Uuid, Uuid, String)> = sqlx::query_as(include_str!("sql/dispatch.sql"))
            .bind(i64::from(self.settings.job_units))
            .bind(self.settings.rewake_after.as_secs_f64())
            .bind(serde_json::to_value(&self.settings.tool_limits).expect("numbers by name are JSON"))
            .bind(self.tools())
            .bind(WAKE_BATCH)
            .fetch_all(&self.db)
            .await?;
        let wake_up = |(job, unit, trace_id)| WakeUp { job_id: JobId(job), unit_id: UnitId(unit), trace_id };
        Ok(due.into_iter().map(wake_up).collect())
    }

    async fn unmark(&self, units: &[Uuid]) -> Result<(), DbError> {
        sqlx::query("update ingestion_work_units set woken_at = null where id = any ($1) and status = 'pending'")
            .bind(units)
            .execute(&self.db)
            .await?;
        Ok(())
    }
}
