//! Records that could not be archived: their bytes, and why.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::Engine;
use super::lease::Lease;
use super::unit_error::UnitError;
use crate::archive::codec::encode_zstd;
use crate::db::DbError;
use crate::words::Pmid;

/// A quarantined record.
#[derive(Clone, Debug, FromRow, serde::Serialize)]
pub struct Quarantined {
    /// Number of the entry.
    pub id: i64,
    /// The job that met it.
    pub job_id: Uuid,
    /// The unit that met it.
    pub unit_id: Uuid,
    /// Names it within its unit: the position in its file.
    pub n: i64,
    /// Its PMID, if it could be read.
    pub pmid: Option<String>,
    /// The file.
    pub source: String,
    /// What is wrong.
    pub reason: String,
    /// Where its bytes are.
    pub uri: String,
    /// When it was met.
    pub created_at: DateTime<Utc>,
    /// How it came: `bulk_file` or `efetch`.
    pub api: String,
    /// What it is as of; unknown for those of early versions.
    pub as_of: Option<DateTime<Utc>>,
    /// Number of its file, else 0.
    pub file_number: i32,
    /// Position in its file, else 0.
    pub position: i64,
}

/// A record that cannot be archived.
#[derive(Clone, Copy, Debug)]
pub struct Rejected<'a> {
    /// Names it within its unit.
    pub n: i64,
    /// Its PMID, if it could be read.
    pub pmid: Option<Pmid>,
    /// How it came: `bulk_file` or `efetch`.
    pub api: &'a str,
    /// The file, or the endpoint.
    pub source: &'a str,
    /// What is wrong.
    pub reason: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// What it is as of.
    pub as_of: DateTime<Utc>,
    /// Number of its file, else 0.
    pub file_number: i32,
    /// Position in its file, else 0.
    pub position: i64,
}

/// A record that came whole, and what it is as of: damaged ones of its PMID from before are of no use any more.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// The record.
    pub pmid: Pmid,
    /// What it is as of.
    pub as_of: DateTime<Utc>,
    /// Number of its file, else 0.
    pub file_number: i32,
}

/// Takes off the list what came damaged before the same records came whole; the bytes stay where they are. Two files
/// are ordered by their numbers, everything else by time.
pub(super) async fn release_older(db: &mut PgConnection, whole: &[Whole]) -> Result<(), DbError> {
    if whole.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("sql/release_older.sql"))
        .bind(whole.iter().map(|one| one.pmid.to_string()).collect::<Vec<_>>())
        .bind(whole.iter().map(|one| one.as_of).collect::<Vec<_>>())
        .bind(whole.iter().map(|one| one.file_number).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

impl Lease {
    /// Puts a record's bytes aside; its outcome line is committed with its batch. Doing it again
    /// after a crash changes nothing. Answers where the bytes are.
    pub async fn quarantine(&self, engine: &Engine, rejected: &Rejected<'_>) -> Result<String, UnitError> {
        let key = engine.archive.layout().quarantine(self.job, self.unit, rejected.n);
        let uri = engine.archive.put_once(key, encode_zstd(rejected.bytes)).await?;
        let pmid = rejected.pmid.map(|pmid| pmid.to_string());
        sqlx::query(include_str!("sql/quarantine.sql"))
            .bind(self.job.0)
            .bind(self.unit.0)
            .bind(rejected.n)
            .bind(&pmid)
            .bind(rejected.source)
            .bind(rejected.reason)
            .bind(&uri)
            .bind(rejected.api)
            .bind(rejected.as_of)
            .bind(rejected.file_number)
            .bind(rejected.position)
            .execute(&engine.db)
            .await?;
        let reason = rejected.reason;
        tracing::warn!(pmid, s3_uri = uri, status = "failed", reason, "a record went to quarantine");
        Ok(uri)
    }
}

/// Quarantined records, newest first.
pub async fn quarantined(db: &PgPool, job: Option<Uuid>, limit: i64) -> Result<Vec<Quarantined>, DbError> {
    Ok(sqlx::query_as("select * from quarantine where $1::uuid is null or job_id = $1 order by id desc limit $2")
        .bind(job)
        .bind(limit)
        .fetch_all(db)
        .await?)
}

/// One quarantined record.
pub async fn quarantined_one(db: &PgPool, id: i64) -> Result<Option<Quarantined>, DbError> {
    Ok(sqlx::query_as("select * from quarantine where id = $1").bind(id).fetch_optional(db).await?)
}

/// Takes a record off the list, because it is archived now; its bytes stay where they are.
pub async fn release(db: &PgPool, id: i64) -> Result<(), DbError> {
    sqlx::query("delete from quarantine where id = $1").bind(id).execute(db).await?;
    Ok(())
}
