//! A store whose reads or puts fail when a test requests it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use shared::archive::store::{Head, Object, Stored};
use shared::archive::{Body, ByteRange, Key, MemoryStore, Put, Root, Store, StoreError, StreamPut, VersionId};

/// How calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The object is missing.
    Missing,
    /// The store cannot be reached.
    Unavailable,
    /// Reading is not permitted.
    Denied,
    /// Reads succeed, puts fail.
    Unwritable,
}

/// The current fault, for keys that contain this text.
pub type Faults = Arc<Mutex<Option<(&'static str, Fault)>>>;

/// An in-memory store with faults.
#[derive(Default)]
pub struct FailingStore {
    inner: MemoryStore,
    faults: Faults,
}

impl FailingStore {
    /// Creates a store, and the handle that sets its faults.
    pub fn new() -> (Self, Faults) {
        let store = Self::default();
        let faults = store.faults.clone();
        (store, faults)
    }

    /// The fault of reads of a key, if any.
    fn read_of(&self, key: &Key) -> Result<(), StoreError> {
        let fault = *self.faults.lock().expect("no panic");
        match fault.filter(|(part, _)| key.as_str().contains(part)) {
            None | Some((_, Fault::Unwritable)) => Ok(()),
            Some((_, Fault::Missing)) => Err(StoreError::NotFound(key.to_string())),
            Some((_, Fault::Denied)) => Err(StoreError::Denied(key.to_string())),
            Some((_, Fault::Unavailable)) => Err(unavailable("reading", key)),
        }
    }

    /// Whether a put of a key fails now.
    fn is_unwritable(&self, key: &Key) -> bool {
        let fault = *self.faults.lock().expect("no panic");
        fault.is_some_and(|(part, fault)| fault == Fault::Unwritable && key.as_str().contains(part))
    }
}

fn unavailable(action: &'static str, key: &Key) -> StoreError {
    let source = std::io::Error::other("a fault of the test");
    StoreError::Unavailable { action, path: key.to_string(), source }
}

#[async_trait]
impl Store for FailingStore {
    async fn put_batch(&self, puts: &[Put<'_>]) -> Vec<Result<Stored, StoreError>> {
        if puts.iter().any(|put| self.is_unwritable(&put.key)) {
            return puts.iter().map(|put| Err(unavailable("writing", &put.key))).collect();
        }
        self.inner.put_batch(puts).await
    }

    async fn put_stream(&self, put: &StreamPut, body: Body<'_>) -> Result<Stored, StoreError> {
        self.inner.put_stream(put, body).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn get(&self, key: &Key, version: Option<&VersionId>, max_bytes: usize) -> Result<Object, StoreError> {
        self.read_of(key)?;
        self.inner.get(key, version, max_bytes).await
    }

    async fn get_range(&self, key: &Key, version: &VersionId, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        self.read_of(key)?;
        self.inner.get_range(key, version, range).await
    }

    async fn head(&self, key: &Key) -> Result<Head, StoreError> {
        self.inner.head(key).await
    }

    async fn versions(&self, key: &Key) -> Result<Vec<VersionId>, StoreError> {
        self.inner.versions(key).await
    }

    async fn list_versions(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<VersionId>)>, StoreError> {
        self.inner.list_versions(prefix, after, limit).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.inner.list(prefix, after, limit).await
    }

    async fn delete_version(&self, key: &Key, version: &VersionId) -> Result<(), StoreError> {
        self.inner.delete_version(key, version).await
    }

    fn root(&self) -> Root {
        self.inner.root()
    }
}
