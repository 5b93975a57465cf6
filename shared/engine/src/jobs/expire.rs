//! Expiry: job rows go, archive rows never.

use sqlx::PgPool;

use crate::db::DbError;

/// Deletes up to a thousand expired jobs, and what principals stored long ago; answers how many jobs. Manifests stay in the archive.
pub async fn expire(db: &PgPool) -> Result<u64, DbError> {
    let deleted = sqlx::query(
        "with gone as materialized ( \
             select id from jobs where expires_at < now() order by expires_at limit 1000 for update skip locked) \
         delete from jobs using gone where jobs.id = gone.id",
    )
    .execute(db)
    .await?;
    sqlx::query("delete from principal_records where day < (now() at time zone 'UTC')::date - 40").execute(db).await?;
    Ok(deleted.rows_affected())
}
