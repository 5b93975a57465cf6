//! The change feed: the changes of each event, by kind. The integrity that a payload states was noted when it was
//! archived; otherwise the object is read.

mod feed;
mod kinds;
mod objects;
mod rows;
mod wait;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};

pub use feed::{FeedEntry, FeedError, FeedFilter, FeedPage, feed, known_query};
pub use kinds::ChangeKind;
pub use wait::next_changes;

use self::kinds::{LiveState, RecordState, change};
use self::rows::{ChangeRow, ChangeRows, Details};
use super::{Event, EventBatch, PrepareContext, Projection, ProjectionRows};
use crate::db::DbError;
use crate::ingest::UnitError;
use crate::pubmed::{IntegrityNote, IntegrityStatus};

/// Name of the projection.
pub const CHANGES: &str = "changes";

/// The record type whose payloads state their integrity.
const PUBMED: &str = "pubmed";

/// The change feed.
pub struct ChangesProjection;

/// Type and identifier of a record.
type Key = (String, String);

#[async_trait]
impl Projection for ChangesProjection {
    fn name(&self) -> &'static str {
        CHANGES
    }

    fn rules(&self) -> i32 {
        1
    }

    async fn prepare(
        &self,
        prepare_context: PrepareContext<'_>,
        batch: &EventBatch,
    ) -> Result<Arc<dyn ProjectionRows>, UnitError> {
        let db = &prepare_context.engine.db;
        let events: Vec<&Event> = batch.events.iter().filter(|event| !event.is_passed_over).collect();
        let mut states = states(db, &events, batch.after).await?;
        let unnoted = events.iter().copied().filter(|event| must_be_read(event, &states)).collect();
        let mut notes = objects::read(prepare_context, unnoted).await?;
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            let state = states.entry(key(event)).or_default();
            let note = if is_of_pubmed(event) { event.note().or_else(|| notes.remove(&event.seq)) } else { None };
            let (kinds, after) = change(state, event, note);
            if let Some(after) = after {
                rows.extend(kinds.into_iter().map(|kind| ChangeRow::of(event, kind, &after)));
                *state = after;
            }
        }
        Ok(Arc::new(ChangeRows { after: batch.after, upto: batch.upto, rows }))
    }
}

fn key(event: &Event) -> Key {
    (event.record_type.clone(), event.record_id.clone())
}

fn is_of_pubmed(event: &Event) -> bool {
    event.record_type == PUBMED
}

/// Whether the object of an event must be read: it may change the known integrity of the record, and nothing was noted
/// with the event.
fn must_be_read(event: &Event, states: &HashMap<Key, RecordState>) -> bool {
    if event.is_deletion || !is_of_pubmed(event) || event.note().is_some() {
        return false;
    }
    // An event that repeats what is known leads to no change.
    !matches!(states.get(&key(event)), Some(RecordState::Live(live)) if live.is_known(event))
}

#[derive(FromRow)]
struct StateRow {
    record_type: String,
    record_id: String,
    kind: String,
    integrity: Option<String>,
    details: Option<Json<Details>>,
    content_hash: Option<String>,
    /// Integrity of an earlier row, if the payload of this one could not be read.
    known: Option<String>,
    known_details: Option<Json<Details>>,
}

/// The states of the records of events in the feed at a number.
async fn states(db: &PgPool, events: &[&Event], at: i64) -> Result<HashMap<Key, RecordState>, DbError> {
    let mut keys: Vec<(&str, &str)> =
        events.iter().map(|event| (event.record_type.as_str(), event.record_id.as_str())).collect();
    keys.sort_unstable();
    keys.dedup();
    let (types, ids): (Vec<&str>, Vec<&str>) = keys.into_iter().unzip();
    let found: Vec<StateRow> =
        sqlx::query_as(include_str!("states.sql")).bind(types).bind(ids).bind(at).fetch_all(db).await?;
    Ok(found.into_iter().map(|row| ((row.record_type.clone(), row.record_id.clone()), row.into())).collect())
}

impl From<StateRow> for RecordState {
    fn from(row: StateRow) -> Self {
        if row.kind == ChangeKind::Deleted.as_str() {
            return Self::Deleted;
        }
        let integrity = rows::note(row.integrity.as_deref(), row.details);
        let known = integrity.clone().filter(IntegrityNote::is_known);
        let last_known = known.or_else(|| rows::note(row.known.as_deref(), row.known_details));
        Self::Live(LiveState { content_hash: row.content_hash, integrity, last_known })
    }
}

/// Returns the number of records whose last payload could not be read.
pub async fn unknown(db: &PgPool) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar(include_str!("unknown.sql")).fetch_one(db).await?)
}

/// Makes the changes of a record those that a rebuild gives when its payloads are unknown: no text of them remains.
pub(super) async fn forget(tx: &mut PgConnection, record_type: &str, record_id: &str) -> Result<(), DbError> {
    for sql in [
        "delete from changes where record_type = $1 and record_id = $2 and kind not in ('new', 'revised', 'deleted')",
        "update changes set integrity = 'unknown', details = null \
         where record_type = $1 and record_id = $2 and kind <> 'deleted' and integrity is not null",
    ] {
        sqlx::query(sql).bind(record_type).bind(record_id).execute(&mut *tx).await?;
    }
    Ok(())
}

/// The status of a row.
fn status(text: &str) -> IntegrityStatus {
    IntegrityStatus::parse(text).unwrap_or(IntegrityStatus::Unknown)
}
