//! Submitting syncs: the key is bound to its query before there is a job.

use serde_json::json;
use sqlx::PgPool;

use super::{INCREMENTAL, IncrementalParams, SEARCH, SYNC, SyncParams};
use crate::jobs::{self, Limits, Submission, SubmitError, Submitted};
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

/// Submits a sync; `with` fills in who asks and how.
pub async fn submit_sync(
    db: &PgPool,
    params: &SyncParams,
    limits: Limits,
    with: impl FnOnce(Submission) -> Submission,
) -> Result<Submitted, SubmitSyncError> {
    let submission = with(Submission::new(SYNC, json!(params), SEARCH));
    let submission =
        Submission { query_key: params.query_key.clone(), records_at_most: params.records_at_most(), ..submission };
    let bound = match (&params.query_key, &params.query) {
        (None, _) => None,
        (Some(key), Some(query)) => Some((key, syncs::bind(db, key, query, &submission.principal.name).await?)),
        (Some(key), None) => Some((key, syncs::bind_list(db, key, &submission.principal).await?)),
    };
    submit(db, &submission, limits, bound).await
}

/// Submits an incremental sync. While one of its key is queued or running, that one is the answer.
pub async fn submit_incremental(
    db: &PgPool,
    params: &IncrementalParams,
    limits: Limits,
    with: impl FnOnce(Submission) -> Submission,
) -> Result<Submitted, SubmitSyncError> {
    let key = &params.query_key;
    let submission = with(Submission::new(INCREMENTAL, json!(params), SEARCH));
    let submission = Submission {
        query_key: Some(key.clone()),
        exclusive_key: Some(key.clone()),
        records_at_most: params.limit,
        ..submission
    };
    let bound = syncs::bind(db, key, &params.query, &submission.principal.name).await?;
    submit(db, &submission, limits, Some((key, bound))).await
}

/// A key that was bound for a job which is then refused is free again: what may not be submitted must not take keys.
async fn submit(
    db: &PgPool,
    submission: &Submission,
    limits: Limits,
    bound: Option<(&String, Bound)>,
) -> Result<Submitted, SubmitSyncError> {
    let submitted = jobs::submit(db, submission, limits).await;
    if let (Err(_), Some((key, Bound::Now))) = (&submitted, bound) {
        syncs::unbind_unused(db, key).await.map_err(BindError::from)?;
    }
    Ok(submitted?)
}
