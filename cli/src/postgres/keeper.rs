//! Restarts a private Postgres that was killed while a command works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::cluster::Cluster;
use super::lock_file;

/// Watches until dropped.
pub struct Keeper {
    done: Arc<AtomicBool>,
}

impl Keeper {
    pub(super) fn start(cluster: Cluster) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let ended = done.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(500));
            while !ended.load(Ordering::Relaxed) {
                ticks.tick().await;
                if cluster.is_running() || ended.load(Ordering::Relaxed) {
                    continue;
                }
                tracing::warn!("the private Postgres is gone, starting it again");
                if let Ok(starting) = lock_file(cluster.dir(), "start.lock")
                    && starting.try_lock().is_ok()
                    && !ended.load(Ordering::Relaxed)
                    && let Err(failure) = cluster.ensure_running()
                {
                    tracing::warn!(message = failure.message, "it does not start");
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
