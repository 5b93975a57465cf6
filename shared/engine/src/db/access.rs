//! Lazy database access for Lambda: does no I/O until first use, and reads a rotated password again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;

use super::relay::Relay;
use super::{DbError, check, connect_lazily};

/// Reads the connection options again; none if they cannot be read.
pub type Renew = Box<dyn Fn() -> BoxFuture<'static, Option<PgConnectOptions>> + Send + Sync>;

/// A pool and its connection options.
pub struct Access {
    pool: PgPool,
    relay: Relay,
    renew: Option<Renew>,
    schema_ok: AtomicBool,
}

impl Access {
    /// A pool that connects at its first use; `renew` is called when the database refuses the password.
    pub fn new(options: PgConnectOptions, max_connections: u32, renew: Option<Renew>) -> Self {
        let (pool, relay) = connect_lazily(options, max_connections);
        Self { pool, relay, renew, schema_ok: AtomicBool::new(false) }
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Must be awaited before the database is used: ensures that a connection exists and that the schema is at least
    /// that of this program. Does no I/O while that is known.
    pub async fn ensure_ready(&self) -> Result<(), DbError> {
        if self.pool.size() > 0 && self.schema_ok.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.ensure_connected().await?;
        if !check(&self.pool).await? {
            return Err(DbError::Behind);
        }
        self.schema_ok.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Discards what is known of the database: the next [`Self::ensure_ready`] checks it, and reads the password again
    /// if it is refused.
    pub fn invalidate(&self) {
        self.schema_ok.store(false, Ordering::Relaxed);
    }

    /// Like [`Self::ensure_ready`], without a check of the schema.
    pub async fn ensure_connected(&self) -> Result<(), DbError> {
        if let Err(error) = self.probe().await {
            let (DbError::Denied(_), Some(renew)) = (&error, &self.renew) else { return Err(error) };
            tracing::warn!("the database refused the password: reading the secret again");
            let Some(options) = renew().await else { return Err(error) };
            self.pool.set_connect_options(self.relay.lead(options.application_name("bio-mcp")));
            self.probe().await?;
        }
        Ok(())
    }

    /// Closes the connections, before this process ends. Lambda waits for half a second.
    pub async fn close(&self) {
        // The server closes remaining connections after they have been idle for a minute.
        let _ = timeout(Duration::from_millis(400), self.pool.close()).await;
    }

    async fn probe(&self) -> Result<(), DbError> {
        Ok(self.pool.acquire().await.map(drop).map_err(|error| self.relay.explain(error))?)
    }
}
