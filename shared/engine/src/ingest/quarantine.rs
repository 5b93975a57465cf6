//! Records that could not be archived: their bytes, and the reasons.

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
    /// The job that read it.
    pub job_id: Uuid,
    /// The unit that read it.
    pub unit_id: Uuid,
    /// Its number within the unit: the position in its file.
    pub n: i64,
    pub record_type: String,
    /// Identifier of the record, if it could be read.
    pub record_id: Option<String>,
    /// Its source: a file or an endpoint.
    pub source: String,
    pub reason: String,
    /// Address of its bytes.
    pub uri: String,
    /// When it was quarantined.
    pub created_at: DateTime<Utc>,
    /// Metadata written by its source, for later use by the source.
    #[serde(skip)]
    pub source_metadata: Value,
}

/// A record that cannot be archived.
#[derive(Clone, Debug)]
pub struct Rejected<'a> {
    /// Its number within the unit.
    pub n: i64,
    pub key: &'a RecordKey,
    /// Its source: a file or an endpoint.
    pub source: &'a str,
    pub reason: &'a str,
    pub bytes: &'a [u8],
    /// Metadata for later use by its source.
    pub source_metadata: Value,
}

impl Lease {
    /// Quarantines the bytes of a record; its outcome is committed with its batch. A repetition after a crash changes
    /// nothing. Returns the address of the bytes.
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

/// Deletes the entry of a record that has been archived since; its bytes remain.
pub async fn release(db: &PgPool, id: i64) -> Result<(), DbError> {
    sqlx::query("delete from quarantine where id = $1").bind(id).execute(db).await?;
    Ok(())
}
