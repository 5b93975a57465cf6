//! Resumes a job in a foreground command: attempts that ended with the earlier command are not counted.

use std::path::Path;

use super::{Engine, Presence};
use crate::db::{self, DbError};
use bio_mcp_core::JobId;

/// Resets the attempts of a job's units, because a person decided to resume it. Applies only to waiting units and to
/// those whose worker on this machine is dead (`presence_dir` has the locks of its workers): a unit of a live worker
/// keeps its count. Must be called before units of dead workers are reclaimed. Returns the number of units.
pub async fn restart(engine: &Engine, job: JobId, presence_dir: &Path) -> Result<u64, DbError> {
    let dead = Presence::dead_workers(presence_dir).unwrap_or_default();
    let mut tx = db::begin(&engine.db).await?;
    sqlx::query("select 1 from jobs where id = $1 for update").bind(job.0).execute(&mut *tx).await?;
    let reset = sqlx::query(include_str!("sql/restart.sql")).bind(job.0).bind(dead).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(reset.rows_affected())
}
