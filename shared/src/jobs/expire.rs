//! Expiry: job rows go, archive rows never.

use sqlx::PgPool;

use crate::db::DbError;

/// Deletes up to a thousand expired jobs; answers how many. Manifests stay in the archive.
pub async fn expire(db: &PgPool) -> Result<u64, DbError> {
    let deleted = sqlx::query(
        "with gone as materialized ( \
             select id from jobs where expires_at < now() order by expires_at limit 1000 for update skip locked) \
         delete from jobs using gone where jobs.id = gone.id",
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
