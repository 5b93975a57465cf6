//! Open connections, and which of them are closed first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// Value of [`Connection::since`] while a request is in progress.
const HAS_REQUEST: u64 = u64::MAX;

#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Open>);

#[derive(Debug, Default)]
struct Open {
    all: Mutex<BTreeMap<u64, Weak<Connection>>>,
    /// A logical clock: incremented at each use.
    now: AtomicU64,
}

/// One connection; removed from the set when dropped.
#[derive(Debug)]
pub struct Connection {
    id: u64,
    open: Arc<Open>,
    /// The logical time since which it has had no complete request, or [`HAS_REQUEST`].
    since: AtomicU64,
    is_to_close: AtomicBool,
    close: Notify,
}

impl Connections {
    /// Adds a connection.
    pub fn add(&self) -> Arc<Connection> {
        let id = self.0.now.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            id,
            open: self.0.clone(),
            since: AtomicU64::new(id),
            is_to_close: AtomicBool::new(false),
            close: Notify::new(),
        });
        self.0.all().insert(id, Arc::downgrade(&connection));
        connection
    }

    /// Closes the connection that has been without a complete request for longest, if there is one.
    pub fn close_longest_waiting(&self) {
        let all: Vec<Arc<Connection>> = self.0.all().values().filter_map(Weak::upgrade).collect();
        let waiting = all.iter().filter(|one| !one.is_to_close.load(Ordering::Relaxed));
        let longest = waiting.map(|one| (one.since.load(Ordering::Relaxed), one)).min_by_key(|(since, _)| *since);
        if let Some((since, connection)) = longest
            && since != HAS_REQUEST
        {
            connection.is_to_close.store(true, Ordering::Relaxed);
            connection.close.notify_one();
        }
    }
}

impl Open {
    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Weak<Connection>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Records that it has a complete request.
    pub fn works(&self) {
        self.since.store(HAS_REQUEST, Ordering::Relaxed);
    }

    /// Records that it has no request any more.
    pub fn waits(&self) {
        self.since.store(self.open.now.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Resolves when the connection must be closed.
    pub async fn is_to_close(&self) {
        self.close.notified().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.all().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_one_without_a_request_for_longest_is_closed() {
        let open = Connections::default();
        let [first, second, third, fourth] = [open.add(), open.add(), open.add(), open.add()];
        first.works();
        second.works();
        second.waits();
        drop(third);
        let closed = |connection: &Connection| connection.is_to_close().now_or_never().is_some();
        open.close_longest_waiting();
        assert!(closed(&fourth) && !closed(&second) && !closed(&first), "it has waited since it was opened");
        open.close_longest_waiting();
        assert!(closed(&second) && !closed(&first));
        open.close_longest_waiting();
        assert!(!closed(&first), "one that works stays");
    }
}
