//! Noticing a pooler that gives each transaction another session, as pgbouncer does with `pool_mode = transaction`.
//!
//! Settings of a session, prepared statements and `LISTEN` are lost behind one, in ways that show late and confusingly.
//! It cannot be asked what it is, but what it does shows: two connections that are open at the same time have the same
//! backend, or one of them changes its backend between statements. A server, and a pooler of sessions, never do that.

use std::time::Duration;

use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Row};
use tokio::time::timeout;

use super::DbError;

/// Other clients of the pooler may take a backend in between: it is probed this many times.
const PROBES: usize = 3;

/// How long all probes may take. A pooler of sessions with a single connection lets the second one wait.
const PROBES_TIMEOUT: Duration = Duration::from_secs(3);

/// Fails where the way to the database is proved to lead through a pooler of transactions. Whatever else is wrong shows
/// when the pool is used.
pub async fn refuse_transaction_pooler(pool: &PgPool) -> Result<(), DbError> {
    match timeout(PROBES_TIMEOUT, changes_backends(pool)).await {
        Ok(Ok(true)) => Err(DbError::TransactionPooler),
        _ => Ok(()),
    }
}

async fn changes_backends(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let options = pool.connect_options();
    let (mut one, mut other) = (options.connect().await?, options.connect().await?);
    let (first, second) = (backend(&mut one).await?, backend(&mut other).await?);
    let mut changes = first == second;
    for _ in 0..PROBES {
        // Twice each: a pooler that takes its servers in turn could give both clients always the same.
        for (connection, known) in [(&mut one, first), (&mut other, second)] {
            changes |= backend(connection).await? != known || backend(connection).await? != known;
        }
    }
    one.close().await?;
    other.close().await?;
    Ok(changes)
}

/// By a simple query: a prepared statement may be gone before it is executed.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("select pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}
