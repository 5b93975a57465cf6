//! Telling idle workers that there is something to claim.
//!
//! The unit that was committed is what counts: a worker that is not told finds it within two seconds. So workers are
//! told after the commit, not by it: a commit that notifies keeps all others that do from committing meanwhile.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;

use crate::db::DbError;

/// Jobs that are submitted within this time are told of together.
const TOGETHER: Duration = Duration::from_millis(10);

/// Databases whose workers are about to be told. Who commits before that needs no word of its own.
static ABOUT_TO: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// Tells workers soon, without waiting for it.
pub fn wake_soon(db: &PgPool) {
    let about_to = || ABOUT_TO.lock().unwrap_or_else(PoisonError::into_inner);
    let key = Arc::as_ptr(&db.connect_options()).addr();
    if !about_to().insert(key) {
        return;
    }
    let db = db.clone();
    tokio::spawn(async move {
        tokio::time::sleep(TOGETHER).await;
        let connection = db.acquire().await;
        about_to().remove(&key);
        let told = async { Ok::<_, DbError>(tell(&mut *connection?).await?) };
        if let Err(error) = told.await {
            tracing::debug!(%error, "idle workers were not notified; they poll");
        }
    });
}

/// Tells workers when the transaction commits.
pub async fn wake_at_commit(tx: &mut sqlx::PgConnection) -> Result<(), DbError> {
    sqlx::query("select pg_notify('bio_mcp_work', '')").execute(tx).await?;
    Ok(())
}

/// Nothing is lost with the word, so its commit waits for no disk.
async fn tell(db: &mut sqlx::PgConnection) -> sqlx::Result<()> {
    sqlx::query("select set_config('synchronous_commit', 'off', true), pg_notify('bio_mcp_work', '')")
        .execute(db)
        .await
        .map(|_| ())
}
