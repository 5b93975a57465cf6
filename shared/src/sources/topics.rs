//! Topics: due queries become jobs, one per slot, however many processes check them.

use sqlx::PgPool;

use super::pubmed_sync::{IncrementalParams, ParamError, submit_incremental};
use crate::config::TopicSetting;
use crate::core::access::TOPICS;
use crate::core::{Principal, Role};
use crate::db::DbError;
use crate::ingest::Engine;
use crate::jobs::{Limits, Submission, SubmitOutcome};
use crate::syncs::{self, BindError, DueTopic, pull_back_syncs};

/// Interval at which topics of the environment are synced.
const EVERY_SECS: i32 = 86_400;

/// A query cannot be made a topic.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The query or its key is invalid.
    #[error(transparent)]
    Params(#[from] ParamError),
    /// The key belongs to another query.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Makes a query a topic, synced at an interval in seconds; returns its key.
pub async fn add(
    db: &PgPool,
    query: &str,
    query_key: Option<&str>,
    every_secs: Option<i32>,
    priority: Option<i16>,
) -> Result<(String, i32), TopicError> {
    let params = IncrementalParams::new(query, query_key, None, None)?;
    syncs::bind(db, &params.query_key, &params.query, TOPICS).await?;
    let known = syncs::topics(db).await?.into_iter().find(|known| known.query_key == params.query_key);
    let every_secs = every_secs.or(known.as_ref().map(|known| known.every_secs)).unwrap_or(EVERY_SECS);
    let priority = priority.or(known.as_ref().map(|known| known.priority)).unwrap_or(0);
    syncs::add_topic(db, &params.query_key, every_secs, priority).await?;
    Ok((params.query_key, every_secs))
}

/// Adds the configured topics that are not known yet. If one cannot be added, because its key is bound to another
/// query, that is logged and the others are added.
pub async fn add_configured(db: &PgPool, configured: &[TopicSetting]) -> Result<(), DbError> {
    if configured.is_empty() {
        return Ok(());
    }
    let known = syncs::topics(db).await?;
    for topic in configured {
        if !known.iter().any(|one| one.query == topic.query.trim()) {
            match add(db, &topic.query, topic.query_key.as_deref(), None, None).await {
                Ok(_) => {}
                Err(TopicError::Db(error) | TopicError::Bind(BindError::Db(error))) => return Err(error),
                Err(error) => tracing::error!(
                    query_key = topic.query_key,
                    query = topic.query,
                    %error,
                    "a topic of BIO_MCP_SYNC_TOPICS is not synced: `bio-mcp topics unbind` frees a key"
                ),
            }
        }
    }
    Ok(())
}

/// Idempotency key of a slot's job, or of its retry: the same in all processes until that job has ended.
fn slot_key(topic: &DueTopic) -> String {
    let slot = format!("topic:{}:{}", topic.query_key, topic.slot_at.timestamp());
    topic.failed_at.map_or(slot.clone(), |failed_at| format!("{slot}:{}", failed_at.timestamp_micros()))
}

/// Submits an incremental sync for each due topic, and for each whose last run failed a while ago; returns the new
/// jobs. A topic that cannot be submitted does not delay the others.
pub async fn submit_due(engine: &Engine, limits: Limits, ttl_hours: i16) -> Result<Vec<uuid::Uuid>, DbError> {
    let db = &engine.db;
    let mut made = Vec::new();
    // A slot in the future would never be due.
    pull_back_syncs(db).await?;
    let due = syncs::due_topics(db).await?;
    for topic in due {
        let params = match IncrementalParams::new(&topic.query, Some(&topic.query_key), None, None) {
            Ok(params) => params,
            Err(error) => {
                tracing::error!(query_key = topic.query_key, %error, "a topic cannot be synced");
                continue;
            }
        };
        let slot = slot_key(&topic);
        let submitted = submit_incremental(db, &params, limits, |submission| Submission {
            idempotency_key: Some(slot),
            principal: Principal { name: TOPICS.to_owned(), role: Role::Admin },
            priority: topic.priority,
            ttl_hours,
            ..submission
        })
        .await;
        let submitted = match submitted {
            Ok(submitted) => submitted,
            Err(error) => {
                tracing::error!(query_key = topic.query_key, %error, "a topic could not be submitted");
                continue;
            }
        };
        // While a user's own run of it goes on, the slot waits.
        if submitted.job().principal == TOPICS {
            syncs::mark_slot(db, &topic.query_key, topic.slot_at).await?;
        }
        if let SubmitOutcome::Created(job) = submitted {
            made.push(job.job.id);
        }
    }
    if !made.is_empty() {
        engine.wake_after_commit().await;
    }
    Ok(made)
}
