//! A bucket that is opened at its first use, so that a function that does not use it does not wait for it.

use async_trait::async_trait;
use aws_config::SdkConfig;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use super::address::Root;
use super::bucket::{OpenError, S3Settings};
use super::s3::S3Store;
use super::store::{Body, ByteRange, Head, Key, Object, Put, Store, StoreError, Stored, StreamPut, VersionId};

/// A store in a bucket; before its first use it checks that versioning is enabled.
pub struct LazyStore {
    settings: S3Settings,
    load_config: LoadConfig,
    store: OnceCell<S3Store>,
}

/// Loads the SDK's configuration, at most once per process: region, credentials and endpoints.
pub type LoadConfig = fn() -> BoxFuture<'static, &'static SdkConfig>;

impl LazyStore {
    /// The store of a bucket; does no I/O.
    pub fn new(settings: S3Settings, load_config: LoadConfig) -> Self {
        Self { settings, load_config, store: OnceCell::new() }
    }

    async fn open(&self) -> Result<&S3Store, StoreError> {
        let open = async || S3Store::open(self.settings.clone(), (self.load_config)().await).await;
        let opened = self.store.get_or_try_init(open).await;
        opened.map_err(|error| match error {
            OpenError::Store { source, .. } => source,
            error @ OpenError::NotVersioned(_) => StoreError::Denied(error.to_string()),
        })
    }
}

/// Copies an error for each put of a batch.
fn same(error: &StoreError) -> StoreError {
    match error {
        StoreError::Denied(what) => StoreError::Denied(what.clone()),
        StoreError::ReadOnly(what) => StoreError::ReadOnly(what.clone()),
        error => StoreError::Unavailable {
            action: "opening",
            path: "the bucket".to_owned(),
            source: std::io::Error::other(bio_mcp_core::chain(error)),
        },
    }
}

#[async_trait]
impl Store for LazyStore {
    async fn put_batch(&self, puts: &[Put<'_>]) -> Vec<Result<Stored, StoreError>> {
        match self.open().await {
            Ok(store) => store.put_batch(puts).await,
            Err(error) => puts.iter().map(|_| Err(same(&error))).collect(),
        }
    }

    async fn put_stream(&self, put: &StreamPut, body: Body<'_>) -> Result<Stored, StoreError> {
        self.open().await?.put_stream(put, body).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.open().await?.check().await
    }

    async fn get(&self, key: &Key, version: Option<&VersionId>, max_bytes: usize) -> Result<Object, StoreError> {
        self.open().await?.get(key, version, max_bytes).await
    }

    async fn get_range(&self, key: &Key, version: &VersionId, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        self.open().await?.get_range(key, version, range).await
    }

    async fn head(&self, key: &Key) -> Result<Head, StoreError> {
        self.open().await?.head(key).await
    }

    async fn versions(&self, key: &Key) -> Result<Vec<VersionId>, StoreError> {
        self.open().await?.versions(key).await
    }

    async fn list_versions(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<VersionId>)>, StoreError> {
        self.open().await?.list_versions(prefix, after, limit).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.open().await?.list(prefix, after, limit).await
    }

    async fn delete_version(&self, key: &Key, version: &VersionId) -> Result<(), StoreError> {
        self.open().await?.delete_version(key, version).await
    }

    fn root(&self) -> Root {
        Root::Bucket(self.settings.bucket.clone())
    }
}
