//! Reading the event log.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{FromRow, PgPool};

use crate::db::DbError;
use crate::pubmed::{IntegrityNote, NOTE_RULES};

/// An accepted change of a record of any type.
#[derive(Clone, Debug, FromRow)]
pub struct Event {
    /// Number of the event in the log.
    pub seq: i64,
    /// The type of the record.
    pub record_type: String,
    /// Identifier of the record within its type.
    pub record_id: String,
    /// Whether the record, or a version of it, was deleted.
    pub is_deletion: bool,
    /// Hash of the payload; none for a deletion.
    pub content_hash: Option<String>,
    /// Address of the object.
    pub s3_uri: String,
    /// When the change was accepted.
    pub accepted_at: DateTime<Utc>,
    /// Noted integrity of the payload; none if it states nothing.
    pub integrity: Option<Json<IntegrityNote>>,
    /// Version of the rules that read the integrity; none if nothing was noted.
    pub integrity_rules: Option<i16>,
    /// Whether the next event belongs to the same change and describes the record after it: a version was deleted and
    /// another one remains, or a lower version arrived. No reader has seen the state that this event describes.
    #[sqlx(default)]
    pub is_passed_over: bool,
}

/// Events that are read together.
#[derive(Clone, Debug)]
pub struct EventBatch {
    /// Number after which the batch starts.
    pub after: i64,
    /// Number up to which the batch is complete.
    pub upto: i64,
    /// The events, in order.
    pub events: Vec<Event>,
}

impl Event {
    /// Integrity that its payload states, if it was noted by the rules of this program or newer ones.
    pub fn note(&self) -> Option<IntegrityNote> {
        let is_noted = self.integrity_rules.is_some_and(|rules| rules >= NOTE_RULES);
        is_noted.then(|| self.integrity.as_ref().map(|note| note.0.clone()).unwrap_or_default())
    }

    /// Whether `next` belongs to the same change: one statement wrote both.
    fn belongs_with(&self, next: &Self) -> bool {
        next.seq == self.seq + 1
            && next.accepted_at == self.accepted_at
            && (&next.record_type, &next.record_id) == (&self.record_type, &self.record_id)
    }
}

/// Reads up to `limit` events after a number, and up to another; none if there are no more.
pub(super) async fn read(
    db: &PgPool,
    after: i64,
    upto: Option<i64>,
    limit: usize,
) -> Result<Option<EventBatch>, DbError> {
    // One more, to check whether it belongs to the change of the last one.
    let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let events: Vec<Event> =
        sqlx::query_as(include_str!("events.sql")).bind(after).bind(upto).bind(more).fetch_all(db).await?;
    Ok(batch(after, upto, events, limit))
}

fn batch(after: i64, upto: Option<i64>, mut events: Vec<Event>, limit: usize) -> Option<EventBatch> {
    for n in 1..events.len() {
        let is_passed_over = events[n - 1].belongs_with(&events[n]);
        events[n - 1].is_passed_over = is_passed_over;
    }
    let is_cut = events.len() > limit;
    events.truncate(limit);
    let last = events.last()?.seq;
    // Numbers without an event are memberships, which are read separately.
    let upto = upto.filter(|_| !is_cut).unwrap_or(last);
    Some(EventBatch { after, upto, events })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: i64, id: &str, at: i64) -> Event {
        Event {
            seq,
            record_type: "toy".to_owned(),
            record_id: id.to_owned(),
            is_deletion: false,
            content_hash: None,
            s3_uri: String::new(),
            accepted_at: DateTime::from_timestamp(at, 0).expect("a time"),
            integrity: None,
            integrity_rules: None,
            is_passed_over: false,
        }
    }

    #[test]
    fn only_the_last_event_of_one_change_counts_wherever_a_batch_ends() {
        let log = || vec![event(3, "a", 1), event(4, "a", 1), event(5, "b", 1), event(7, "b", 1), event(8, "b", 2)];
        let passed = |limit| {
            let batch = batch(2, None, log(), limit).expect("events");
            (batch.upto, batch.events.iter().filter(|one| one.is_passed_over).map(|one| one.seq).collect::<Vec<_>>())
        };
        assert_eq!(passed(10), (8, vec![3]), "5 and 7 are not neighbours, 8 came at another time");
        assert_eq!(passed(1), (3, vec![3]), "the one behind the batch is looked at");
        assert_eq!(passed(2), (4, vec![3]));
    }

    #[test]
    fn a_batch_that_is_not_cut_reaches_the_end_that_was_asked_for() {
        assert_eq!(batch(0, Some(9), vec![event(3, "a", 1)], 1).expect("one").upto, 9);
        assert_eq!(batch(0, Some(9), vec![event(3, "a", 1), event(4, "b", 1)], 1).expect("one").upto, 3);
        assert!(batch(0, Some(9), Vec::new(), 1).is_none());
    }
}
