//! A rate limiter whose reservations are shared by all workers of a deployment.
//!
//! Own code: limiter crates count within one process, but a server's limit applies to all workers together (ADR 8).

use std::time::{Duration, Instant};

use async_trait::async_trait;

use bio_mcp_core::rate_limiter::{RateLimiter, RateLimiterError};

/// A request that may be later than its reservation by more than this makes another reservation: it could exceed the
/// limit within a second.
const MAX_LATENESS: Duration = Duration::from_millis(50);

/// After this many abandoned reservations, one is used however late: one request too many is better than none.
const MAX_ABANDONED: u32 = 3;

/// Maximum time to a reservation: the reservation of a worker that dies is lost.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// A reserved request start.
#[derive(Clone, Copy, Debug)]
pub struct Reservation {
    /// When the request may start.
    pub start_at: Instant,
    /// Possible lateness of the request at that time.
    pub lateness: Duration,
}

/// Maximum duration of a pause: a value further ahead was written by a wrong clock.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Where reservations are stored.
#[async_trait]
pub trait Reservations: Send + Sync {
    /// Reserves the next free start, unless it is further ahead than `longest`.
    async fn reserve(&self, longest: Duration) -> Result<Option<Reservation>, RateLimiterError>;

    /// No request starts for `pause`, at most a minute.
    async fn pause_for(&self, pause: Duration) -> Result<(), RateLimiterError>;
}

/// The rate limiter with these reservations.
#[derive(Debug)]
pub struct SharedRateLimiter<T>(pub T);

#[async_trait]
impl<T: Reservations> RateLimiter for SharedRateLimiter<T> {
    async fn acquire(&self, deadline: Instant) -> Result<(), RateLimiterError> {
        let mut abandoned = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RateLimiterError::TooLong);
            }
            let Some(Reservation { start_at, lateness }) = self.0.reserve(left.min(MAX_WAIT)).await? else {
                if left <= MAX_WAIT {
                    return Err(RateLimiterError::TooLong);
                }
                tokio::time::sleep(MAX_WAIT / 4).await;
                continue;
            };
            tokio::time::sleep_until(start_at.into()).await;
            if start_at.elapsed() + lateness <= MAX_LATENESS || abandoned >= MAX_ABANDONED {
                return Ok(());
            }
            abandoned += 1;
        }
    }

    async fn pause_for(&self, pause: Duration) -> Result<(), RateLimiterError> {
        self.0.pause_for(pause.min(MAX_PAUSE)).await
    }
}
