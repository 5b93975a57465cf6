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
    /// Time of the last progress.
    pub updated_at: Option<DateTime<Utc>>,
}

impl Lag {
    /// Whether there are events to process, for the first time or again, and this program may do so.
    pub fn is_to_be_read(&self) -> bool {
        self.rules.is_none_or(|rules| rules <= self.own_rules) && self.work() > 0
    }

    /// Whether it is stalled although there are events to process.
    pub fn is_stalled(&self) -> bool {
        self.stalled_seconds > STALLED_AFTER.as_secs_f64()
    }

    /// Event numbers that are still to be processed, for the first time or again.
    pub fn work(&self) -> i64 {
        let is_outdated = self.rules.is_some_and(|rules| rules < self.own_rules);
        let rebuilt = if is_outdated { 0 } else { self.rebuilt_seq.unwrap_or(self.seq) };
        self.events_behind + self.seq - rebuilt
    }
}

/// Returns the lag of these projections. The cost does not depend on the size of the log.
pub async fn lag(db: &PgPool, projections: &[Arc<dyn Projection>]) -> Result<Vec<Lag>, DbError> {
    let (names, rules): (Vec<&str>, Vec<i32>) = projections.iter().map(|one| (one.name(), one.rules())).unzip();
    Ok(sqlx::query_as(include_str!("lag.sql")).bind(names).bind(rules).fetch_all(db).await?)
}
