//! Notifying idle workers that there is something to claim.
//!
//! A notification is only an optimisation: a worker that is not notified finds the committed unit within two seconds.
//! So workers are notified after the commit, not by it: a commit that notifies blocks all other commits that notify.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;

use crate::db::DbError;

/// Jobs that are submitted within this time share one notification.
const NOTIFY_DELAY: Duration = Duration::from_millis(10);

/// Databases whose workers will be notified shortly. A commit before that needs no notification of its own.
static PENDING_NOTIFICATIONS: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// Schedules a notification of workers, without waiting for it.
pub fn wake_soon(db: &PgPool) {
    let pending = || PENDING_NOTIFICATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let key = Arc::as_ptr(&db.connect_options()).addr();
    if !pending().insert(key) {
        return;
    }
    let db = db.clone();
    tokio::spawn(async move {
        tokio::time::sleep(NOTIFY_DELAY).await;
        let connection = db.acquire().await;
        pending().remove(&key);
        let notified = async { Ok::<_, DbError>(notify_workers(&mut *connection?).await?) };
        if let Err(error) = notified.await {
            tracing::debug!(%error, "idle workers were not notified; they poll");
        }
    });
}

/// Notifies workers when the transaction commits.
pub async fn wake_at_commit(tx: &mut sqlx::PgConnection) -> Result<(), DbError> {
    sqlx::query("select pg_notify('bio_mcp_work', '')").execute(tx).await?;
    Ok(())
}

/// The notification may be lost without harm, so its commit does not wait for the disk.
async fn notify_workers(db: &mut sqlx::PgConnection) -> sqlx::Result<()> {
    sqlx::query("select set_config('synchronous_commit', 'off', true), pg_notify('bio_mcp_work', '')")
        .execute(db)
        .await
        .map(|_| ())
}
