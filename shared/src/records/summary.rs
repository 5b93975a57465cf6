//! What is in the archive, in a few numbers.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};

use crate::db::{self, DbError};

/// Numbers for `status`.
#[derive(Clone, Debug, FromRow, serde::Serialize)]
pub struct Summary {
    /// Records with a live pointer.
    pub live: i64,
    /// Deleted records.
    pub deleted: i64,
    /// Distinct payloads.
    pub payloads: i64,
    /// Accepted changes.
    pub events: i64,
    /// When the last change was accepted.
    pub last_change_at: Option<DateTime<Utc>>,
    /// Jobs that wait.
    pub jobs_queued: i64,
    /// Jobs that run.
    pub jobs_running: i64,
    /// Workers with a unit.
    pub workers: i64,
    /// Records in quarantine.
    pub quarantined: i64,
}

/// Counts what there is.
pub async fn summary(db: &PgPool) -> Result<Summary, DbError> {
    // Counts whole tables.
    let mut patient = db::patient(db).await?;
    Ok(sqlx::query_as(include_str!("summary.sql")).fetch_one(&mut *patient).await?)
}
