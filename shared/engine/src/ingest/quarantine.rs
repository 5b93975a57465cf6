//! Records that could not be archived: their bytes, and why.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::Engine;
use super::lease::Lease;
use super::unit_error::UnitError;
use crate::db::DbError;
use bio_mcp_archive::codec::encode_zstd;
use bio_mcp_core::RecordKey;

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
    pub record_type: String,
    /// Its identifier, if that could be read.
    pub record_id: Option<String>,
    /// Where it came from: a file, an endpoint.
    pub source: String,
    pub reason: String,
    /// Where its bytes are.
    pub uri: String,
    /// When it was met.
    pub created_at: DateTime<Utc>,
    /// What its source wrote about it, for itself.
    #[serde(skip)]
    pub source_metadata: Value,
}

/// A record that cannot be archived.
#[derive(Clone, Debug)]
pub struct Rejected<'a> {
    /// Names it within its unit.
    pub n: i64,
    pub key: &'a RecordKey,
    /// Where it came from: a file, an endpoint.
    pub source: &'a str,
    pub reason: &'a str,
    pub bytes: &'a [u8],
    /// What its source wants to know of it later.
    pub source_metadata: Value,
}

impl Lease {
    /// Puts a record's bytes aside; its outcome is committed with its batch. Doing it again
    /// after a crash changes nothing. Returns where the bytes are.
    pub async fn quarantine(&self, engine: &Engine, rejected: &Rejected<'_>) -> Result<String, UnitError> {
        let key = engine.archive.layout().quarantine(self.job, self.unit, rejected.n);
        let uri = engine.archive.put_once(key, encode_zstd(rejected.bytes)).await?;
        sqlx::query(include_str!("sql/quarantine.sql"))
            .bind(self.job.0)
            .bind(self.unit.0)
            .bind(rejected.n)
            .bind(rejected.key.record_type.name())
            .bind(&rejected.key.id)
            .bind(rejected.source)
            .bind(rejected.reason)
            .bind(&uri)
            .bind(&rejected.source_metadata)
            .execute(&engine.db)
            .await?;
        Ok(uri)
    }
}

/// Columns of [`Quarantined`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, job_id, unit_id, n, record_type, record_id, source, reason, uri, created_at, source_metadata ",
            "from quarantine ",
            $rest
        )
    };
}

/// Quarantined records, newest first.
pub async fn quarantined(db: &PgPool, job: Option<Uuid>, limit: i64) -> Result<Vec<Quarantined>, DbError> {
    Ok(sqlx::query_as(select!("where $1::uuid is null or job_id = $1 order by id desc limit $2"))
        .bind(job)
        .bind(limit)
        .fetch_all(db)
        .await?)
}

/// One quarantined record.
pub async fn quarantined_one(db: &PgPool, id: i64) -> Result<Option<Quarantined>, DbError> {
    Ok(sqlx::query_as(select!("where id = $1")).bind(id).fetch_optional(db).await?)
}

/// Takes a record off the list, because it is archived now; its bytes stay where they are.
pub async fn release(db: &PgPool, id: i64) -> Result<(), DbError> {
    sqlx::query("delete from quarantine where id = $1").bind(id).execute(db).await?;
    Ok(())
}
