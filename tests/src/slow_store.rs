//! A store that delays each request, and counts requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shared::archive::store::{Head, Object, Stored};
use shared::archive::{Body, ByteRange, Key, MemoryStore, Put, Root, Store, StoreError, StreamPut, VersionId};

/// Number of requests so far, and of concurrent ones.
#[derive(Debug, Default)]
pub struct Requests {
    all: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Requests {
    /// Number of requests since the last call.
    pub fn take(&self) -> usize {
        self.all.swap(0, Ordering::Relaxed)
    }

    /// Maximum number of concurrent requests.
    pub fn most_at_once(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

/// The store; its requests are counted from the start.
pub struct SlowStore {
    inner: MemoryStore,
    latency: Duration,
    requests: Arc<Requests>,
}

impl SlowStore {
    /// An in-memory store with this latency for every request.
    pub fn new(latency: Duration) -> (Self, Arc<Requests>) {
        let requests = Arc::new(Requests::default());
        (Self { inner: MemoryStore::new(), latency, requests: requests.clone() }, requests)
    }

    async fn request<T>(&self, work: impl Future<Output = T>) -> T {
        self.requests.all.fetch_add(1, Ordering::Relaxed);
        let now = self.requests.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.requests.most.fetch_max(now, Ordering::Relaxed);
        tokio::time::sleep(self.latency).await;
        let done = work.await;
        self.requests.now.fetch_sub(1, Ordering::Relaxed);
        done
    }
}

#[async_trait]
impl Store for SlowStore {
    /// One delay per batch, as if its puts were concurrent.
    async fn put_batch(&self, puts: &[Put<'_>]) -> Vec<Result<Stored, StoreError>> {
        self.request(self.inner.put_batch(puts)).await
    }

    async fn put_stream(&self, put: &StreamPut, body: Body<'_>) -> Result<Stored, StoreError> {
        self.request(self.inner.put_stream(put, body)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.request(self.inner.check()).await
    }

    async fn get(&self, key: &Key, version: Option<&VersionId>, max_bytes: usize) -> Result<Object, StoreError> {
        self.request(self.inner.get(key, version, max_bytes)).await
    }

    async fn get_range(&self, key: &Key, version: &VersionId, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        self.request(self.inner.get_range(key, version, range)).await
    }

    async fn head(&self, key: &Key) -> Result<Head, StoreError> {
        self.request(self.inner.head(key)).await
    }

    async fn versions(&self, key: &Key) -> Result<Vec<VersionId>, StoreError> {
        self.request(self.inner.versions(key)).await
    }

    async fn list_versions(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<VersionId>)>, StoreError> {
        self.request(self.inner.list_versions(prefix, after, limit)).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.request(self.inner.list(prefix, after, limit)).await
    }

    async fn delete_version(&self, key: &Key, version: &VersionId) -> Result<(), StoreError> {
        self.request(self.inner.delete_version(key, version)).await
    }

    fn root(&self) -> Root {
        self.inner.root()
    }
}
