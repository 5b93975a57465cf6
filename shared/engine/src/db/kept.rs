//! Connections that are kept between single statements.
//!
//! sqlx asks a connection whether it lives each time it is given back to its pool: a second round trip for each
//! statement. Statements that begin no transaction leave nothing behind when they succeed, so their connections are kept
//! here, up to half of the pool's. One whose caller went away in the middle of a statement, or that lost its server, is
//! closed.
//!
//! Work-around, until sqlx can skip the ping at release (`Floating::return_to_pool` always sends one, also in 0.9.0).

use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use super::{DbError, FRESH, LOOK};

/// Connections of a pool, kept.
#[derive(Debug)]
pub struct Kept {
    pool: PgPool,
    /// Nothing once the pool is being closed.
    idle: Arc<Mutex<Option<Vec<Idle>>>>,
    watched: Once,
}

/// One is kept for no longer, as by the pool: a server elsewhere may want to be rid of it.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// One that waits for the next statement.
#[derive(Debug)]
struct Idle {
    connection: PoolConnection<Postgres>,
    /// When it was first kept.
    taken: Instant,
    since: Instant,
}

/// One with a statement; closed when it is dropped before that ended well.
struct InUse {
    connection: Option<PoolConnection<Postgres>>,
}

impl InUse {
    fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("taken only at the end")
    }

    fn ended(mut self) -> PoolConnection<Postgres> {
        self.connection.take().expect("taken only here")
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}

impl Kept {
    /// Keeps connections of this pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, idle: Arc::new(Mutex::new(Some(Vec::new()))), watched: Once::new() }
    }

    /// Runs a statement that begins no transaction and changes no setting.
    pub async fn run<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        self.watched.call_once(|| self.give_back_when_closed());
        let (connection, taken) = self.connection().await?;
        let mut used = InUse { connection: Some(connection) };
        let answer = statement(used.connection()).await;
        if matches!(answer, Err(DbError::Unreachable(_))) {
            return answer;
        }
        let connection = used.ended();
        let answer = answer?;
        if let Some(idle) = &mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner)
            && idle.len() < self.most()
            && taken.elapsed() < LONGEST
        {
            idle.push(Idle { connection, taken, since: Instant::now() });
        }
        Ok(answer)
    }

    /// Who closes the pool waits for every connection of it.
    fn give_back_when_closed(&self) {
        let closed = self.pool.close_event();
        let idle = Arc::downgrade(&self.idle);
        tokio::spawn(async move {
            closed.await;
            if let Some(idle) = idle.upgrade() {
                idle.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        });
    }

    fn most(&self) -> usize {
        usize::try_from(self.pool.options().get_max_connections() / 2).unwrap_or(0)
    }

    /// A connection, and when it was taken from the pool.
    async fn connection(&self) -> Result<(PoolConnection<Postgres>, Instant), DbError> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(Vec::pop);
        if let Some(Idle { mut connection, taken, since }) = kept {
            if since.elapsed() < FRESH || matches!(timeout(LOOK, connection.ping()).await, Ok(Ok(()))) {
                return Ok((connection, taken));
            }
            // It is of no more use.
            connection.close_on_drop();
        }
        Ok((self.pool.acquire().await?, Instant::now()))
    }
}
