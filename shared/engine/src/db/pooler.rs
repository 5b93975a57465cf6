//! Detects a pooler that gives each transaction another session, as pgbouncer does with `pool_mode = transaction`.
//!
//! With such a pooler, settings of a session, prepared statements and `LISTEN` are lost, with late and confusing
//! errors. It cannot be queried for its mode, but its behaviour shows it: two connections that are open at the same
//! time have the same backend, or one of them changes its backend between statements. This never happens with a server
//! or a pooler of sessions.

use std::time::Duration;

use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Row};
use tokio::time::timeout;

use super::DbError;

/// Number of probes: other clients of the pooler may take a backend in between.
const PROBES: usize = 3;

/// Time limit of all probes. With a pooler of sessions that has a single connection, the second one waits.
const PROBES_TIMEOUT: Duration = Duration::from_secs(3);

/// Fails if a pooler of transactions is detected. Any other error is reported when the pool is used.
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
        // Twice each: a pooler that uses its backends in rotation could always give both clients the same ones.
        for (connection, known) in [(&mut one, first), (&mut other, second)] {
            changes |= backend(connection).await? != known || backend(connection).await? != known;
        }
    }
    one.close().await?;
    other.close().await?;
    Ok(changes)
}

/// With a simple query: a prepared statement may be lost before it is executed.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("select pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}
