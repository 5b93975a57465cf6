//! Turns for requests to a server, kept in one row of Postgres: all workers of a deployment together
//! start no more requests a second than it allows.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::PgPool;

use super::pace::{SharedPace, Turn, Turns};
use crate::db::DbError;
use bio_mcp_core::pace::{PaceError, gap};

/// The pace of one server, its turns in Postgres.
pub type PostgresPace = SharedPace<PostgresTurns>;

impl PostgresPace {
    /// The pace of `upstream` (a short name) with so many requests a second.
    pub fn new(db: PgPool, upstream: impl Into<String>, per_second: u32) -> Self {
        Self(PostgresTurns { db, upstream: upstream.into(), gap: gap(per_second), distance: Mutex::new(Duration::MAX) })
    }
}

/// The turns of one server.
#[derive(Debug)]
pub struct PostgresTurns {
    db: PgPool,
    upstream: String,
    gap: Duration,
    /// The quickest answer of the database so far: a distance that all turns have alike shifts them and
    /// crowds none.
    distance: Mutex<Duration>,
}

#[async_trait]
impl Turns for PostgresTurns {
    // Time is the database's, so that no worker's clock matters; only how long the answer was under way is not
    // known.
    async fn take(&self, longest: Duration) -> Result<Option<Turn>, PaceError> {
        let unavailable = |error: sqlx::Error| PaceError::Unavailable(Box::new(DbError::from(error)));
        let mut connection = self.db.acquire().await.map_err(unavailable)?;
        let asked = Instant::now();
        let turn: Option<(f64, f64)> = sqlx::query_as("select wait_secs, served_secs from take_turn($1, $2, $3)")
            .bind(&self.upstream)
            .bind(self.gap.as_secs_f64())
            .bind(longest.as_secs_f64())
            .fetch_optional(&mut *connection)
            .await
            .map_err(unavailable)?;
        let answered = Instant::now();
        Ok(turn.map(|(wait, served)| {
            let under_way = (answered - asked).saturating_sub(Duration::from_secs_f64(served.max(0.0)));
            let mut distance = self.distance.lock().unwrap_or_else(PoisonError::into_inner);
            *distance = (*distance).min(under_way);
            let at = answered + Duration::from_secs_f64(wait.max(0.0));
            Turn { at, late: under_way.saturating_sub(*distance) }
        }))
    }

    async fn hold(&self, pause: Duration) -> Result<(), PaceError> {
        sqlx::query(
            "insert into upstream_pace (upstream, next_at) values ($1, clock_timestamp() + make_interval(secs => $2)) \
             on conflict (upstream) do update set next_at = greatest(upstream_pace.next_at, excluded.next_at)",
        )
        .bind(&self.upstream)
        .bind(pause.as_secs_f64())
        .execute(&self.db)
        .await
        .map_err(|error| PaceError::Unavailable(Box::new(DbError::from(error))))?;
        Ok(())
    }
}
