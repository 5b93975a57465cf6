//! Corrects as-of times that are in the future by the database's clock.

use sqlx::PgPool;

use crate::core::Pmid;
use crate::db::clock::{Correction, log_corrections};
use crate::db::{self, DbError};

/// Moves back the as-of times of pointers, and of the newest states of versions, of these records.
pub async fn pull_back_pointers(db: &PgPool, pmids: &[Pmid]) -> Result<Vec<Correction>, DbError> {
    let sql = "select what, name, was, set_to, found_at from pull_back_pointers($1)";
    let pmids: Vec<String> = pmids.iter().map(ToString::to_string).collect();
    Ok(sqlx::query_as(sql).bind(pmids).fetch_all(db).await.inspect(|found| log_corrections(found))?)
}

/// The same for all records; reads every row.
pub async fn pull_back_all_pointers(db: &PgPool) -> Result<Vec<Correction>, DbError> {
    let mut patient = db::patient(db).await?;
    let sql = "select what, name, was, set_to, found_at from pull_back_pointers(null)";
    Ok(sqlx::query_as(sql).fetch_all(&mut *patient).await.inspect(|found| log_corrections(found))?)
}
