//! Reservations of request starts, in one row of Postgres: all workers of a deployment together do not exceed the
//! allowed number of requests per second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::PgPool;

use super::rate_limiter::{Reservation, Reservations, SharedRateLimiter};
use crate::db::DbError;
use bio_mcp_core::rate_limiter::{RateLimiterError, gap};

/// The rate limiter of one server, with its reservations in Postgres.
pub type PostgresRateLimiter = SharedRateLimiter<PostgresReservations>;

impl PostgresRateLimiter {
    /// The rate limiter of `upstream` (a short name) for `per_second` requests a second.
    pub fn new(db: PgPool, upstream: impl Into<String>, per_second: u32) -> Self {
        Self(PostgresReservations {
            db,
            upstream: upstream.into(),
            gap: gap(per_second),
            distance: Mutex::new(Duration::MAX),
        })
    }
}

/// The reservations of one server.
#[derive(Debug)]
pub struct PostgresReservations {
    db: PgPool,
    upstream: String,
    gap: Duration,
    /// Shortest latency of the database so far: a latency that all reservations have in common only shifts them.
    distance: Mutex<Duration>,
}

#[async_trait]
impl Reservations for PostgresReservations {
    // The time is the database's, so that the clocks of workers do not matter; only the latency of the response is
    // unknown.
    async fn reserve(&self, longest: Duration) -> Result<Option<Reservation>, RateLimiterError> {
        let unavailable = |error: sqlx::Error| RateLimiterError::Unavailable(Box::new(DbError::from(error)));
        let mut connection = self.db.acquire().await.map_err(unavailable)?;
        let sent_at = Instant::now();
        let reservation: Option<(f64, f64)> =
            sqlx::query_as("select wait_secs, served_secs from take_turn($1, $2, $3)")
                .bind(&self.upstream)
                .bind(self.gap.as_secs_f64())
                .bind(longest.as_secs_f64())
                .fetch_optional(&mut *connection)
                .await
                .map_err(unavailable)?;
        let received_at = Instant::now();
        Ok(reservation.map(|(wait, served)| {
            let under_way = (received_at - sent_at).saturating_sub(Duration::from_secs_f64(served.max(0.0)));
            let mut distance = self.distance.lock().unwrap_or_else(PoisonError::into_inner);
            *distance = (*distance).min(under_way);
            let start_at = received_at + Duration::from_secs_f64(wait.max(0.0));
            Reservation { start_at, lateness: under_way.saturating_sub(*distance) }
        }))
    }

    async fn pause_for(&self, pause: Duration) -> Result<(), RateLimiterError> {
        sqlx::query(
            "insert into upstream_pace (upstream, next_at) values ($1, clock_timestamp() + make_interval(secs => $2)) \
             on conflict (upstream) do update set next_at = greatest(upstream_pace.next_at, excluded.next_at)",
        )
        .bind(&self.upstream)
        .bind(pause.as_secs_f64())
        .execute(&self.db)
        .await
        .map_err(|error| RateLimiterError::Unavailable(Box::new(DbError::from(error))))?;
        Ok(())
    }
}
