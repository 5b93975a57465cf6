//! Freeing a key: an operator takes a binding back, with all that was kept under the key.

use sqlx::PgPool;

use crate::db::{self, DbError};

/// What became of an attempt to free a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unbound {
    /// It is free; records of the archive are not touched.
    Done {
        /// The query it was bound to; empty for a list of PMIDs.
        query: String,
        /// Its members until then.
        members: u64,
    },
    /// No query has it.
    NotBound,
    /// A job of it is queued or running.
    Busy,
    /// These checkpoints hold what it found; they would become empty.
    Checkpoints(Vec<String>),
}

/// Frees a key: its watermarks, topic, members and list of records to retry go, and so do checkpoints of it that are
/// deleted already. Checkpoints that are not deleted keep it.
pub async fn unbind(db: &PgPool, key: &str) -> Result<Unbound, DbError> {
    // Members can be millions of rows.
    let mut patient = db::patient(db).await?;
    let mut tx = patient.begin().await?;
    let query: Option<String> = sqlx::query_scalar("select query from sync_queries where query_key = $1 for update")
        .bind(key)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(query) = query else { return Ok(Unbound::NotBound) };
    let is_busy: bool =
        sqlx::query_scalar("select exists (select from jobs where state in ('queued', 'running') and query_key = $1)")
            .bind(key)
            .fetch_one(&mut *tx)
            .await?;
    if is_busy {
        return Ok(Unbound::Busy);
    }
    let checkpoints: Vec<String> = sqlx::query_scalar(
        "select checkpoint_id from corpus_checkpoints where $1 = any (primary_queries) and deleted_at is null order by 1",
    )
    .bind(key)
    .fetch_all(&mut *tx)
    .await?;
    if !checkpoints.is_empty() {
        return Ok(Unbound::Checkpoints(checkpoints));
    }
    // As for every change of members: the counter first.
    sqlx::query("select from archive_event_counter for update").execute(&mut *tx).await?;
    let members = sqlx::query("delete from query_members where query_key = $1").bind(key).execute(&mut *tx).await?;
    for sql in [
        "delete from corpus_digests where query_key = $1",
        "delete from sync_retry where query_key = $1",
        "delete from corpus_checkpoints where $1 = any (primary_queries)",
        "delete from sync_queries where query_key = $1",
    ] {
        sqlx::query(sql).bind(key).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(Unbound::Done { query, members: members.rows_affected() })
}
