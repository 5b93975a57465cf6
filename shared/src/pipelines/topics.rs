//! Topics: queries whose time has come become jobs, one for each slot however many look.

use sqlx::PgPool;

use super::pubmed_sync::{IncrementalParams, submit_incremental};
use crate::db::DbError;
use crate::jobs::{Limits, Submission, Submitted};
use crate::syncs;

/// Who submits them.
const PRINCIPAL: &str = "topics";

/// Submits an incremental sync for each due topic; answers the jobs that are new. A topic that cannot
/// be submitted keeps no other waiting.
pub async fn submit_due(db: &PgPool, limits: Limits, ttl_hours: i16) -> Result<Vec<uuid::Uuid>, DbError> {
    let mut made = Vec::new();
    let due = syncs::due_topics(db).await?;
    for topic in due {
        let params = match IncrementalParams::new(&topic.query, Some(&topic.query_key), None, None) {
            Ok(params) => params,
            Err(error) => {
                tracing::error!(query_key = topic.query_key, %error, "a topic cannot be synced");
                continue;
            }
        };
        let slot = format!("topic:{}:{}", topic.query_key, topic.slot_at.timestamp());
        let submitted = submit_incremental(db, &params, limits, |submission| Submission {
            idempotency_key: Some(slot),
            principal: PRINCIPAL.to_owned(),
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
        // While somebody's own run of it goes on, the slot waits.
        if submitted.job().principal == PRINCIPAL {
            syncs::mark_slot(db, &topic.query_key, topic.slot_at).await?;
        }
        if let Submitted::Created(job) = submitted {
            made.push(job.job.id);
        }
    }
    Ok(made)
}
