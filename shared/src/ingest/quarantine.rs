//! Records that could not be archived: their bytes, and why.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};
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
    /// Position in its file.
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
}

impl Lease {
    /// Puts a record's bytes aside; its outcome line is committed with its batch. Doing it again
    /// after a crash changes nothing. Answers where the bytes are.
    pub async fn quarantine(
        &self,
        engine: &Engine,
        n: i64,
        pmid: Option<Pmid>,
        source: &str,
        reason: &str,
        bytes: &[u8],
    ) -> Result<String, UnitError> {
        let key = engine.archive.layout().quarantine(self.job, self.unit, n);
        let uri = engine.archive.put_once(key, encode_zstd(bytes)).await?;
        sqlx::query(
            "insert into quarantine (job_id, unit_id, n, pmid, source, reason, uri) \
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (unit_id, n) do nothing",
        )
        .bind(self.job.0)
        .bind(self.unit.0)
        .bind(n)
        .bind(pmid.map(|pmid| pmid.to_string()))
        .bind(source)
        .bind(reason)
        .bind(&uri)
        .execute(&engine.db)
        .await?;
        let pmid = pmid.map(|pmid| pmid.to_string());
        tracing::warn!(pmid, s3_uri = uri, status = "failed", reason, "a record went to quarantine");
        Ok(uri)
    }
}

/// Quarantined records, newest first.
pub async fn quarantined(db: &PgPool, job: Option<Uuid>, limit: i64) -> Result<Vec<Quarantined>, DbError> {
    Ok(sqlx::query_as(
        "select id, job_id, n, pmid, source, reason, uri, created_at from quarantine \
         where $1::uuid is null or job_id = $1 order by id desc limit $2",
    )
    .bind(job)
    .bind(limit)
    .fetch_all(db)
    .await?)
}

/// One quarantined record.
pub async fn quarantined_one(db: &PgPool, id: i64) -> Result<Option<Quarantined>, DbError> {
    Ok(sqlx::query_as("select id, job_id, n, pmid, source, reason, uri, created_at from quarantine where id = $1")
        .bind(id)
        .fetch_optional(db)
        .await?)
}
