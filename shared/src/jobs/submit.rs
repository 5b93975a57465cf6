//! Submitting a job: one transaction, one job however often it is sent.

use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use super::params::params_hash;
use super::standing::{Standing, standing};
use super::state::Job;
use crate::db::DbError;
use crate::words::{JobId, UnitId};

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The tool.
    pub tool: String,
    /// Its parameters, defaults filled in.
    pub params: Value,
    /// Names the request, so that sending it again is not a second one.
    pub idempotency_key: Option<String>,
    /// Who asks.
    pub principal: String,
    /// 0 to 10, 10 first.
    pub priority: i16,
    /// How long the row stays after the job has ended, 1 to 168.
    pub ttl_hours: i16,
    /// The trace it belongs to.
    pub trace_id: String,
    /// The job it retries.
    pub parent_job_id: Option<JobId>,
    /// The query it syncs: only one incremental sync of it is queued or running at a time.
    pub query_key: Option<String>,
    /// The unit that plans it.
    pub first_unit: FirstUnit,
}

impl Submission {
    /// A submission from this machine with everything else as usual; the first phase is planned by
    /// any worker.
    pub fn new(tool: &str, params: Value, first_phase: &str) -> Self {
        Self {
            tool: tool.to_owned(),
            params,
            idempotency_key: None,
            principal: "local".to_owned(),
            priority: 0,
            ttl_hours: 24,
            trace_id: Uuid::new_v4().simple().to_string(),
            parent_job_id: None,
            query_key: None,
            first_unit: FirstUnit { phase: first_phase.to_owned(), required_hostname: None },
        }
    }
}

/// The unit every job starts with: it plans the first phase.
#[derive(Clone, Debug)]
pub struct FirstUnit {
    /// Name of the first phase.
    pub phase: String,
    /// The machine that must plan it, for local files.
    pub required_hostname: Option<String>,
}

/// Limits on submissions.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Jobs that may be queued or running; those submitted at the same moment do not see each other, so it may be
    /// passed by a few.
    pub max_queued_jobs: i64,
    /// After this many seconds a job is given up.
    pub job_timeout_secs: f64,
}

impl Limits {
    /// The same for a job that is so many times as long as one may be.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { job_timeout_secs: self.job_timeout_secs * f64::from(times), ..self }
    }
}

/// What became of a submission.
#[derive(Clone, Debug)]
pub enum Submitted {
    /// A new job.
    Created(Box<Standing>),
    /// The job of an earlier identical request.
    Replayed(Box<Standing>),
}

impl Submitted {
    /// The job.
    pub fn job(&self) -> &Job {
        &self.standing().job
    }

    /// The job and where it stands.
    pub fn standing(&self) -> &Standing {
        match self {
            Self::Created(standing) | Self::Replayed(standing) => standing,
        }
    }
}

/// A submission was refused.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The key was used with other parameters.
    #[error("the idempotency key was used before with other parameters: use a new key")]
    IdempotencyConflict,
    /// Too many jobs wait.
    #[error("{0} jobs are queued or running, which is the limit: try again when some have ended")]
    TooManyJobs(i64),
    /// The parameters cannot be written as canonical JSON.
    #[error("the parameters are not valid JSON")]
    Params(#[from] serde_json::Error),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<sqlx::Error> for SubmitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Submits a job with its planning unit. With an idempotency key, (principal, tool, key) is the
/// identity while the row lives; without one, a queued or running job of the same parameters is
/// answered instead of a second one; so is a queued or running sync of the same query. The caller wakes workers
/// afterwards.
pub async fn submit(db: &PgPool, submission: &Submission, limits: Limits) -> Result<Submitted, SubmitError> {
    let hash = params_hash(&submission.params)?.to_hex();
    for _ in 0..2 {
        if let Some(standing) = insert(db, submission, &hash, limits).await? {
            return Ok(Submitted::Created(Box::new(standing)));
        }
        if let Some(earlier) = earlier(db, submission, &hash).await? {
            return Ok(earlier);
        }
        // There are too many, or what was in the way has just ended: then the second time will do.
    }
    Err(SubmitError::TooManyJobs(limits.max_queued_jobs))
}

/// Inserting decides between concurrent submissions: by the unique indexes.
async fn insert(db: &PgPool, submission: &Submission, hash: &str, limits: Limits) -> Result<Option<Standing>, DbError> {
    Ok(sqlx::query_as(concat!(include_str!("submit.sql"), include_str!("standing.sql")))
        .bind(JobId::new().0)
        .bind(&submission.tool)
        .bind(&submission.params)
        .bind(hash)
        .bind(&submission.idempotency_key)
        .bind(&submission.principal)
        .bind(submission.priority)
        .bind(submission.ttl_hours)
        .bind(&submission.trace_id)
        .bind(submission.parent_job_id.map(|id| id.0))
        .bind(limits.job_timeout_secs)
        .bind(&submission.query_key)
        .bind(limits.max_queued_jobs)
        .bind(UnitId::new().0)
        .bind(&submission.first_unit.phase)
        .bind(&submission.first_unit.required_hostname)
        .fetch_optional(db)
        .await?)
}

/// The job that was there before.
async fn earlier(db: &PgPool, submission: &Submission, hash: &str) -> Result<Option<Submitted>, SubmitError> {
    let found: Option<(bool, Uuid)> = sqlx::query_as(include_str!("earlier.sql"))
        .bind(&submission.principal)
        .bind(&submission.tool)
        .bind(&submission.idempotency_key)
        .bind(hash)
        .bind(&submission.query_key)
        .fetch_optional(db)
        .await?;
    let Some((is_same, id)) = found else { return Ok(None) };
    if !is_same {
        return Err(SubmitError::IdempotencyConflict);
    }
    let job = standing(db, JobId(id)).await?;
    Ok(job.map(|job| Submitted::Replayed(Box::new(job))))
}
