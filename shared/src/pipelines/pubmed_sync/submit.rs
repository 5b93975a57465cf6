//! Submitting syncs: the key is bound to its query before there is a job.

use serde_json::json;
use sqlx::PgPool;

use super::{INCREMENTAL, IncrementalParams, SEARCH, SYNC, SyncParams};
use crate::jobs::{self, Limits, Submission, SubmitError, Submitted};
use crate::syncs::{self, BindError};

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

/// Submits a sync; `with` fills in who asks and how.
pub async fn submit_sync(
    db: &PgPool,
    params: &SyncParams,
    limits: Limits,
    with: impl FnOnce(Submission) -> Submission,
) -> Result<Submitted, SubmitSyncError> {
    if let (Some(query), Some(key)) = (&params.query, &params.query_key) {
        syncs::bind(db, key, query).await?;
    }
    let submission = with(Submission::new(SYNC, json!(params), SEARCH));
    Ok(jobs::submit(db, &submission, limits).await?)
}

/// Submits an incremental sync. While one of its key is queued or running, that one is the answer.
pub async fn submit_incremental(
    db: &PgPool,
    params: &IncrementalParams,
    limits: Limits,
    with: impl FnOnce(Submission) -> Submission,
) -> Result<Submitted, SubmitSyncError> {
    syncs::bind(db, &params.query_key, &params.query).await?;
    let submission = with(Submission::new(INCREMENTAL, json!(params), SEARCH));
    let submission = Submission { query_key: Some(params.query_key.clone()), ..submission };
    Ok(jobs::submit(db, &submission, limits).await?)
}
