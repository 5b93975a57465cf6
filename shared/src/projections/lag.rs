//! How far readers of the log are behind it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgPool};

use super::Projection;
use crate::db::DbError;

/// A reader that is behind and did not move for so long stands still: an operator should look. The sweep starts it every
/// minute, and its unit is tried three times with pauses of at most a minute.
pub const STALLED_AFTER: Duration = Duration::from_secs(900);

/// A reader of the log.
#[derive(Clone, Debug, FromRow, Serialize)]
pub struct Lag {
    /// The projection.
    pub name: String,
    /// What follows from every event up to this number is written.
    pub seq: i64,
    /// The last number of the log.
    pub last_seq: i64,
    /// Numbers of the log that were not read; 0 when there is no event among them.
    pub events_behind: i64,
    /// How long ago the first event that was not read was accepted.
    pub seconds_behind: f64,
    /// For how long there were events to read and nothing was read.
    pub stalled_seconds: f64,
    /// How far a rebuild is, while one is under way.
    pub rebuilt_seq: Option<i64>,
    /// By which rules it was read; older ones than those of this program are to be rebuilt, newer ones are left to the
    /// program that has them.
    pub rules: Option<i32>,
    /// The rules of this program.
    #[serde(skip)]
    own_rules: i32,
    /// When it last moved.
    pub updated_at: Option<DateTime<Utc>>,
}

impl Lag {
    /// Whether there is something to read, for the first time or again, and this program may.
    pub fn is_to_be_read(&self) -> bool {
        self.rules.is_none_or(|rules| rules <= self.own_rules) && self.work() > 0
    }

    /// Whether it stands still though there is something to read.
    pub fn is_stalled(&self) -> bool {
        self.stalled_seconds > STALLED_AFTER.as_secs_f64()
    }

    /// Numbers that are still to be read, for the first time or again.
    pub fn work(&self) -> i64 {
        let is_outdated = self.rules.is_some_and(|rules| rules < self.own_rules);
        let rebuilt = if is_outdated { 0 } else { self.rebuilt_seq.unwrap_or(self.seq) };
        self.events_behind + self.seq - rebuilt
    }
}

/// How far these projections are. Takes the same time whatever the size of the log.
pub async fn lag(db: &PgPool, projections: &[Arc<dyn Projection>]) -> Result<Vec<Lag>, DbError> {
    let (names, rules): (Vec<&str>, Vec<i32>) = projections.iter().map(|one| (one.name(), one.rules())).unzip();
    Ok(sqlx::query_as(include_str!("lag.sql")).bind(names).bind(rules).fetch_all(db).await?)
}
