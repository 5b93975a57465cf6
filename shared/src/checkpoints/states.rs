//! The state of records in the event log as of an event: live or deleted.

use sqlx::{FromRow, PgPool};

use crate::core::Pmid;
use crate::db::DbError;

/// The state of a record as of an event.
#[derive(Clone, Debug, FromRow)]
pub struct DatedState {
    pub pmid: String,
    /// Its last change up to that event: `archived` or `deleted`.
    pub outcome: String,
    /// Hash of its payload, none for a deletion.
    pub content_hash: Option<String>,
    /// Address of the version.
    pub s3_uri: String,
    /// Sequence number at which the record got this state.
    pub seq: i64,
}

/// Where a list of changes continues: ordered by sequence number, then by PMID as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StatesPosition {
    /// Sequence number in the event log.
    pub seq: i64,
    pub pmid: String,
}

/// Returns those of `pmids` that the log contains up to event `upto`, in the given order.
pub async fn states_of(db: &PgPool, pmids: &[Pmid], upto: i64) -> Result<Vec<DatedState>, DbError> {
    let pmids: Vec<String> = pmids.iter().map(ToString::to_string).collect();
    Ok(sqlx::query_as(include_str!("states_of.sql")).bind(upto).bind(pmids).fetch_all(db).await?)
}

/// Up to `limit` records that changed after event `since` and up to event `upto`, each once, as of `upto`; for a query,
/// also those that became members in that range. `after` is the position of the last record already returned.
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
