//! How far projections are behind the event log.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgPool};

use super::Projection;
use crate::db::DbError;

/// Time after which a projection that is behind and has not moved counts as stalled: an operator should check it. The
/// sweep starts it every minute, and its unit is tried three times with pauses of at most a minute.
pub const STALLED_AFTER: Duration = Duration::from_secs(900);

/// The position and the lag of a projection.
#[derive(Clone, Debug, FromRow, Serialize)]
pub struct Lag {
    /// Name of the projection.
    pub name: String,
    /// Number of the last event whose rows are written.
    pub seq: i64,
    /// Number of the last event in the log.
    pub last_seq: i64,
    /// Event numbers that are not processed yet; 0 if no event is among them.
    pub events_behind: i64,
    /// Age of the first unprocessed event, in seconds.
    pub seconds_behind: f64,
    /// Time for which there were unprocessed events and no progress, in seconds.
    pub stalled_seconds: f64,
    /// Position of a rebuild, while one is in progress.
    pub rebuilt_seq: Option<i64>,
    /// Version of the rules that wrote the rows: rows of older rules are rebuilt; rows of newer rules are left to the
    /// newer program.
    pub rules: Option<i32>,
    /// Version of the rules of this program.
    #[serde(skip)]
    own_rules: i32,
    /// Number of the first event in the log.
    #[serde(skip)]
    first_event: Option<i64>,
    /// Number of the last event in the log; higher ones are memberships.
    #[serde(skip)]
    last_event: Option<i64>,
    /// Time of the last progress.
    pub updated_at: Option<DateTime<Utc>>,
}

impl Lag {
    /// Whether there are events to process, for the first time or again, and this program may do so.
    pub fn is_to_be_read(&self) -> bool {
        self.rules.is_none_or(|rules| rules <= self.own_rules) && (self.events_behind > 0 || self.rebuilt().is_some())
    }

    /// Position of a rebuild that is in progress or due.
    fn rebuilt(&self) -> Option<i64> {
        let is_outdated = self.rules.is_some_and(|rules| rules < self.own_rules);
        if is_outdated && self.seq > 0 { Some(0) } else { self.rebuilt_seq }
    }

    /// Whether it is stalled although there are events to process.
    pub fn is_stalled(&self) -> bool {
        self.stalled_seconds > STALLED_AFTER.as_secs_f64()
    }

    /// Existing event numbers that are still to be processed, for the first time or again.
    pub fn work(&self) -> i64 {
        let (Some(first), Some(last)) = (self.first_event, self.last_event) else { return 0 };
        let left_after = |seq: i64| (last - seq.max(first - 1)).max(0);
        left_after(self.seq) + self.rebuilt().map_or(0, left_after)
    }
}

/// Returns the lag of these projections. The cost does not depend on the size of the log.
pub async fn lag(db: &PgPool, projections: &[Arc<dyn Projection>]) -> Result<Vec<Lag>, DbError> {
    let (names, rules): (Vec<&str>, Vec<i32>) = projections.iter().map(|one| (one.name(), one.rules())).unzip();
    Ok(sqlx::query_as(include_str!("lag.sql")).bind(names).bind(rules).fetch_all(db).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(seq: i64, rebuilt_seq: Option<i64>, rules: i32) -> Lag {
        Lag {
            name: "toy".to_owned(),
            seq,
            last_seq: 1_020,
            events_behind: (1_020 - seq.max(1_000)).max(0),
            seconds_behind: 0.0,
            stalled_seconds: 0.0,
            rebuilt_seq,
            rules: Some(rules),
            updated_at: None,
            own_rules: 2,
            first_event: Some(1_001),
            last_event: Some(1_010),
        }
    }

    #[test]
    fn work_is_counted_in_numbers_that_exist() {
        assert_eq!(lag(0, None, 2).work(), 10, "the numbers of a lost log do not count, nor do memberships at the end");
        assert_eq!(lag(1_010, None, 2).work(), 0);
        assert_eq!(lag(1_010, Some(0), 2).work(), 10, "a rebuild");
        assert_eq!(lag(1_004, Some(0), 2).work(), 16, "a rebuild also reads the events that came during it");
        assert_eq!(lag(1_010, None, 1).work(), 10, "a rebuild that newer rules start");
        assert_eq!(Lag { first_event: None, last_event: None, ..lag(7, Some(0), 2) }.work(), 0, "an empty log");
    }

    #[test]
    fn a_rebuild_is_to_be_read_even_if_no_event_is_left() {
        let current =
            |rebuilt_seq, rules| Lag { events_behind: 0, first_event: None, ..lag(1_010, rebuilt_seq, rules) };
        assert!(!current(None, 2).is_to_be_read());
        assert!(current(Some(0), 2).is_to_be_read() && current(None, 1).is_to_be_read());
        assert!(!current(Some(0), 3).is_to_be_read(), "rows of newer rules are left to the newer program");
    }
}
