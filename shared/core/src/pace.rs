//! When a request to a server may start: a server that counts the requests of all workers together is asked at one
//! pace.

use std::time::{Duration, Instant};

use async_trait::async_trait;

/// How much later than its turn a request may arrive without a window of one second holding one too
/// many. Spacing starts by `(1 s + SLACK) / limit` uses 93 % of the allowance.
const SLACK: Duration = Duration::from_millis(70);

/// The gap between two request starts for a limit per second.
pub fn gap(per_second: u32) -> Duration {
    (Duration::from_secs(1) + SLACK) / per_second.max(1)
}

/// No turn was given.
#[derive(Debug, thiserror::Error)]
pub enum PaceError {
    /// The next free turn is later than the caller can wait.
    #[error("no request may start before the deadline")]
    TooLong,
    /// The place where turns are kept cannot be reached: without it no request is made.
    #[error("the request limiter is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Hands out turns: request starts, spaced over all processes that share the pace.
#[async_trait]
pub trait Pace: Send + Sync {
    /// Returns when the caller's turn has come. The request must start at once.
    async fn turn(&self, deadline: Instant) -> Result<(), PaceError>;

    /// The server said that there were too many: no request starts for so long.
    async fn hold(&self, pause: Duration) -> Result<(), PaceError>;
}
