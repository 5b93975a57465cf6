//! A pace whose turns are kept in one place for all workers of a deployment.
//!
//! Own code, because limiter crates count within one process, and a server's limit is for all workers together (ADR 8).

use std::time::{Duration, Instant};

use async_trait::async_trait;

use bio_mcp_core::pace::{Pace, PaceError};

/// A request that may be later than its turn by more than this takes another one: it could make one
/// too many within a second.
const TOLERANCE: Duration = Duration::from_millis(50);

/// After so many turns given up, one is taken however late: better one too many than none.
const GIVEN_UP: u32 = 3;

/// No turn is taken further ahead than this: what is promised to a worker that dies is lost.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A turn that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// When it is.
    pub at: Instant,
    /// By how much the request may be late then.
    pub late: Duration,
}

/// No hold is longer: what lies further ahead than this was written by a wrong clock.
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// Where turns are kept.
#[async_trait]
pub trait Turns: Send + Sync {
    /// Takes the next free turn, unless it is further ahead than `longest`.
    async fn take(&self, longest: Duration) -> Result<Option<Turn>, PaceError>;

    /// No turn begins for so long, at most a minute.
    async fn hold(&self, pause: Duration) -> Result<(), PaceError>;
}

/// The pace of those turns.
#[derive(Debug)]
pub struct SharedPace<T>(pub T);

#[async_trait]
impl<T: Turns> Pace for SharedPace<T> {
    async fn turn(&self, deadline: Instant) -> Result<(), PaceError> {
        let mut given_up = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(PaceError::TooLong);
            }
            let Some(Turn { at, late }) = self.0.take(left.min(LONGEST_WAIT)).await? else {
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
        self.0.hold(pause.min(LONGEST_HOLD)).await
    }
}
