//! Submitting a job: one transaction, one job however often it is sent.

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

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct Submission {
    pub tool: String,
    /// Its parameters, defaults filled in.
    pub params: Value,
    /// Identifies the request, so that repeating it does not submit a second job.
    pub idempotency_key: Option<String>,
    /// Who asks.
    pub principal: Principal,
    /// 0 to 10, 10 first.
    pub priority: i16,
    /// How long the row stays after the job has ended, 1 to 168.
    pub ttl_hours: i16,
    /// The trace it belongs to.
    pub trace_id: String,
    /// The job it retries.
    pub parent_job_id: Option<JobId>,
    /// The key of what it works for, by which jobs are found; kept and not interpreted.
    pub query_key: Option<String>,
    /// While a job with this key is queued or running, that one is returned in place of a second one.
    pub exclusive_key: Option<String>,
    /// The most records that it can store, where its parameters say so.
    pub records_at_most: Option<i64>,
    /// Steps that follow it, each submitted when the previous job has succeeded.
    pub then: Vec<Step>,
    /// Its position in an existing chain; without one, steps that follow form a new chain.
    pub chain_position: Option<ChainPosition>,
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

    /// The steps that follow it, as its row stores them.
    pub(super) fn following(&self) -> Option<Following> {
        let following = || Following { role: self.principal.role, then: self.then.clone() };
        (!self.then.is_empty()).then(following)
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
    /// Jobs of one principal that may be queued or running.
    pub principal_queued_jobs: i64,
    /// Records that the jobs of one principal may store in a day (UTC).
    pub principal_daily_records: Option<i64>,
    /// After this many seconds a job is given up.
    pub job_timeout_secs: f64,
}

impl Limits {
    /// Limits of the queue and of time alone: no principal has any of its own.
    pub const fn without_quotas(max_queued_jobs: i64, job_timeout_secs: f64) -> Self {
        Self { max_queued_jobs, principal_queued_jobs: i64::MAX, principal_daily_records: None, job_timeout_secs }
    }

    /// The limits of a principal. Admins and topics have none of their own, and a tenth of the queue for themselves.
    fn of(self, principal: &Principal) -> Self {
        if principal.role >= Role::Admin {
            return Self { principal_queued_jobs: i64::MAX, principal_daily_records: None, ..self };
        }
        let reserve = (self.max_queued_jobs + 9) / 10;
        // Of a queue of one there is nothing to reserve.
        Self { max_queued_jobs: (self.max_queued_jobs - reserve).max(1), ..self }
    }

    /// The same for a job that is so many times as long as one may be.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { job_timeout_secs: self.job_timeout_secs * f64::from(times), ..self }
    }
}

/// What became of a submission.
#[derive(Clone, Debug)]
pub enum SubmitOutcome {
    /// A new job.
    Created(Box<JobDetails>),
    /// The job of an earlier identical request.
    Replayed(Box<JobDetails>),
}

impl SubmitOutcome {
    /// The job.
    pub fn job(&self) -> &Job {
        &self.details().job
    }

    /// The details of the job.
    pub fn details(&self) -> &JobDetails {
        match self {
            Self::Created(details) | Self::Replayed(details) => details,
        }
    }
}

/// A submission was refused.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The key was used with other parameters.
    #[error("the idempotency key was used before with other parameters: use a new key")]
    IdempotencyConflict,
    /// An unfinished job excludes this one, and has other steps after it.
    #[error("job {0} does the same work with other steps after it: submit this chain when it has ended")]
    Busy(JobId),
    /// Too many jobs wait.
    #[error("the limit of {0} queued or running jobs is reached: try again when some have ended")]
    TooManyJobs(i64),
    /// Too many jobs of this principal wait.
    #[error(
        "the limit of {0} queued or running jobs of this principal is reached (BIO_MCP_PRINCIPAL_QUEUED_JOBS): try \
         again when some have ended"
    )]
    TooManyOfPrincipal(i64),
    /// What the principal may store today is used up, or too little of it is left.
    #[error(
        "the daily limit of this principal, {limit} records (BIO_MCP_PRINCIPAL_DAILY_RECORDS), would be exceeded: \
         {stored} are stored and the job may store up to {wanted}; the limit resets at 00:00 UTC"
    )]
    DailyRecords {
        limit: i64,
        /// Stored since 00:00 UTC.
        stored: i64,
        /// What the job may store, as far as that is known, at least 1.
        wanted: i64,
        /// Until 00:00 UTC.
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

/// Submits a job with its planning unit. With an idempotency key, (principal, tool, key) is the
/// identity while the row lives; without one, a queued or running job of the same parameters is returned instead of a
/// second one; so is a queued or running job of the same exclusive key. The caller wakes workers afterwards.
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
        // There are too many, or what was in the way has just ended: then the second time will do.
    }
    Err(why_refused(db, submission, of_principal).await?)
}

/// The same in a transaction: returns none if it cannot be submitted.
pub(crate) async fn insert_within(
    tx: &mut PgConnection,
    submission: &Submission,
    limits: Limits,
) -> Result<Option<JobDetails>, SubmitError> {
    Ok(insert(tx, submission, &submission.identity()?, limits.of(&submission.principal)).await?)
}

/// Why [`insert_within`] submitted nothing.
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

/// Which limit a submission is beyond.
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

/// Inserting decides between concurrent submissions: by the unique indexes.
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

/// An existing job that is returned in place of a new one.
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
        // What is to follow would be lost, and the step of a chain would be a job that is none of it.
        "exclusive" if !found.is_same && (submission.chain_position.is_some() || !submission.then.is_empty()) => {
            return Err(SubmitError::Busy(JobId(found.id)));
        }
        _ => {}
    }
    let job = details(db, JobId(found.id)).await?;
    Ok(job.map(|job| SubmitOutcome::Replayed(Box::new(job))))
}
