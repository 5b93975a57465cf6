//! NCBI counts all requests of a key together, so all workers share one rate limiter; this one is shared within a
//! process.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

pub use bio_mcp_core::rate_limiter::{RateLimiter, RateLimiterError, gap};

/// A rate limiter of this process alone, for a search without a database and for tests.
#[derive(Debug)]
pub struct LocalRateLimiter {
    gap: Duration,
    next: Mutex<Instant>,
}

impl LocalRateLimiter {
    /// A limiter of requests per second.
    pub fn new(per_second: u32) -> Self {
        Self { gap: gap(per_second), next: Mutex::new(Instant::now()) }
    }

    /// No limit, for your own server.
    pub fn unlimited() -> Self {
        Self { gap: Duration::ZERO, next: Mutex::new(Instant::now()) }
    }
}

#[async_trait]
impl RateLimiter for LocalRateLimiter {
    async fn acquire(&self, deadline: Instant) -> Result<(), RateLimiterError> {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next).max(Instant::now());
            if at > deadline {
                return Err(RateLimiterError::TooLong);
            }
            *next = at + self.gap;
            at
        };
        tokio::time::sleep_until(at.into()).await;
        Ok(())
    }

    async fn pause_for(&self, pause: Duration) -> Result<(), RateLimiterError> {
        if !self.gap.is_zero() {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next = (*next).max(Instant::now() + pause);
        }
        Ok(())
    }
}
