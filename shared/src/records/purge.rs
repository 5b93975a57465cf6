//! Records that an operator purged.

use sqlx::PgConnection;

use crate::core::Pmid;
use crate::db::DbError;

/// Saves a purge of a record that this transaction, or an earlier one, has deleted. A permanent one, with the number of
/// versions that it deletes, also removes their history rows, and what events state about their payloads.
pub async fn record_purge(
    db: &mut PgConnection,
    pmid: Pmid,
    reason: &str,
    principal: &str,
    versions_deleted: Option<usize>,
) -> Result<(), DbError> {
    sqlx::query("insert into purges (pmid, reason, principal, versions_deleted) values ($1, $2, $3, $4)")
        .bind(pmid.to_string())
        .bind(reason)
        .bind(principal)
        .bind(i32::try_from(versions_deleted.unwrap_or(0)).unwrap_or(i32::MAX))
        .execute(&mut *db)
        .await?;
    if versions_deleted.is_some() {
        for sql in [
            "delete from pubmed_archive_history where pmid = $1",
            "delete from archive_set_aside where pmid = $1",
            "select forget_integrity($1)",
        ] {
            sqlx::query(sql).bind(pmid.to_string()).execute(&mut *db).await?;
        }
    }
    Ok(())
}
