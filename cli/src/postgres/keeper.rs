//! Restarts a private Postgres that was killed while a command works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::lock_file;

/// How often the server is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Delay after the second start in a row; doubled after each further start.
const MIN_RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Maximum delay: the cause of the failures may be fixed at any time.
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(30);

/// Delays between starts of a server that keeps ending.
struct Pauses {
    next: Duration,
    not_before: Instant,
}

impl Pauses {
    fn new(now: Instant) -> Self {
        Self { next: Duration::ZERO, not_before: now }
    }

    /// Whether the server may be started now; if so, the next start is delayed longer.
    fn is_due(&mut self, now: Instant) -> bool {
        if now < self.not_before {
            return false;
        }
        // The server ran for a long time since.
        if now > self.not_before + 2 * MAX_RESTART_PAUSE {
            self.next = Duration::ZERO;
        }
        self.not_before = now + self.next;
        self.next = (self.next * 2).clamp(MIN_RESTART_PAUSE, MAX_RESTART_PAUSE);
        true
    }
}

/// Checks the server until dropped.
pub struct Keeper {
    done: Arc<AtomicBool>,
}

impl Keeper {
    pub(super) fn start(cluster: Cluster) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let ended = done.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(CHECK_INTERVAL);
            let mut pauses = Pauses::new(Instant::now());
            while !ended.load(Ordering::Relaxed) {
                ticks.tick().await;
                if cluster.is_running() || ended.load(Ordering::Relaxed) || !pauses.is_due(Instant::now()) {
                    continue;
                }
                tracing::warn!("the private Postgres has stopped; starting it again");
                if let Ok(starting) = lock_file(cluster.dir(), "start.lock")
                    && starting.try_lock().is_ok()
                    && !ended.load(Ordering::Relaxed)
                    && let Err(failure) = cluster.ensure_running()
                {
                    tracing::warn!(message = failure.message, "the private Postgres does not start");
                }
            }
        });
        Self { done }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_stay_is_started_less_and_less_often() {
        let start = Instant::now();
        let mut pauses = Pauses::new(start);
        let started: Vec<u32> =
            (0..1000).filter(|tick| pauses.is_due(start + CHECK_INTERVAL * *tick)).map(|tick| tick / 2).collect();
        assert_eq!(started[..7], [0, 0, 1, 3, 7, 15, 31], "seconds");
        assert!(started.len() < 25, "{started:?}");
        let later = start + CHECK_INTERVAL * 1000 + 3 * MAX_RESTART_PAUSE;
        assert!(pauses.is_due(later) && pauses.is_due(later), "at once when it has run for long");
    }
}
