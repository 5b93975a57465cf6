//! What an operator took out.

use sqlx::PgConnection;

use crate::db::DbError;
use crate::words::Pmid;

/// Notes a purge; when versions were deleted, the history rows that point at them go.
pub async fn record_purge(
    db: &mut PgConnection,
    pmid: Pmid,
    reason: &str,
    principal: &str,
    versions_deleted: usize,
) -> Result<(), DbError> {
    sqlx::query("insert into purges (pmid, reason, principal, versions_deleted) values ($1, $2, $3, $4)")
        .bind(pmid.to_string())
        .bind(reason)
        .bind(principal)
        .bind(i32::try_from(versions_deleted).unwrap_or(i32::MAX))
        .execute(&mut *db)
        .await?;
    if versions_deleted > 0 {
        for sql in
            ["delete from pubmed_archive_history where pmid = $1", "delete from archive_set_aside where pmid = $1"]
        {
            sqlx::query(sql).bind(pmid.to_string()).execute(&mut *db).await?;
        }
    }
    Ok(())
}
