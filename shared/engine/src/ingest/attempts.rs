//! Attempts at units: each claim is one, and keeps how it ended and why.

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
    /// Its number in the phase.
    pub seq: i32,
    /// The epoch of the claim.
    pub epoch: i64,
    /// Which attempt it was, of those that are counted: 1, or one more than ended without progress before it.
    pub attempt: i32,
    /// The worker that claimed it.
    pub worker_id: String,
    /// Its machine.
    pub worker_hostname: String,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
    /// When the worker began.
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// `completed`, `failed`, `cancelled`, `released` (the worker stopped), `snoozed` (what it needed was not there) or
    /// `reclaimed` (the worker was silent for too long).
    pub ended_as: Option<String>,
    pub error_code: Option<String>,
    /// The same as a sentence; of a snoozed one what was missing.
    pub error_message: Option<String>,
}

/// The last attempts at units of a job that did not complete them, oldest first.
pub async fn troubled_attempts(db: &PgPool, job: JobId, limit: i64) -> Result<Vec<Attempt>, DbError> {
    Ok(sqlx::query_as(include_str!("sql/troubled_attempts.sql")).bind(job.0).bind(limit).fetch_all(db).await?)
}
