//! Submits a job: one transaction, and one job however often a request is sent.

use std::time::Duration;

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::chain::{ChainPosition, Following, Identity, Step};
use super::details::{JobDetails, details};
use super::state::Job;
use crate::db::DbError;
use bio_mcp_core::{JobId, Principal, Role, UnitId};

/// A request for a job.
#[derive(Clone, Debug)]
pub struct Submission {
    pub tool: String,
    /// Parameters, with defaults filled in.
    pub params: Value,
    /// Identifies the request, so that repeating it does not submit a second job.
    pub idempotency_key: Option<String>,
    pub principal: Principal,
    /// 0 to 10, 10 first.
    pub priority: i16,
    /// How long the row is kept after the job has ended, 1 to 168 hours.
    pub ttl_hours: i16,
    /// The trace it belongs to.
    pub trace_id: String,
    /// The job it retries.
    pub parent_job_id: Option<JobId>,
    /// Key of the query it works for, by which jobs are found; stored and not interpreted.
    pub query_key: Option<String>,
    /// While a job with this key is queued or running, that one is returned instead of a second one.
    pub exclusive_key: Option<String>,
    /// Maximum number of records that it can store, if its parameters determine it.
    pub records_at_most: Option<i64>,
    /// Steps that follow it, each submitted when the previous job has succeeded.
    pub then: Vec<Step>,
    /// Its position in an existing chain; without one, steps that follow form a new chain.
    pub chain_position: Option<ChainPosition>,
    /// The unit that plans it.
    pub first_unit: FirstUnit,
}

impl Submission {
    /// A submission from this machine with default values; any worker may plan the first phase.
    pub fn new(tool: &str, params: Value, first_phase: &str) -> Self {
        Self {
            tool: tool.to_owned(),
            params,
            idempotency_key: None,
            principal: Principal::local(Role::Admin),
            priority: 0,
            ttl_hours: 24,
            trace_id: Uuid::new_v4().simple().to_string(),
            parent_job_id: None,
            query_key: None,
            exclusive_key: None,
            records_at_most: None,
            then: Vec::new(),
            chain_position: None,
            first_unit: FirstUnit { phase: first_phase.to_owned(), required_hostname: None },
        }
    }

    /// The steps that follow it, in the form stored in its row.
    pub(super) fn following(&self) -> Option<Following> {
        let following = || Following { role: self.principal.role, then: self.then.clone() };
        (!self.then.is_empty()).then(following)
    }
}

/// The first unit of every job: it plans the first phase.
#[derive(Clone, Debug)]
pub struct FirstUnit {
    /// Name of the first phase.
    pub phase: String,
    /// The only machine on which it may be planned, for local files.
    pub required_hostname: Option<String>,
}

/// Limits on submissions.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of queued or running jobs; it may be exceeded slightly, because concurrent submissions do not see
    /// each other.
    pub max_queued_jobs: i64,
    /// Maximum number of queued or running jobs of one principal.
    pub principal_queued_jobs: i64,
    /// Maximum number of records that the jobs of one principal may store per day (UTC).
    pub principal_daily_records: Option<i64>,
    /// Seconds after which a job fails.
    pub job_timeout_secs: f64,
}

impl Limits {
    /// Limits of the queue and of time only: principals have no limits.
    pub const fn without_quotas(max_queued_jobs: i64, job_timeout_secs: f64) -> Self {
        Self { max_queued_jobs, principal_queued_jobs: i64::MAX, principal_daily_records: None, job_timeout_secs }
    }

    /// The limits of a principal. Admins and topics have no limits of their own, and a tenth of the queue is reserved
    /// for them.
    fn of(self, principal: &Principal) -> Self {
        if principal.role >= Role::Admin {
            return Self { principal_queued_jobs: i64::MAX, principal_daily_records: None, ..self };
        }
        let reserve = (self.max_queued_jobs + 9) / 10;
        // A queue of one cannot reserve any.
        Self { max_queued_jobs: (self.max_queued_jobs - reserve).max(1), ..self }
    }

    /// The same limits for a job that may take this many times as long as usual.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { job_timeout_secs: self.job_timeout_secs * f64::from(times), ..self }
    }
}

/// Result of a submission.
#[derive(Clone, Debug)]
pub enum SubmitOutcome {
    /// A new job.
    Created(Box<JobDetails>),
    /// The job of an earlier identical request.
    Replayed(Box<JobDetails>),
}

impl SubmitOutcome {
    pub fn job(&self) -> &Job {
        &self.details().job
    }

    pub fn details(&self) -> &JobDetails {
        match self {
            Self::Created(details) | Self::Replayed(details) => details,
        }
    }
}

/// A submission was refused.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The key was used with other parameters before.
    #[error("the idempotency key was used before with other parameters: use a new key")]
    IdempotencyConflict,
    /// An unfinished job excludes this one, and has other next steps.
    #[error("job {0} does the same work with other steps after it: submit this chain when it has ended")]
    Busy(JobId),
    /// Too many jobs are queued or running.
    #[error("the limit of {0} queued or running jobs is reached: try again when some have ended")]
    TooManyJobs(i64),
    /// Too many jobs of this principal are queued or running.
    #[error(
        "the limit of {0} queued or running jobs of this principal is reached (BIO_MCP_PRINCIPAL_QUEUED_JOBS): try \
         again when some have ended"
    )]
    TooManyOfPrincipal(i64),
    /// The daily limit of the principal is reached, or its rest is too small.
    #[error(
        "the daily limit of this principal, {limit} records (BIO_MCP_PRINCIPAL_DAILY_RECORDS), would be exceeded: \
         {stored} are stored and the job may store up to {wanted}; the limit resets at 00:00 UTC"
    )]
    DailyRecords {
        limit: i64,
        /// Stored since 00:00 UTC.
        stored: i64,
        /// Records that the job may store, as far as known, at least 1.
        wanted: i64,
        /// Time until 00:00 UTC.
        retry_after: Duration,
    },
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

/// Submits a job with its planning unit. With an idempotency key, (principal, tool, key) is the identity while the row
/// exists; without one, a queued or running job with the same parameters is returned instead of a second one, as is one
/// with the same exclusive key. The caller must wake workers afterwards.
pub async fn submit(db: &PgPool, submission: &Submission, limits: Limits) -> Result<SubmitOutcome, SubmitError> {
    let identity = submission.identity()?;
    let of_principal = limits.of(&submission.principal);
    for _ in 0..2 {
        if let Some(details) = insert(db, submission, &identity, of_principal).await? {
            return Ok(SubmitOutcome::Created(Box::new(details)));
        }
        if let Some(earlier) = replayed(db, submission).await? {
            return Ok(earlier);
        }
        // A limit is reached, or a conflicting job has just ended: then the second attempt succeeds.
    }
    Err(why_refused(db, submission, of_principal).await?)
}

/// Like [`submit`], in a transaction: returns none if it cannot be submitted.
pub(crate) async fn insert_within(
    tx: &mut PgConnection,
    submission: &Submission,
    limits: Limits,
) -> Result<Option<JobDetails>, SubmitError> {
    Ok(insert(tx, submission, &submission.identity()?, limits.of(&submission.principal)).await?)
}

/// Why [`insert_within`] returned none.
pub(crate) async fn why_not_within(
    tx: &mut PgConnection,
    submission: &Submission,
    limits: Limits,
) -> Result<SubmitError, SubmitError> {
    if let Some(found) = find_existing(&mut *tx, submission).await? {
        return Ok(SubmitError::Busy(JobId(found.id)));
    }
    Ok(why_refused(tx, submission, limits.of(&submission.principal)).await?)
}

/// Which limit a submission exceeds.
async fn why_refused(db: impl PgExecutor<'_>, submission: &Submission, limits: Limits) -> Result<SubmitError, DbError> {
    let (own, stored, secs_left): (i64, i64, f64) =
        sqlx::query_as(include_str!("why_refused.sql")).bind(&submission.principal.name).fetch_one(db).await?;
    let wanted = submission.records_at_most.unwrap_or(1).max(1);
    Ok(match limits.principal_daily_records {
        Some(limit) if stored + wanted > limit => {
            let retry_after = Duration::from_secs_f64(secs_left.clamp(1.0, 86_400.0));
            SubmitError::DailyRecords { limit, stored, wanted, retry_after }
        }
        _ if own >= limits.principal_queued_jobs => SubmitError::TooManyOfPrincipal(limits.principal_queued_jobs),
        _ => SubmitError::TooManyJobs(limits.max_queued_jobs),
    })
}

/// Inserts a job; unique indexes decide between concurrent submissions.
async fn insert(
    db: impl PgExecutor<'_>,
    submission: &Submission,
    identity: &Identity,
    limits: Limits,
) -> Result<Option<JobDetails>, DbError> {
    let id = JobId::new();
    // A chain has the id of its first job.
    let chain_position = submission
        .chain_position
        .or_else(|| (!submission.then.is_empty()).then_some(ChainPosition { chain: id, step: 1 }));
    Ok(sqlx::query_as(concat!(include_str!("submit.sql"), include_str!("details.sql")))
        .bind(id.0)
        .bind(&submission.tool)
        .bind(&submission.params)
        .bind(&identity.params)
        .bind(&submission.idempotency_key)
        .bind(&submission.principal.name)
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
        .bind(limits.principal_queued_jobs)
        .bind(limits.principal_daily_records)
        .bind(submission.records_at_most.unwrap_or(1).max(1))
        .bind(&submission.exclusive_key)
        .bind(submission.following().map(Json))
        .bind(chain_position.map(|chain_position| chain_position.chain.0))
        .bind(chain_position.map(|chain_position| chain_position.step))
        .bind(&identity.chain)
        .fetch_optional(db)
        .await?)
}

/// An existing job that is returned instead of a new one.
#[derive(FromRow)]
struct ExistingJob {
    found_by: String,
    is_same: bool,
    id: Uuid,
}

async fn find_existing(db: impl PgExecutor<'_>, submission: &Submission) -> Result<Option<ExistingJob>, SubmitError> {
    let identity = submission.identity()?;
    Ok(sqlx::query_as(include_str!("find_existing.sql"))
        .bind(&submission.principal.name)
        .bind(&submission.tool)
        .bind(&submission.idempotency_key)
        .bind(identity.params)
        .bind(&submission.exclusive_key)
        .bind(submission.chain_position.map(|chain_position| chain_position.chain.0))
        .bind(submission.chain_position.map(|chain_position| chain_position.step))
        .bind(identity.chain)
        .fetch_optional(db)
        .await?)
}

/// The job of an earlier request, which is returned for this one too.
pub(crate) async fn replayed(db: &PgPool, submission: &Submission) -> Result<Option<SubmitOutcome>, SubmitError> {
    let Some(found) = find_existing(db, submission).await? else { return Ok(None) };
    match found.found_by.as_str() {
        "key" if !found.is_same => return Err(SubmitError::IdempotencyConflict),
        // The next steps would be lost, or the step of a chain would be a job outside of the chain.
        "exclusive" if !found.is_same && (submission.chain_position.is_some() || !submission.then.is_empty()) => {
            return Err(SubmitError::Busy(JobId(found.id)));
        }
        _ => {}
    }
    let job = details(db, JobId(found.id)).await?;
    Ok(job.map(|job| SubmitOutcome::Replayed(Box::new(job))))
}
