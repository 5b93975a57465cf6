//! Heartbeats of a worker while it runs a unit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Lease, Settings};

/// A running heartbeat; ended by [`Heartbeat::end`], never dropped during a statement.
pub(super) struct Heartbeat {
    done: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Heartbeat {
    /// Sends heartbeats until it is ended. Sets `stop` when the lease is lost or the job cancelled. Stops when the unit
    /// makes no progress for its time limit, so that other workers may claim it.
    pub(super) fn start(
        db: sqlx::PgPool,
        lease: Lease,
        settings: &Settings,
        stop: Arc<AtomicBool>,
        progressed: Arc<Mutex<Instant>>,
    ) -> Self {
        let done = Arc::new(Notify::new());
        let ended = done.clone();
        let (every, stale, unit_timeout) = (settings.heartbeat, settings.stale, settings.unit_timeout);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            ticks.tick().await;
            loop {
                tokio::select! {
                    () = ended.notified() => return,
                    _ = ticks.tick() => {}
                }
                let silent = progressed.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
                if silent > unit_timeout {
                    tracing::warn!(unit_id = %lease.unit, "no progress: releasing the unit");
                    stop.store(true, Ordering::Relaxed);
                    return;
                }
                // A lost database is not a lost lease: the next heartbeat may succeed.
                if let Ok(false) = lease.heartbeat(&db, stale.as_secs_f64()).await {
                    stop.store(true, Ordering::Relaxed);
                    return;
                }
            }
        });
        Self { done, task }
    }

    pub(super) async fn end(self) {
        self.done.notify_one();
        // It only panics if the runtime is shut down.
        let _ = self.task.await;
    }
}
