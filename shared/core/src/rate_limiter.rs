//! When a request to a server may start: all workers share one rate limiter per server, which counts their requests
//! together.

use std::time::{Duration, Instant};

use async_trait::async_trait;

/// How much later than its reservation a request may arrive without a window of one second holding one too many.
/// Spacing starts by `(1 s + LATENESS_TOLERANCE) / limit` uses 93 % of the allowance.
const LATENESS_TOLERANCE: Duration = Duration::from_millis(70);

/// The gap between two request starts for a limit per second.
pub fn gap(per_second: u32) -> Duration {
    (Duration::from_secs(1) + LATENESS_TOLERANCE) / per_second.max(1)
}

/// No request may start.
#[derive(Debug, thiserror::Error)]
pub enum RateLimiterError {
    /// The next free start is later than the caller can wait.
    #[error("no request may start before the deadline")]
    TooLong,
    /// The state of the limiter cannot be reached: without it no request is made.
    #[error("the request limiter is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Spaces request starts over all processes that share the limiter.
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Returns when the request may start. It must start at once.
    async fn acquire(&self, deadline: Instant) -> Result<(), RateLimiterError>;

    /// The server returned 429: no request starts for `pause`.
    async fn pause_for(&self, pause: Duration) -> Result<(), RateLimiterError>;
}
