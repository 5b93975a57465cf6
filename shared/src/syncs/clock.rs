//! Corrects times of syncs that are in the future by the database's clock.

use sqlx::PgPool;

use crate::db::DbError;
use crate::db::clock::{Correction, log_corrections};

/// Moves back what is in the future: watermarks, slots of topics, retries.
pub async fn pull_back_syncs(db: &PgPool) -> Result<Vec<Correction>, DbError> {
    let sql = "select what, name, was, set_to, found_at from pull_back_syncs()";
    Ok(sqlx::query_as(sql).fetch_all(db).await.inspect(|found| log_corrections(found))?)
}
