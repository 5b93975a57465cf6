//! Records that NCBI no longer returns.

use sqlx::PgConnection;

use crate::core::Pmid;
use crate::db::DbError;

/// Notes since when records are missing upstream. Their pointers stay: only an update file or an
/// operator deletes. Nothing changes for those that are deleted, unknown, or missing already.
pub async fn mark_missing(db: &mut PgConnection, pmids: &[Pmid]) -> Result<(), DbError> {
    set(db, "update pubmed_archive set missing_since = now() where pmid = any ($1) and missing_since is null and deleted_at is null", pmids).await
}

/// Notes that records are there again. Those that came back changed are accepted, which says the same.
pub async fn clear_missing(db: &mut PgConnection, pmids: &[Pmid]) -> Result<(), DbError> {
    set(db, "update pubmed_archive set missing_since = null where pmid = any ($1) and missing_since is not null", pmids)
        .await
}

async fn set(db: &mut PgConnection, sql: &'static str, pmids: &[Pmid]) -> Result<(), DbError> {
    if !pmids.is_empty() {
        let pmids: Vec<String> = pmids.iter().map(ToString::to_string).collect();
        sqlx::query(sql).bind(pmids).execute(db).await?;
    }
    Ok(())
}
