//! Turns for requests to a server, kept in one row of Postgres: all workers of a deployment together
//! start no more requests a second than it allows.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::PgPool;

use crate::db::DbError;
use crate::pubmed::eutils::{Pace, PaceError, gap};

/// A request that may be later than its turn by more than this takes another one: it could make one
/// too many in somebody's second.
const TOLERANCE: Duration = Duration::from_millis(50);

/// After so many turns given up, one is taken however late: better one too many than none.
const GIVEN_UP: u32 = 3;

/// No turn is taken further ahead than this: what is promised to a worker that dies is lost.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The shared pace of one server.
#[derive(Debug)]
pub struct PostgresPace {
    db: PgPool,
    upstream: String,
    gap: Duration,
    /// The quickest answer of the database so far: a distance that all turns have alike shifts them and
    /// crowds none.
    distance: Mutex<Duration>,
}

impl PostgresPace {
    /// The pace of `upstream` (a short name) with so many requests a second.
    pub fn new(db: PgPool, upstream: impl Into<String>, per_second: u32) -> Self {
        Self { db, upstream: upstream.into(), gap: gap(per_second), distance: Mutex::new(Duration::MAX) }
    }

    /// Takes a turn: when it is, and by how much the request may be late then. Time is the
    /// database's, so that no worker's clock matters; only how long the answer was under way is not
    /// known.
    async fn take(&self, longest: Duration) -> Result<Option<(Instant, Duration)>, PaceError> {
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
            (answered + Duration::from_secs_f64(wait.max(0.0)), under_way.saturating_sub(*distance))
        }))
    }
}

#[async_trait]
impl Pace for PostgresPace {
    async fn turn(&self, deadline: Instant) -> Result<(), PaceError> {
        let mut given_up = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(PaceError::TooLong);
            }
            let longest = left.min(LONGEST_WAIT);
            let Some((at, late)) = self.take(longest).await? else {
                if left <= LONGEST_WAIT {
                    return Err(PaceError::TooLong);
                }
                tokio::time::sleep(LONGEST_WAIT / 4).await;
                continue;
            };
            tokio::time::sleep_until(at.into()).await;
            if at.elapsed() + late <= TOLERANCE || given_up >= GIVEN_UP {
                return Ok(());
            }
            given_up += 1;
        }
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
