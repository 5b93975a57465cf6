//! Unbinds a key: an operator deletes a binding and everything that is stored under the key.

use sqlx::PgPool;

use crate::db::{self, DbError};

/// The result of unbinding a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unbound {
    /// It is unbound; records of the archive are not changed.
    Done {
        /// The query it was bound to; empty for a list of PMIDs.
        query: String,
        /// Number of its former members.
        members: u64,
    },
    /// No query has this key.
    NotBound,
    /// A job of it is queued or running.
    Busy,
    /// These checkpoints contain its records; they would become empty.
    Checkpoints(Vec<String>),
}

/// Unbinds a key: deletes its watermarks, topic, members and retry list, and those of its checkpoints that are deleted
/// already. Other checkpoints prevent that.
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
    // As for every change of members, the counter is locked first.
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
