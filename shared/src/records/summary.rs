//! Key figures of the archive.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};

use crate::db::{self, DbError};

/// Figures for `status`.
#[derive(Clone, Debug, FromRow, serde::Serialize)]
pub struct ArchiveSummary {
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
    /// Waiting jobs.
    pub jobs_queued: i64,
    /// Running jobs.
    pub jobs_running: i64,
    /// Records in quarantine, counted up to 100,000.
    pub quarantined: i64,
}

/// The current figures; none of them is counted over the archive's rows.
pub async fn summary(db: &PgPool) -> Result<ArchiveSummary, DbError> {
    Ok(sqlx::query_as(include_str!("summary.sql")).fetch_one(db).await?)
}

/// Whether the stored counts differ from the rows; counts every row.
pub async fn wrong_counts(db: &PgPool) -> Result<bool, DbError> {
    let mut patient = db::patient(db).await?;
    let sql = "select (c.deleted, c.payloads, c.events) <> (r.deleted, r.payloads, r.events) from archive_counts c cross join archive_counted r";
    Ok(sqlx::query_scalar(sql).fetch_one(&mut *patient).await?)
}

/// Counts again and corrects the stored counts.
pub async fn recount(db: &PgPool) -> Result<(), DbError> {
    let mut patient = db::patient(db).await?;
    let mut tx = patient.begin().await?;
    sqlx::query("select from archive_event_counter for update").execute(&mut *tx).await?;
    let sql = "update archive_counts c set deleted = r.deleted, payloads = r.payloads, events = r.events from archive_counted r \
               where (c.deleted, c.payloads, c.events) <> (r.deleted, r.payloads, r.events)";
    sqlx::query(sql).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}
