//! What the log says of records: live or deleted, as of an event.

use sqlx::{FromRow, PgPool};

use crate::core::Pmid;
use crate::db::DbError;

/// A record as of an event.
#[derive(Clone, Debug, FromRow)]
pub struct DatedState {
    pub pmid: String,
    /// `archived` or `deleted`: its last change by then.
    pub outcome: String,
    /// Hash of its payload, none for a deletion.
    pub content_hash: Option<String>,
    /// Address of the version.
    pub s3_uri: String,
    /// Number in the log at which it came to be so.
    pub seq: i64,
}

/// Where a list of changes continues: in the order of their numbers, then of their PMIDs as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StatesPosition {
    /// Number in the log.
    pub seq: i64,
    pub pmid: String,
}

/// Of these records those that the log names up to event `upto`, in the order given.
pub async fn states_of(db: &PgPool, pmids: &[Pmid], upto: i64) -> Result<Vec<DatedState>, DbError> {
    let pmids: Vec<String> = pmids.iter().map(ToString::to_string).collect();
    Ok(sqlx::query_as(include_str!("states_of.sql")).bind(upto).bind(pmids).fetch_all(db).await?)
}

/// Up to `limit` records that changed after event `since` and up to event `upto`, each once, as of `upto`; of a query
/// also those that came to belong to it. `after` is the position of the last one that is known.
pub async fn states_since(
    db: &PgPool,
    query_key: Option<&str>,
    (since, upto): (i64, i64),
    after: &StatesPosition,
    limit: i64,
) -> Result<Vec<DatedState>, DbError> {
    let Some(query_key) = query_key else {
        let sql = include_str!("states_since.sql");
        return Ok(sqlx::query_as(sql).bind(since.max(after.seq)).bind(upto).bind(limit).fetch_all(db).await?);
    };
    Ok(sqlx::query_as(include_str!("states_since_of_query.sql"))
        .bind(since)
        .bind(upto)
        .bind(after.seq)
        .bind(&after.pmid)
        .bind(query_key)
        .bind(limit)
        .fetch_all(db)
        .await?)
}
