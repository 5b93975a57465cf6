//! NCBI counts all requests of a key together, so all workers share one pace; here that of one process.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

pub use bio_mcp_core::pace::{Pace, PaceError, gap};

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
