//! Notifications. A connection that only listens sends nothing, so that it is pinged regularly: a lost one would not be
//! detected otherwise.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, timeout, timeout_at};

use super::{DbError, PROBE_TIMEOUT};

/// Interval of pings; shorter than the limits after which the relay and the server close idle connections.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// A connection that listens to one channel. After an error it cannot be used any more: open another one, and check for
/// missed notifications.
pub struct NotificationListener {
    listener: PgListener,
    /// When the connection was last known to work.
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

    /// The payload of the next notification; none if there is none within this time.
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
