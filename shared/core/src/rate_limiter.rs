//! Rate limits of servers: all workers share one limiter per server, which counts their requests together.

use std::time::{Duration, Instant};

use async_trait::async_trait;

/// Maximum lateness of a request after its reservation at which no window of one second exceeds the limit. Spacing
/// starts by `(1 s + LATENESS_TOLERANCE) / limit` uses 93 % of the allowance.
const LATENESS_TOLERANCE: Duration = Duration::from_millis(70);

/// The gap between two request starts for a limit per second.
pub fn gap(per_second: u32) -> Duration {
    (Duration::from_secs(1) + LATENESS_TOLERANCE) / per_second.max(1)
}

/// Why no request may start.
#[derive(Debug, thiserror::Error)]
pub enum RateLimiterError {
    /// The next free start is later than the caller can wait.
    #[error("no request may start before the deadline")]
    TooLong,
    /// The state of the limiter is unreachable: no request is made without it.
    #[error("the request limiter is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Spaces request starts over all processes that share the limiter.
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Waits until the request may start; it must then start immediately.
    async fn acquire(&self, deadline: Instant) -> Result<(), RateLimiterError>;

    /// The server returned 429: no request starts for `pause`.
    async fn pause_for(&self, pause: Duration) -> Result<(), RateLimiterError>;
}
