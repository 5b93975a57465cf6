//! Attempts at units: each claim is one, with its end and the reason for it.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::db::DbError;
use bio_mcp_core::JobId;

/// An attempt at a unit.
#[derive(Clone, Debug, FromRow, serde::Serialize)]
pub struct Attempt {
    pub unit_id: Uuid,
    pub phase: String,
    /// Number of the unit in the phase.
    pub seq: i32,
    /// Epoch of the claim.
    pub epoch: i64,
    /// Number of the attempt, of those that are counted: 1 plus the number of earlier ones that ended without progress.
    pub attempt: i32,
    /// Worker that claimed the unit.
    pub worker_id: String,
    /// Machine of the worker.
    pub worker_hostname: String,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
    /// When the worker started the unit.
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// `completed`, `failed`, `cancelled`, `released` (the worker stopped), `snoozed` (a dependency was unavailable) or
    /// `reclaimed` (the worker was silent for too long).
    pub ended_as: Option<String>,
    pub error_code: Option<String>,
    /// Message for people; for a snoozed attempt, the unavailable dependency.
    pub error_message: Option<String>,
}

/// The last attempts at units of a job that did not complete their units, oldest first.
pub async fn troubled_attempts(db: &PgPool, job: JobId, limit: i64) -> Result<Vec<Attempt>, DbError> {
    Ok(sqlx::query_as(include_str!("sql/troubled_attempts.sql")).bind(job.0).bind(limit).fetch_all(db).await?)
}
