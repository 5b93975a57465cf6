//! Notifications. A connection that only listens sends nothing by itself, so it is pinged now and then: one that fell
//! silent would be heard from never again.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, timeout, timeout_at};

use super::{DbError, PROBE_TIMEOUT};

/// How often it is pinged; more often than the relay and the server close idle connections.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// A connection that listens to one channel. After an error it is of no more use: connect another, and look at what may
/// have been missed.
pub struct NotificationListener {
    listener: PgListener,
    /// When it was last known to live.
    alive: Instant,
}

impl NotificationListener {
    /// Listens to a channel.
    pub async fn connect(pool: &PgPool, channel: &str) -> Result<Self, DbError> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.eager_reconnect(false);
        listener.listen(channel).await?;
        Ok(Self { listener, alive: Instant::now() })
    }

    /// The next notification's payload; nothing when none came in this time.
    pub async fn hear(&mut self, longest: Duration) -> Result<Option<String>, DbError> {
        let until = Instant::now() + longest;
        loop {
            let heard = timeout_at(until.min(self.alive + PROBE_INTERVAL), self.listener.try_recv()).await;
            match heard {
                Ok(notification) => {
                    let notification = notification?.ok_or_else(lost)?;
                    self.alive = Instant::now();
                    return Ok(Some(notification.payload().to_owned()));
                }
                Err(_) if Instant::now() >= self.alive + PROBE_INTERVAL => self.probe().await?,
                Err(_) => return Ok(None),
            }
        }
    }

    async fn probe(&mut self) -> Result<(), DbError> {
        let probed = timeout(PROBE_TIMEOUT, sqlx::query("select 1").execute(&mut self.listener));
        probed.await.map_err(|_| lost())??;
        self.alive = Instant::now();
        Ok(())
    }
}

fn lost() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the listening connection was lost"))
}
