//! The database's clock, with which stored times are compared.
//!
//! Stored times that are later compared with the present come from various clocks. A clock that jumped ahead would
//! delay everything that waits for its times: with a watermark in the future, nothing is new. Times more than a minute
//! ahead are therefore pulled back by functions of the schema, logged here, and listed by `status`.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{FromRow, PgPool};

use super::DbError;
use bio_mcp_core::clock;

/// A time that was in the future and was pulled back.
#[derive(Clone, Debug, FromRow, serde::Serialize)]
pub struct Correction {
    /// The table and column.
    pub what: String,
    /// The row, or the number of rows.
    pub name: String,
    pub was: DateTime<Utc>,
    /// The new value; none if no earlier one is known.
    pub set_to: Option<DateTime<Utc>>,
    /// When it was found.
    pub found_at: DateTime<Utc>,
}

/// Pulls back times in the future: of jobs, work units and workers.
pub async fn pull_back_jobs(db: &PgPool) -> Result<Vec<Correction>, DbError> {
    let sql = "select what, name, was, set_to, found_at from pull_back_jobs() \
               union all select what, name, was, set_to, found_at from pull_back_workers()";
    Ok(sqlx::query_as(sql).fetch_all(db).await.inspect(|found| log_corrections(found))?)
}

pub fn log_corrections(corrections: &[Correction]) {
    for Correction { what, name, was, set_to, .. } in corrections {
        tracing::warn!(what, name, %was, ?set_to, "a stored time was in the future because of a wrong clock: it was \
                                                   corrected");
    }
}

/// The time of the database's clock.
pub async fn now(db: &PgPool) -> Result<DateTime<Utc>, DbError> {
    Ok(sqlx::query_scalar("select clock_timestamp()").fetch_one(db).await?)
}

/// The last corrections, newest first.
pub async fn corrections(db: &PgPool, limit: i64) -> Result<Vec<Correction>, DbError> {
    Ok(sqlx::query_as("select what, name, was, set_to, found_at from clock_corrections order by id desc limit $1")
        .bind(limit)
        .fetch_all(db)
        .await?)
}

/// A reading of the database's clock with simultaneous ones of this process's clocks.
#[derive(Clone, Copy, Debug)]
pub struct ClockReading {
    database: DateTime<Utc>,
    local: DateTime<Utc>,
    at: Instant,
}

impl ClockReading {
    pub async fn take(db: &PgPool) -> Result<Self, DbError> {
        Ok(Self { database: now(db).await?, local: clock::now(), at: Instant::now() })
    }

    /// The time of the database's clock when this process's clock showed `local`, which is between the reading and now.
    /// However wrong that clock is, the result is between the reading and now.
    pub fn of(&self, local: DateTime<Utc>) -> DateTime<Utc> {
        self.within(local, self.at.elapsed())
    }

    fn within(&self, local: DateTime<Utc>, since: std::time::Duration) -> DateTime<Utc> {
        let since = TimeDelta::from_std(since).unwrap_or(TimeDelta::MAX);
        let latest = self.database.checked_add_signed(since).unwrap_or(self.database);
        self.database.checked_add_signed(local - self.local).unwrap_or(latest).clamp(self.database, latest)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_time_of_a_wrong_clock_becomes_one_of_the_database() {
        let ahead = ClockReading {
            database: at("2026-03-10T12:00:00Z"),
            local: at("2027-03-10T12:00:00Z"),
            at: Instant::now(),
        };
        let minute = Duration::from_secs(60);
        assert_eq!(ahead.within(at("2027-03-10T12:00:20Z"), minute), at("2026-03-10T12:00:20Z"));
        // The clock was corrected, or jumped, in between.
        assert_eq!(ahead.within(at("2026-03-10T12:00:20Z"), minute), at("2026-03-10T12:00:00Z"));
        assert_eq!(ahead.within(at("2099-01-01T00:00:00Z"), minute), at("2026-03-10T12:01:00Z"));
    }
}
