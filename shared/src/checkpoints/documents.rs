//! The records of a checkpoint.

use sqlx::{FromRow, PgPool};

use super::Checkpoint;
use crate::core::page::rows_to_read;
use crate::core::{Page, Pmid};
use crate::db::DbError;

/// A record in a checkpoint.
#[derive(Clone, Debug, FromRow)]
pub struct Document {
    pub pmid: String,
    /// Hash of its payload.
    pub content_hash: String,
    /// Address of the version.
    pub s3_uri: String,
}

/// Up to `limit` records of a checkpoint in the order of their PMIDs as text, after `after`.
pub async fn documents(
    db: &PgPool,
    checkpoint: &Checkpoint,
    after: Option<Pmid>,
    limit: i64,
) -> Result<Page<Document>, DbError> {
    let sql = match checkpoint.primary_queries.len() {
        0 => include_str!("documents.sql"),
        1 => include_str!("documents_of_query.sql"),
        _ => include_str!("documents_of_queries.sql"),
    };
    let rows = sqlx::query_as(sql)
        .bind(checkpoint.seq)
        .bind(&checkpoint.primary_queries)
        .bind(after.map_or_else(String::new, |pmid| pmid.to_string()))
        .bind(rows_to_read(limit))
        .fetch_all(db)
        .await?;
    Ok(Page::of(rows, limit))
}

/// Returns those of `pmids` that a checkpoint contains; the others do not belong to it, or were not live then.
pub async fn documents_of(db: &PgPool, checkpoint: &Checkpoint, pmids: &[Pmid]) -> Result<Vec<Document>, DbError> {
    Ok(sqlx::query_as(include_str!("documents_of.sql"))
        .bind(checkpoint.seq)
        .bind(&checkpoint.primary_queries)
        .bind(pmids.iter().map(ToString::to_string).collect::<Vec<_>>())
        .fetch_all(db)
        .await?)
}
