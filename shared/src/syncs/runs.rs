//! Runs: what one job walks, fixed when it is planned.

use serde_json::Value;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};

use super::plan::{Gap, RunPlan, SlicePosition, StopPoint};
use crate::core::JobId;
use crate::db::DbError;

/// A run.
#[derive(Clone, Debug)]
pub struct SyncRun {
    /// The key of its query.
    pub query_key: String,
    /// What it walks.
    pub plan: RunPlan,
    /// Where its search stopped because of a limit.
    pub stopped_at: Option<SlicePosition>,
    /// Where it stops because of a limit, once its fetching is planned.
    pub stop: Option<StopPoint>,
    /// Gaps of its search.
    pub gaps: Vec<Gap>,
    /// Whether parts of it were listed more than once, so that its slices may overlap.
    pub is_repeated: bool,
}

#[derive(FromRow)]
struct Row {
    query_key: String,
    plan: Value,
    stopped_at: Option<Value>,
    stop: Option<Value>,
    gaps: Value,
    is_repeated: bool,
}

/// Fixes what a job walks; if it is planned twice, the first plan stays.
pub async fn start_run(db: &PgPool, job: JobId, key: &str, plan: &RunPlan) -> Result<SyncRun, DbError> {
    sqlx::query("insert into sync_runs (job_id, query_key, plan) values ($1, $2, $3) on conflict do nothing")
        .bind(job.0)
        .bind(key)
        .bind(json(plan))
        .execute(db)
        .await?;
    run(db, job).await?.ok_or(DbError::Refused(sqlx::Error::RowNotFound))
}

/// The run of a job.
pub async fn run(db: impl PgExecutor<'_>, job: JobId) -> Result<Option<SyncRun>, DbError> {
    let row: Option<Row> =
        sqlx::query_as("select query_key, plan, stopped_at, stop, gaps, is_repeated from sync_runs where job_id = $1")
            .bind(job.0)
            .fetch_optional(db)
            .await?;
    let Some(Row { query_key, plan, stopped_at, stop, gaps, is_repeated }) = row else { return Ok(None) };
    let unreadable = |error: serde_json::Error| DbError::Refused(sqlx::Error::Decode(error.into()));
    Ok(Some(SyncRun {
        query_key,
        plan: serde_json::from_value(plan).map_err(unreadable)?,
        stopped_at: stopped_at.map(serde_json::from_value).transpose().map_err(unreadable)?,
        stop: stop.map(serde_json::from_value).transpose().map_err(unreadable)?,
        gaps: serde_json::from_value(gaps).map_err(unreadable)?,
        is_repeated,
    }))
}

/// Stores how the search ended: where it stopped because of a limit, its gaps, and whether parts of it were listed more
/// than once.
pub async fn save_search_end(
    db: &mut PgConnection,
    job: JobId,
    stopped_at: Option<SlicePosition>,
    gaps: &[Gap],
    is_repeated: bool,
) -> Result<(), DbError> {
    sqlx::query("update sync_runs set stopped_at = $2, gaps = $3, is_repeated = $4 where job_id = $1")
        .bind(job.0)
        .bind(stopped_at.map(|position| json(&position)))
        .bind(json(&gaps))
        .bind(is_repeated)
        .execute(db)
        .await?;
    Ok(())
}

/// Stores where the run stops, in the transaction that plans its fetching.
pub async fn save_stop(db: &mut PgConnection, job: JobId, stop: Option<StopPoint>) -> Result<(), DbError> {
    sqlx::query("update sync_runs set stop = $2 where job_id = $1")
        .bind(job.0)
        .bind(stop.map(|stop| json(&stop)))
        .execute(db)
        .await?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("plain fields are JSON")
}
