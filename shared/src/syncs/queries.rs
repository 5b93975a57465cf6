//! Keys bound to queries, and their watermarks.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::plan::{Gap, ResumePoint, Watermarks};
use crate::core::access::LOCAL;
use crate::core::{JobId, Principal};
use crate::db::DbError;

/// Text in the column of the query for a key of a list of PMIDs.
const LIST: &str = "";

/// A key with its query.
#[derive(Clone, Debug, Serialize)]
pub struct SyncQuery {
    pub query_key: String,
    /// The query it is bound to.
    pub query: String,
    /// The principal that bound it; unknown for keys bound before this was stored.
    pub principal: Option<String>,
    /// Its progress.
    pub watermarks: Watermarks,
    /// Where a run with a limit stopped.
    pub resume: Option<ResumePoint>,
    /// Gaps of the last run: each holds the watermark of its date.
    pub gaps: Vec<Gap>,
    /// Number of archived records that it found.
    pub members: i64,
    /// Number of records that NCBI counted at the end of the last search.
    pub upstream_count: Option<i64>,
    pub upstream_counted_at: Option<DateTime<Utc>>,
    /// The last run.
    pub last_job_id: Option<Uuid>,
    /// When that run ended.
    pub last_run_at: Option<DateTime<Utc>>,
    /// When a run last succeeded.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Runs that failed since then.
    pub failed_runs: i32,
    /// The last failure, even if a run has succeeded since.
    pub last_failure: Option<RunFailure>,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunFailure {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// The stable code of the first unit that failed.
    pub error_code: String,
    pub message: String,
}

impl RunFailure {
    /// From its columns; none if they are null.
    pub(super) fn of(at: Option<DateTime<Utc>>, code: Option<String>, message: Option<String>) -> Option<Self> {
        Some(Self { at: at?, error_code: code.unwrap_or_default(), message: message.unwrap_or_default() })
    }
}

impl SyncQuery {
    /// How far it is behind `now`; none before its first run has ended.
    pub fn lag(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        // With a server that has no creation dates, that watermark never moves.
        let watermarks = [self.watermarks.entry, self.watermarks.modification];
        watermarks.into_iter().collect::<Option<Vec<_>>>()?.into_iter().min().map(|oldest| now - oldest)
    }
}

#[derive(FromRow)]
struct Row {
    query_key: String,
    query: String,
    principal: Option<String>,
    entry_watermark: Option<DateTime<Utc>>,
    modification_watermark: Option<DateTime<Utc>>,
    creation_watermark: Option<DateTime<Utc>>,
    gaps: serde_json::Value,
    members: i64,
    upstream_count: Option<i64>,
    upstream_counted_at: Option<DateTime<Utc>>,
    resume: Option<serde_json::Value>,
    last_job_id: Option<Uuid>,
    last_run_at: Option<DateTime<Utc>>,
    last_success_at: Option<DateTime<Utc>>,
    failed_runs: i32,
    failed_at: Option<DateTime<Utc>>,
    failure_code: Option<String>,
    failure_message: Option<String>,
}

impl From<Row> for SyncQuery {
    fn from(row: Row) -> Self {
        Self {
            query_key: row.query_key,
            query: row.query,
            principal: row.principal,
            watermarks: Watermarks {
                entry: row.entry_watermark,
                modification: row.modification_watermark,
                creation: row.creation_watermark,
            },
            gaps: serde_json::from_value(row.gaps).unwrap_or_default(),
            members: row.members,
            upstream_count: row.upstream_count,
            upstream_counted_at: row.upstream_counted_at,
            resume: row.resume.and_then(|resume| serde_json::from_value(resume).ok()),
            last_job_id: row.last_job_id,
            last_run_at: row.last_run_at,
            last_success_at: row.last_success_at,
            failed_runs: row.failed_runs,
            last_failure: RunFailure::of(row.failed_at, row.failure_code, row.failure_message),
        }
    }
}

/// The number of members is that of live ones, stored with their digest.
macro_rules! select {
    () => {
        "select q.*, coalesce(d.documents, 0) as members from sync_queries q left join corpus_digests d using (query_key)"
    };
}

/// A key cannot be bound to a query.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// It is bound to another.
    #[error("query_key {key} belongs to another query: choose another key, or leave it out")]
    OtherQuery { key: String },
    /// It is bound to a query: only records that the query finds become its members.
    #[error("query_key {key} belongs to a query: only what the query finds becomes its member")]
    NoList { key: String },
    /// It is bound to a list of another principal.
    #[error("query_key {key} is a list of another principal: choose another key")]
    OtherPrincipal { key: String },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// When a key was bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// By this call.
    Now,
    /// Before it.
    Before,
}

/// What a key is bound to.
#[derive(FromRow)]
struct Binding {
    query: String,
    principal: Option<String>,
    is_new: bool,
}

/// Binds a key to a query, or to a list of PMIDs (`''`), until an operator unbinds it; returns what it is bound to.
async fn binding(db: &mut PgConnection, key: &str, query: &str, principal: &str) -> Result<Binding, DbError> {
    let sql = include_str!("bind.sql");
    loop {
        let bound = sqlx::query_as(sql).bind(key).bind(query).bind(principal).fetch_optional(&mut *db).await?;
        // None if another transaction has just bound it: the next attempt finds it.
        if let Some(bound) = bound {
            return Ok(bound);
        }
    }
}

/// Binds a key to a query; repeating that has no effect.
pub async fn bind(db: &PgPool, key: &str, query: &str, principal: &str) -> Result<Bound, BindError> {
    let mut connection = db.acquire().await.map_err(DbError::from)?;
    bind_query(&mut connection, key, query, principal).await
}

async fn bind_query(db: &mut PgConnection, key: &str, query: &str, principal: &str) -> Result<Bound, BindError> {
    let bound = binding(db, key, query, principal).await?;
    if bound.query != query {
        return Err(BindError::OtherQuery { key: key.to_owned() });
    }
    Ok(if bound.is_new { Bound::Now } else { Bound::Before })
}

/// Binds a key to a list of PMIDs of a principal. Only that principal, or an admin, may add to it.
async fn bind_list(db: &mut PgConnection, key: &str, principal: &Principal) -> Result<Bound, BindError> {
    let bound = binding(db, key, LIST, &principal.name).await?;
    if bound.query != LIST {
        return Err(BindError::NoList { key: key.to_owned() });
    }
    if !principal.may_change_what_is_of(bound.principal.as_deref().unwrap_or(LOCAL)) {
        return Err(BindError::OtherPrincipal { key: key.to_owned() });
    }
    Ok(if bound.is_new { Bound::Now } else { Bound::Before })
}

/// Binds a key to a query, or without a query to a list of PMIDs of a principal; uses this connection, whose
/// transaction may be rolled back.
pub async fn bind_within(
    db: &mut PgConnection,
    key: &str,
    query: Option<&str>,
    principal: &Principal,
) -> Result<Bound, BindError> {
    match query {
        Some(query) => bind_query(db, key, query, &principal.name).await,
        None => bind_list(db, key, principal).await,
    }
}

/// Releases a key that was bound for a refused job, unless another job has used it since.
pub async fn unbind_unused(db: &PgPool, key: &str) -> Result<(), DbError> {
    sqlx::query(include_str!("unbind_unused.sql")).bind(key).execute(db).await?;
    Ok(())
}

/// One key.
pub async fn one(db: impl PgExecutor<'_>, key: &str) -> Result<Option<SyncQuery>, DbError> {
    let row: Option<Row> =
        sqlx::query_as(concat!(select!(), " where q.query_key = $1")).bind(key).fetch_optional(db).await?;
    Ok(row.map(SyncQuery::from))
}

/// All keys of queries.
pub async fn queries(db: &PgPool) -> Result<Vec<SyncQuery>, DbError> {
    let rows: Vec<Row> =
        sqlx::query_as(concat!(select!(), " where q.query <> '' order by q.query_key")).fetch_all(db).await?;
    Ok(rows.into_iter().map(SyncQuery::from).collect())
}

/// Moves watermarks forward, never back, and notes it; those not given stay. An instant in the future is from a clock
/// that was ahead when the run was planned: the time up to which the query was really walked is unknown, so that
/// watermark does not move, and the next run walks the same days again.
pub async fn advance(db: &mut PgConnection, key: &str, job: JobId, to: Watermarks) -> Result<(), DbError> {
    let is_ahead: bool = sqlx::query_scalar(include_str!("advance.sql"))
        .bind(key)
        .bind(to.entry)
        .bind(to.modification)
        .bind(to.creation)
        .bind(job.0)
        .fetch_one(db)
        .await?;
    if is_ahead {
        tracing::warn!(query_key = key, ?to, "a run was planned by a clock that was ahead: its watermark is not moved");
    }
    Ok(())
}

/// Notes that the run which just ended succeeded.
pub async fn note_success(db: &mut PgConnection, key: &str) -> Result<(), DbError> {
    sqlx::query("update sync_queries set last_success_at = now(), failed_runs = 0 where query_key = $1")
        .bind(key)
        .execute(db)
        .await?;
    Ok(())
}

/// Notes that a run failed, and why.
pub async fn note_failure(
    db: &mut PgConnection,
    key: &str,
    job: JobId,
    error_code: Option<&str>,
    message: Option<&str>,
) -> Result<(), DbError> {
    sqlx::query(
        "update sync_queries set last_job_id = $2, last_run_at = now(), failed_at = now(), \
         failed_runs = failed_runs + 1, failure_code = $3, failure_message = $4 where query_key = $1",
    )
    .bind(key)
    .bind(job.0)
    .bind(error_code)
    .bind(message)
    .execute(db)
    .await?;
    Ok(())
}

/// Stores NCBI's number of records of a query.
pub async fn note_upstream_count(db: &mut PgConnection, key: &str, count: u64) -> Result<(), DbError> {
    sqlx::query("update sync_queries set upstream_count = $2, upstream_counted_at = now() where query_key = $1")
        .bind(key)
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .execute(db)
        .await?;
    Ok(())
}

/// Where the next run of a query resumes, and the gaps of the last one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnfinishedWalk {
    /// Where a limit stopped it.
    pub resume: Option<ResumePoint>,
    pub gaps: Vec<Gap>,
}

/// Stores the end of a run and its unfinished walk; without one, that of the previous run stays.
pub async fn finish_run(
    db: &mut PgConnection,
    key: &str,
    job: JobId,
    left: Option<UnfinishedWalk>,
) -> Result<(), DbError> {
    let json = |left: &UnfinishedWalk| (left.resume.map(|resume| json!(resume)), json!(left.gaps));
    let (resume, gaps) = left.as_ref().map(json).unwrap_or_default();
    sqlx::query(
        "update sync_queries set last_job_id = $2, last_run_at = now(), \
         resume = case when $3 then $4 else resume end, gaps = case when $3 then $5 else gaps end where query_key = $1",
    )
    .bind(key)
    .bind(job.0)
    .bind(left.is_some())
    .bind(resume)
    .bind(gaps)
    .execute(db)
    .await?;
    Ok(())
}

/// Sets all watermarks manually, forward or back, and deletes the position at which a run stopped. False while a run of
/// the key is queued or running.
pub async fn set_watermarks_by_hand(db: &PgPool, key: &str, to: DateTime<Utc>, who: &str) -> Result<bool, DbError> {
    let moved: i64 =
        sqlx::query_scalar(include_str!("set_watermarks.sql")).bind(key).bind(to).bind(who).fetch_one(db).await?;
    Ok(moved > 0)
}
