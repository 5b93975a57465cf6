//! Checkpoints: a corpus as it was at a sequence number of the event log. Nothing is copied: the records of a
//! checkpoint are read from the log, and two checkpoints are compared by the events between them.
//!
//! Digests of the current corpus are maintained by triggers (migration 10).

mod changes;
mod documents;
mod states;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};

pub use changes::{ChangedRecords, CheckpointChanges, changes};
pub use documents::{Document, documents, documents_of};
pub use states::{DatedState, StatesPosition, states_of, states_since};

use crate::db::{self, DbError};

/// Number of days in which a deleted checkpoint can be restored.
pub const KEPT_DAYS: i32 = 30;

/// A corpus at a sequence number of the event log.
#[derive(Clone, Debug, FromRow)]
pub struct Checkpoint {
    pub checkpoint_id: String,
    /// Display name.
    pub name: String,
    pub description: Option<String>,
    /// Keys of the queries whose records it contains, sorted; empty for the whole archive.
    pub primary_queries: Vec<String>,
    /// The checkpoint it follows.
    pub parent_checkpoint_id: Option<String>,
    /// The last event that it includes.
    pub seq: i64,
    /// Number of live records.
    pub total_documents: i64,
    /// Hash over these records that does not depend on their order: 64 hex digits.
    pub digest: String,
    pub created_at: DateTime<Utc>,
    /// The principal that created it.
    pub principal: String,
    /// When it was deleted: it can be restored for [`KEPT_DAYS`] days.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Parameters of a new checkpoint.
#[derive(Clone, Debug)]
pub struct NewCheckpoint {
    pub checkpoint_id: String,
    /// Display name.
    pub name: String,
    pub description: Option<String>,
    /// Keys of the queries whose records it contains; empty for the whole archive.
    pub primary_queries: Vec<String>,
    /// The checkpoint it follows.
    pub parent_checkpoint_id: Option<String>,
    /// The principal that creates it.
    pub principal: String,
}

/// A checkpoint could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Its id is taken.
    #[error("a checkpoint with this id exists, or was deleted less than 30 days ago")]
    Exists,
    /// No query has this key.
    #[error("unknown query key at position {0}")]
    NoSuchQuery(usize),
    /// The parent checkpoint does not exist.
    #[error("checkpoint not found")]
    NoSuchParent,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Creates a checkpoint of the current corpus, in one statement so that it sees one snapshot.
pub async fn create(db: &PgPool, mut new: NewCheckpoint) -> Result<Checkpoint, CreateError> {
    let known: Vec<bool> = sqlx::query_scalar(
        "select exists (select from sync_queries q where q.query_key = k) \
             or exists (select from query_members m where m.query_key = k) \
         from unnest($1::text[]) with ordinality as t (k, n) order by n",
    )
    .bind(&new.primary_queries)
    .fetch_all(db)
    .await?;
    if let Some(at) = known.iter().position(|known| !known) {
        return Err(CreateError::NoSuchQuery(at));
    }
    if let Some(parent) = &new.parent_checkpoint_id
        && get(db, parent).await?.is_none()
    {
        return Err(CreateError::NoSuchParent);
    }
    new.primary_queries.sort_unstable();
    new.primary_queries.dedup();
    // The digests of the whole archive and of each single query are stored; that of several queries is computed now.
    let sql = match new.primary_queries.len() {
        0 | 1 => include_str!("create_of_one.sql"),
        _ => include_str!("create_of_several.sql"),
    };
    let made = sqlx::query_as(sql)
        .bind(&new.checkpoint_id)
        .bind(&new.name)
        .bind(&new.description)
        .bind(&new.primary_queries)
        .bind(&new.parent_checkpoint_id)
        .bind(&new.principal)
        .fetch_optional(db)
        .await?;
    made.ok_or(CreateError::Exists)
}

/// Returns a checkpoint; none if it does not exist or was deleted.
pub async fn get(db: &PgPool, checkpoint_id: &str) -> Result<Option<Checkpoint>, DbError> {
    let sql = "select * from corpus_checkpoints where checkpoint_id = $1 and deleted_at is null";
    Ok(sqlx::query_as(sql).bind(checkpoint_id).fetch_optional(db).await?)
}

/// Returns a page of checkpoints, newest first, and the total number.
pub async fn list(db: &PgPool, limit: i64, offset: i64) -> Result<(Vec<Checkpoint>, i64), DbError> {
    let sql = "select * from corpus_checkpoints where deleted_at is null \
               order by created_at desc, checkpoint_id desc limit $1 offset $2";
    let page = sqlx::query_as(sql).bind(limit).bind(offset).fetch_all(db).await?;
    let total =
        sqlx::query_scalar("select count(*) from corpus_checkpoints where deleted_at is null").fetch_one(db).await?;
    Ok((page, total))
}

/// Deletes a checkpoint; returns whether it existed. Its row stays for [`KEPT_DAYS`] more days, in which its id is
/// taken. No record of the archive is deleted.
pub async fn delete(db: &PgPool, checkpoint_id: &str) -> Result<bool, DbError> {
    let sql = "update corpus_checkpoints set deleted_at = now() where checkpoint_id = $1 and deleted_at is null";
    Ok(sqlx::query(sql).bind(checkpoint_id).execute(db).await?.rows_affected() > 0)
}

/// Restores a deleted checkpoint; returns whether it existed.
pub async fn restore(db: &PgPool, checkpoint_id: &str) -> Result<bool, DbError> {
    let sql = "update corpus_checkpoints set deleted_at = null where checkpoint_id = $1 and deleted_at is not null";
    Ok(sqlx::query(sql).bind(checkpoint_id).execute(db).await?.rows_affected() > 0)
}

/// Deleted checkpoints, most recently deleted first.
pub async fn deleted(db: &PgPool) -> Result<Vec<Checkpoint>, DbError> {
    let sql = "select * from corpus_checkpoints where deleted_at is not null order by deleted_at desc, checkpoint_id";
    Ok(sqlx::query_as(sql).fetch_all(db).await?)
}

/// Removes the rows of checkpoints that were deleted more than [`KEPT_DAYS`] ago.
pub async fn expire(db: &PgPool) -> Result<u64, DbError> {
    let sql = "delete from corpus_checkpoints where deleted_at < now() - make_interval(days => $1)";
    Ok(sqlx::query(sql).bind(KEPT_DAYS).execute(db).await?.rows_affected())
}

impl Checkpoint {
    /// The corpus of some queries, or the whole archive, at an event, without a stored checkpoint.
    pub fn at(seq: i64, primary_queries: Vec<String>) -> Self {
        Self {
            checkpoint_id: String::new(),
            name: String::new(),
            description: None,
            primary_queries,
            parent_checkpoint_id: None,
            seq,
            total_documents: 0,
            digest: String::new(),
            created_at: DateTime::default(),
            principal: String::new(),
            deleted_at: None,
        }
    }
}

/// The current state of the whole archive.
#[derive(Clone, Debug, FromRow, serde::Serialize)]
pub struct Corpus {
    /// The last event.
    pub last_seq: i64,
    /// Live records.
    pub total_documents: i64,
    /// Hash over these records that does not depend on their order.
    pub digest: String,
}

/// Returns the current state of the archive from stored counts, without counting rows.
pub async fn now(db: &PgPool) -> Result<Corpus, DbError> {
    Ok(sqlx::query_as(include_str!("now.sql")).fetch_one(db).await?)
}

/// Keys of queries, and `""` for the whole archive, whose stored digest differs from that of their records.
pub async fn wrong_digests(db: &PgPool) -> Result<Vec<String>, DbError> {
    // Reads every row: on a large archive this exceeds the time limit of other statements.
    let mut patient = db::patient(db).await?;
    Ok(sqlx::query_scalar(include_str!("wrong.sql")).fetch_all(&mut *patient).await?)
}

/// Computes all digests again; returns how many were wrong.
pub async fn recount(db: &PgPool) -> Result<i64, DbError> {
    let mut patient = db::patient(db).await?;
    let mut tx = patient.begin().await?;
    let wrong = sqlx::query_scalar("select corpus_recount()").fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(wrong)
}
