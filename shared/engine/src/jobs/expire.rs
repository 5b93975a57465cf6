//! Expiry of job rows; archive rows never expire.

use sqlx::PgPool;

use crate::db::DbError;

/// Deletes up to a thousand expired jobs, and old daily usage of principals; returns the number of jobs. Manifests
/// remain in the archive. A job whose next step is still to be submitted is kept until it is submitted.
pub async fn expire(db: &PgPool) -> Result<u64, DbError> {
    let deleted = sqlx::query(
        "with gone as materialized ( \
             select id from jobs where expires_at < now() \
               and not (state = 'succeeded' and chain is not null and next_job_id is null and not then_cancelled) \
             order by expires_at limit 1000 for update skip locked) \
         delete from jobs using gone where jobs.id = gone.id",
    )
    .execute(db)
    .await?;
    sqlx::query("delete from principal_records where day < (now() at time zone 'UTC')::date - 40").execute(db).await?;
    Ok(deleted.rows_affected())
}
