//! Submits syncs: the key is bound to its query before the job exists.

use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::{INCREMENTAL, IncrementalParams, SEARCH, SYNC, SyncParams};
use crate::db::DbError;
use crate::jobs::{self, Limits, Submission, SubmitError, SubmitOutcome};
use crate::syncs::{self, BindError, Bound};

/// A sync cannot be submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitSyncError {
    /// The key belongs to another query.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The job was refused.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// The submission of a sync, without the fields of the request.
pub fn sync_submission(params: &SyncParams) -> Submission {
    Submission {
        query_key: params.query_key.clone(),
        records_at_most: params.records_at_most(),
        ..Submission::new(SYNC, json!(params), SEARCH)
    }
}

/// The submission of an incremental sync, without the fields of the request. Only one job per key runs at a time.
pub fn incremental_submission(params: &IncrementalParams) -> Submission {
    Submission {
        query_key: Some(params.query_key.clone()),
        exclusive_key: Some(params.query_key.clone()),
        records_at_most: params.limit,
        ..Submission::new(INCREMENTAL, json!(params), SEARCH)
    }
}

/// Submits a sync; `with` fills in the caller and the other fields of the request.
pub async fn submit_sync(
    db: &PgPool,
    params: &SyncParams,
    limits: Limits,
    with: impl FnOnce(Submission) -> Submission,
) -> Result<SubmitOutcome, SubmitSyncError> {
    submit_bound(db, &with(sync_submission(params)), limits).await
}

/// Submits an incremental sync. If a job with its key is queued or running, that one is returned.
pub async fn submit_incremental(
    db: &PgPool,
    params: &IncrementalParams,
    limits: Limits,
    with: impl FnOnce(Submission) -> Submission,
) -> Result<SubmitOutcome, SubmitSyncError> {
    submit_bound(db, &with(incremental_submission(params)), limits).await
}

/// Binds the key of a sync's submission, if it has one, to its query or its list.
pub async fn bind(db: &mut PgConnection, submission: &Submission) -> Result<Option<Bound>, BindError> {
    let Some(key) = &submission.query_key else { return Ok(None) };
    let query = submission.params["query"].as_str();
    syncs::bind_within(db, key, query, &submission.principal).await.map(Some)
}

/// Submits the submission of [`sync_submission`] or [`incremental_submission`]. If the job is refused, a key that was
/// bound for it is released.
pub async fn submit_bound(
    db: &PgPool,
    submission: &Submission,
    limits: Limits,
) -> Result<SubmitOutcome, SubmitSyncError> {
    let bound = if submission.query_key.is_some() {
        let mut connection = db.acquire().await.map_err(|error| BindError::from(DbError::from(error)))?;
        bind(&mut connection, submission).await?
    } else {
        None
    };
    let submitted = jobs::submit(db, submission, limits).await;
    if let (Err(_), Some(Bound::Now), Some(key)) = (&submitted, bound, &submission.query_key) {
        syncs::unbind_unused(db, key).await.map_err(BindError::from)?;
    }
    Ok(submitted?)
}
