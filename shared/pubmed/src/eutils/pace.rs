//! When a request may start: NCBI counts all requests of a key together, so all workers share one
//! pace.

use std::sync::{Mutex, PoisonError};
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
    #[error("the request limiter cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Hands out turns: request starts, spaced over all processes that share the pace.
#[async_trait]
pub trait Pace: Send + Sync {
    /// Returns when the caller's turn has come. The request must start at once.
    async fn turn(&self, deadline: Instant) -> Result<(), PaceError>;

    /// NCBI said that there were too many: no request starts for so long.
    async fn hold(&self, pause: Duration) -> Result<(), PaceError>;
}

/// A pace of this process alone, for a search without a database and for tests.
#[derive(Debug)]
pub struct LocalPace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl LocalPace {
    /// A pace for a limit of requests per second.
    pub fn new(per_second: u32) -> Self {
        Self { gap: gap(per_second), next: Mutex::new(Instant::now()) }
    }

    /// No pace at all, against a server of one's own.
    pub fn unlimited() -> Self {
        Self { gap: Duration::ZERO, next: Mutex::new(Instant::now()) }
    }
}

#[async_trait]
impl Pace for LocalPace {
    async fn turn(&self, deadline: Instant) -> Result<(), PaceError> {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next).max(Instant::now());
            if at > deadline {
                return Err(PaceError::TooLong);
            }
            *next = at + self.gap;
            at
        };
        tokio::time::sleep_until(at.into()).await;
        Ok(())
    }

    async fn hold(&self, pause: Duration) -> Result<(), PaceError> {
        if !self.gap.is_zero() {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next = (*next).max(Instant::now() + pause);
        }
        Ok(())
    }
}
