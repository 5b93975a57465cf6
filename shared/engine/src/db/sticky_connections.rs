//! Connections that stay checked out between single statements.
//!
//! sqlx pings a connection each time it is released to its pool: a second round trip for each statement. Statements
//! that begin no transaction leave no state when they succeed, so that their connections are kept here, up to half of
//! the pool's. A connection whose caller was cancelled during a statement, or whose server was lost, is closed.
//!
//! Work-around, until sqlx can skip the ping at release (`Floating::return_to_pool` always sends one, also in 0.9.0).

use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use super::{ALIVE_WITHOUT_PROBE, DbError, PROBE_TIMEOUT};

/// Connections of a pool that stay checked out.
#[derive(Debug)]
pub struct StickyConnections {
    pool: PgPool,
    /// None once the pool is being closed.
    idle: Arc<Mutex<Option<Vec<IdleConnection>>>>,
    watched: Once,
}

/// Maximum age of a kept connection, as in the pool: the server may have to close it.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);

/// A connection that waits for the next statement.
#[derive(Debug)]
struct IdleConnection {
    connection: PoolConnection<Postgres>,
    /// When it was taken from the pool.
    taken: Instant,
    since: Instant,
}

/// A connection with a running statement; closed when it is dropped before the statement succeeded.
struct ConnectionInUse {
    connection: Option<PoolConnection<Postgres>>,
}

impl ConnectionInUse {
    fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("taken only at the end")
    }

    fn ended(mut self) -> PoolConnection<Postgres> {
        self.connection.take().expect("taken only here")
    }
}

impl Drop for ConnectionInUse {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}

impl StickyConnections {
    /// Keeps connections of this pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, idle: Arc::new(Mutex::new(Some(Vec::new()))), watched: Once::new() }
    }

    /// Runs a statement that begins no transaction and changes no setting.
    pub async fn run<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        self.watched.call_once(|| self.release_when_closed());
        let (connection, taken) = self.connection().await?;
        let mut used = ConnectionInUse { connection: Some(connection) };
        let result = statement(used.connection()).await;
        if matches!(result, Err(DbError::Unreachable(_))) {
            return result;
        }
        let connection = used.ended();
        let result = result?;
        if let Some(idle) = &mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner)
            && idle.len() < self.max_idle()
            && taken.elapsed() < MAX_CONNECTION_AGE
        {
            idle.push(IdleConnection { connection, taken, since: Instant::now() });
        }
        Ok(result)
    }

    /// Closing a pool waits until all its connections are released.
    fn release_when_closed(&self) {
        let closed = self.pool.close_event();
        let idle = Arc::downgrade(&self.idle);
        tokio::spawn(async move {
            closed.await;
            if let Some(idle) = idle.upgrade() {
                idle.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        });
    }

    fn max_idle(&self) -> usize {
        usize::try_from(self.pool.options().get_max_connections() / 2).unwrap_or(0)
    }

    /// A connection, and when it was taken from the pool.
    async fn connection(&self) -> Result<(PoolConnection<Postgres>, Instant), DbError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(Vec::pop);
        if let Some(IdleConnection { mut connection, taken, since }) = idle {
            if since.elapsed() < ALIVE_WITHOUT_PROBE
                || matches!(timeout(PROBE_TIMEOUT, connection.ping()).await, Ok(Ok(())))
            {
                return Ok((connection, taken));
            }
            // It cannot be used any more.
            connection.close_on_drop();
        }
        Ok((self.pool.acquire().await?, Instant::now()))
    }
}
