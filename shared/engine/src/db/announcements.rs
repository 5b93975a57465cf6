//! Waiting for notifications of a channel: one connection for all callers that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

use super::{DbError, NotificationListener};

/// Poll interval when no notification arrives.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Poll interval where notifications cannot be received.
const POLL_INTERVAL_WITHOUT_NOTIFICATIONS: Duration = Duration::from_millis(500);

/// Delay before reconnecting after a lost connection.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// A caller that is this many notifications behind polls without knowing which they were.
const MAX_BEHIND: usize = 256;

/// Notifications of a channel of a database. The connection is opened when the first caller waits, and stays open.
#[derive(Clone)]
pub struct Announcements {
    db: PgPool,
    channel: &'static str,
    /// Payloads of notifications; none stands for any notification.
    heard: broadcast::Sender<Option<Arc<str>>>,
    is_listening: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    poll: Duration,
}

/// A caller that waits.
pub struct Subscription {
    heard: broadcast::Receiver<Option<Arc<str>>>,
    poll: Duration,
}

impl Announcements {
    /// Notifications of a channel.
    pub fn new(db: PgPool, channel: &'static str) -> Self {
        let (heard, _) = broadcast::channel(MAX_BEHIND);
        Self { db, channel, heard, is_listening: Arc::default(), is_over: Arc::default(), poll: MAX_POLL_INTERVAL }
    }

    /// Like [`Self::new`], by polling: a function that is frozen between requests receives no notifications.
    pub fn polling(db: PgPool, channel: &'static str) -> Self {
        Self {
            is_listening: Arc::new(AtomicBool::new(true)),
            poll: POLL_INTERVAL_WITHOUT_NOTIFICATIONS,
            ..Self::new(db, channel)
        }
    }

    /// Subscribes to the notifications from now on.
    pub fn subscribe(&self) -> Subscription {
        let heard = self.heard.subscribe();
        if !self.is_listening.swap(true, Ordering::SeqCst) {
            tokio::spawn(listen(self.db.clone(), self.channel, self.heard.clone()));
        }
        Subscription { heard, poll: self.poll }
    }

    /// Whether waiting has been ended.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Ends waiting: all waiting callers poll once more, and must not wait again.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = self.heard.send(None);
    }
}

impl Subscription {
    /// Returns when the caller must poll: a wanted notification was received or may have been missed, `until` is
    /// reached, or the poll interval has passed.
    pub async fn wait(&mut self, until: Instant, is_wanted: impl Fn(&str) -> bool) {
        let poll_at = until.min(Instant::now() + self.poll);
        while let Ok(Ok(Some(other))) = timeout_at(poll_at, self.heard.recv()).await
            && !is_wanted(&other)
        {}
    }
}

async fn listen(db: PgPool, channel: &'static str, heard: broadcast::Sender<Option<Arc<str>>>) {
    while !db.is_closed() {
        let listening = async {
            let mut listener = NotificationListener::connect(&db, channel).await?;
            // Notifications may have been missed before.
            let _ = heard.send(None);
            loop {
                if let Some(payload) = listener.hear(MAX_POLL_INTERVAL).await? {
                    let _ = heard.send(Some(payload.into()));
                }
            }
        };
        let ended: Result<std::convert::Infallible, DbError> = listening.await;
        let Err(error) = ended;
        tracing::debug!(%error, channel, "notifications of this channel are unavailable");
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}
