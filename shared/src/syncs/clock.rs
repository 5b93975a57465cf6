//! Instants of syncs that are in the future, pulled back by the database's clock.

use sqlx::PgPool;

use crate::db::DbError;
use crate::db::clock::{Correction, log_corrections};

/// Pulls back what is ahead of the clock: watermarks, slots of topics, records that are tried again.
pub async fn pull_back_syncs(db: &PgPool) -> Result<Vec<Correction>, DbError> {
    let sql = "select what, name, was, set_to, found_at from pull_back_syncs()";
    Ok(sqlx::query_as(sql).fetch_all(db).await.inspect(|found| log_corrections(found))?)
}
