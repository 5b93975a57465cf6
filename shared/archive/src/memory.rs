//! A store in memory, for tests and dry runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::store::{Condition, ETag, Head, Key, Object, Put, Store, StoreError, Stored, VersionId};
use bio_mcp_core::Sha256;

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<Key, Vec<Version>>>,
}

#[derive(Debug)]
struct Version {
    /// Nothing once it is deleted.
    bytes: Option<Vec<u8>>,
    payload_hash: Option<Sha256>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Vec<Version>>> {
        // A panic while holding the lock cannot leave half a version behind.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id(n: usize) -> String {
    format!("v{n}")
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
                    Condition::Matches(etag) => !versions.is_empty() && etag.0 == id(versions.len()),
                };
                if !holds {
                    return Err(StoreError::Precondition);
                }
                versions.push(Version { bytes: Some(put.bytes.to_vec()), payload_hash: put.payload_hash });
                let id = id(versions.len());
                Ok(Stored { version: VersionId(id.clone()), etag: ETag(id) })
            })
            .collect()
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn get(&self, key: &Key, version: Option<&VersionId>, max_bytes: usize) -> Result<Object, StoreError> {
        let objects = self.objects();
        let versions = objects.get(key).map_or(&[][..], Vec::as_slice);
        let n = match version {
            None => versions.len(),
            Some(wanted) => (1..=versions.len()).find(|n| id(*n) == wanted.0).unwrap_or(0),
        };
        let found = n.checked_sub(1).and_then(|i| versions.get(i)?.bytes.as_ref());
        let bytes = found.ok_or_else(|| StoreError::NotFound(key.to_string()))?;
        if bytes.len() > max_bytes {
            return Err(StoreError::TooLarge { key: key.to_string(), max_bytes });
        }
        Ok(Object { bytes: bytes.clone(), version: VersionId(id(n)), etag: ETag(id(n)) })
    }

    async fn head(&self, key: &Key) -> Result<Head, StoreError> {
        let objects = self.objects();
        let versions = objects.get(key).map_or(&[][..], Vec::as_slice);
        let newest = versions.last().ok_or_else(|| StoreError::NotFound(key.to_string()))?;
        let id = id(versions.len());
        Ok(Head { version: VersionId(id.clone()), etag: ETag(id), payload_hash: newest.payload_hash })
    }

    async fn versions(&self, key: &Key) -> Result<Vec<VersionId>, StoreError> {
        let objects = self.objects();
        let versions = objects.get(key).map_or(&[][..], Vec::as_slice);
        let there = (1..).zip(versions).filter(|(_, version)| version.bytes.is_some());
        let mut there: Vec<VersionId> = there.map(|(n, _)| VersionId(id(n))).collect();
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
            if id(n) == version.0 {
                stored.bytes = None;
            }
        }
        Ok(())
    }

    fn uri(&self, key: &Key, version: &VersionId) -> String {
        format!("memory:///{key}?versionId={}", version.0)
    }
}
