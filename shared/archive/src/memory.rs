//! A store in memory, for tests and dry runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use tokio::io::AsyncReadExt;

use super::address::Root;
use super::store::{
    Body, ByteRange, Condition, ETag, Head, Key, Object, Put, Store, StoreError, Stored, StreamPut, VersionId,
};
use bio_mcp_core::Sha256;

/// A store that loses its content when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<Key, Vec<Version>>>,
}

#[derive(Debug)]
struct Version {
    /// None once it is deleted.
    bytes: Option<Vec<u8>>,
    payload_hash: Option<Sha256>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Vec<Version>>> {
        // A panic while the lock is held cannot leave a partial version.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id(n: usize) -> VersionId {
    VersionId::new(format!("v{n}"))
}

/// The bytes of a version; none if it was deleted or never existed.
fn bytes_of<'a>(versions: &'a [Version], wanted: &VersionId) -> Option<(usize, &'a [u8])> {
    let n = (1..=versions.len()).find(|n| id(*n) == *wanted)?;
    Some((n, versions[n - 1].bytes.as_deref()?))
}

#[async_trait]
impl Store for MemoryStore {
    async fn put_batch(&self, puts: &[Put<'_>]) -> Vec<Result<Stored, StoreError>> {
        let mut objects = self.objects();
        puts.iter()
            .map(|put| {
                let versions = objects.entry(put.key.clone()).or_default();
                let holds = match &put.condition {
                    Condition::Absent => versions.is_empty(),
                    Condition::Matches(etag) => !versions.is_empty() && *etag == ETag::of(&id(versions.len())),
                };
                if !holds {
                    return Err(StoreError::Precondition);
                }
                versions.push(Version { bytes: Some(put.bytes.to_vec()), payload_hash: put.payload_hash });
                let version = id(versions.len());
                Ok(Stored { etag: ETag::of(&version), version })
            })
            .collect()
    }

    async fn put_stream(&self, put: &StreamPut, body: Body<'_>) -> Result<Stored, StoreError> {
        let mut bytes = Vec::new();
        let more = (put.max_bytes as u64).saturating_add(1);
        let read = body.take(more).read_to_end(&mut bytes).await;
        read.map_err(|source| StoreError::Body { key: put.key.to_string(), source })?;
        if bytes.len() > put.max_bytes {
            return Err(StoreError::BodyTooLarge { key: put.key.to_string(), max_bytes: put.max_bytes });
        }
        let whole = Put { key: put.key.clone(), bytes: &bytes, condition: put.condition.clone(), payload_hash: None };
        self.put_batch(&[whole]).await.pop().expect("one put, one result")
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn get(&self, key: &Key, version: Option<&VersionId>, max_bytes: usize) -> Result<Object, StoreError> {
        let objects = self.objects();
        let versions = objects.get(key).map_or(&[][..], Vec::as_slice);
        let newest = id(versions.len());
        let found = bytes_of(versions, version.unwrap_or(&newest));
        let (n, bytes) = found.ok_or_else(|| StoreError::NotFound(key.to_string()))?;
        if bytes.len() > max_bytes {
            return Err(StoreError::TooLarge { key: key.to_string(), max_bytes });
        }
        Ok(Object { bytes: bytes.to_vec(), etag: ETag::of(&id(n)), version: id(n) })
    }

    async fn get_range(&self, key: &Key, version: &VersionId, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        let objects = self.objects();
        let versions = objects.get(key).map_or(&[][..], Vec::as_slice);
        let (_, bytes) = bytes_of(versions, version).ok_or_else(|| StoreError::NotFound(key.to_string()))?;
        let index = |at| usize::try_from(at).unwrap_or(usize::MAX);
        let part = bytes.get(index(range.offset())..index(range.end()));
        part.map(<[u8]>::to_vec).ok_or_else(|| StoreError::BeyondEnd { key: key.to_string(), range })
    }

    async fn head(&self, key: &Key) -> Result<Head, StoreError> {
        let objects = self.objects();
        let versions = objects.get(key).map_or(&[][..], Vec::as_slice);
        let newest = versions.last().ok_or_else(|| StoreError::NotFound(key.to_string()))?;
        let version = id(versions.len());
        Ok(Head { etag: ETag::of(&version), version, payload_hash: newest.payload_hash })
    }

    async fn versions(&self, key: &Key) -> Result<Vec<VersionId>, StoreError> {
        let objects = self.objects();
        let versions = objects.get(key).map_or(&[][..], Vec::as_slice);
        let there = (1..).zip(versions).filter(|(_, version)| version.bytes.is_some());
        let mut there: Vec<VersionId> = there.map(|(n, _)| id(n)).collect();
        there.reverse();
        Ok(there)
    }

    async fn list_versions(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<VersionId>)>, StoreError> {
        let mut all = Vec::new();
        for key in self.list(prefix, after, limit).await? {
            let versions = self.versions(&key).await?;
            all.push((key, versions));
        }
        Ok(all)
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        let wanted = |key: &&Key| key.as_str().starts_with(prefix) && after.is_none_or(|after| *key > after);
        Ok(self
            .objects()
            .iter()
            .filter(|(_, versions)| !versions.is_empty())
            .map(|(key, _)| key)
            .filter(wanted)
            .take(limit)
            .cloned()
            .collect())
    }

    async fn delete_version(&self, key: &Key, version: &VersionId) -> Result<(), StoreError> {
        let mut objects = self.objects();
        for (n, stored) in (1..).zip(objects.get_mut(key).into_iter().flatten()) {
            if id(n) == *version {
                stored.bytes = None;
            }
        }
        Ok(())
    }

    fn root(&self) -> Root {
        Root::Memory
    }
}
