//! Connections that are kept between single statements.
//!
//! sqlx asks a connection whether it lives each time it is given back to its pool: a second round trip for each
//! statement. Statements that begin no transaction leave nothing behind when they succeed, so their connections are kept
//! here, up to half of the pool's; one whose statement failed, or whose caller went away, goes back to the pool, which
//! finds out what it is still good for.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};

use super::{DbError, FRESH};

/// Connections of a pool, kept.
#[derive(Debug)]
pub struct Kept {
    pool: PgPool,
    /// Nothing once it has ended.
    idle: Mutex<Option<Vec<Idle>>>,
}

/// One that waits for the next statement.
#[derive(Debug)]
struct Idle {
    connection: PoolConnection<Postgres>,
    since: Instant,
}

impl Kept {
    /// Keeps connections of this pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, idle: Mutex::new(Some(Vec::new())) }
    }

    /// Runs a statement that begins no transaction and changes no setting.
    pub async fn run<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let mut connection = self.connection().await?;
        let answer = statement(&mut connection).await?;
        if let Some(idle) = &mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner)
            && idle.len() < self.most()
        {
            idle.push(Idle { connection, since: Instant::now() });
        }
        Ok(answer)
    }

    /// Gives all back, and keeps none from here on: who closes the pool waits for them.
    pub fn end(&self) {
        let ended = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(ended);
    }

    fn most(&self) -> usize {
        usize::try_from(self.pool.options().get_max_connections() / 2).unwrap_or(0)
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, DbError> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(Vec::pop);
        if let Some(Idle { mut connection, since }) = kept
            && (since.elapsed() < FRESH || connection.ping().await.is_ok())
        {
            return Ok(connection);
        }
        Ok(self.pool.acquire().await?)
    }
}
