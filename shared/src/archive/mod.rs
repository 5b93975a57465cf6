//! The archive: one verifiable, compressed object per PubMed record, every version kept.
//!
//! The way of a record: [`Envelope`] → bytes ([`codec`]) → key ([`layout`]) → [`Store`].
//! [`Archive`] joins them and decides what to do when an object is already there; which rows
//! point at objects is the business of `records`, not of this module.

pub mod codec;
pub mod disk;
pub mod envelope;
mod json_text;
pub mod layout;
pub mod memory;
pub mod opened_later;
mod put;
pub mod s3;
pub mod store;
pub mod uri;

use std::sync::Arc;

pub use codec::Compression;
pub use disk::DiskStore;
pub use envelope::{Envelope, EnvelopeError, Payload, Source};
pub use layout::Layout;
pub use memory::MemoryStore;
pub use opened_later::OpenedLater;
pub use put::{Draft, PutOutcome, StoredVersion};
pub use s3::{OpenError, S3Settings, S3Store};
pub use store::{Condition, ETag, Key, Put, Store, StoreError, VersionId};

use crate::words::{JobId, Pmid};

/// An archive: a store, its layout and the limits on what is read back.
#[derive(Clone)]
pub struct Archive {
    store: Arc<dyn Store>,
    layout: Layout,
    max_record_bytes: usize,
}

/// An object of the archive could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is there but is not a valid envelope.
    #[error("archive object {key} is damaged")]
    Damaged {
        /// The object's key.
        key: String,
        /// What is wrong with it.
        source: EnvelopeError,
    },
}

impl ReadError {
    /// Whether there is no such object or version.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Store(StoreError::NotFound(_)))
    }

    /// Whether the fault is that of one object; otherwise the store could not be read, which may pass.
    pub fn is_missing_or_damaged(&self) -> bool {
        self.is_missing() || matches!(self, Self::Damaged { .. })
    }
}

impl Archive {
    /// An archive in `store`; records up to `max_record_bytes` of XML are accepted.
    pub fn new(store: Arc<dyn Store>, layout: Layout, max_record_bytes: usize) -> Self {
        Self { store, layout, max_record_bytes }
    }

    /// Where things are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The store below.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The largest record accepted, in bytes of XML.
    pub fn max_record_bytes(&self) -> usize {
        self.max_record_bytes
    }

    /// The envelope at an address as kept in `s3_uri`, also when the archive has moved since. The
    /// payload's hash has been checked against the envelope's.
    pub async fn envelope(&self, pmid: Pmid, address: &str) -> Result<Envelope, ReadError> {
        let key = self.layout.record_at(pmid, address);
        let version = uri::version_of(address);
        match self.envelope_at(&key, version.as_ref()).await {
            // Where a version is the hash of its bytes, damaged ones are those of no version.
            Err(missing) if missing.is_missing() && version.is_some() => match self.envelope_at(&key, None).await {
                Err(damaged @ ReadError::Damaged { .. }) => Err(damaged),
                _ => Err(missing),
            },
            read => read.map(|(envelope, _)| envelope),
        }
    }

    /// The envelope under a key with the version it was read from.
    pub async fn envelope_at(
        &self,
        key: &Key,
        version: Option<&VersionId>,
    ) -> Result<(Envelope, StoredVersion), ReadError> {
        let object = match self.store.get(key, version).await {
            Err(StoreError::Damaged(key)) => return Err(ReadError::Damaged { key, source: EnvelopeError::OtherBytes }),
            read => read?,
        };
        let envelope = self.decode(key, &object.bytes)?;
        Ok((envelope, StoredVersion { version: object.version, etag: object.etag }))
    }

    fn decode(&self, key: &Key, bytes: &[u8]) -> Result<Envelope, ReadError> {
        codec::decode(bytes, envelope::max_bytes(self.max_record_bytes))
            .map_err(EnvelopeError::from)
            .and_then(|json| Envelope::from_json(&json))
            .and_then(|envelope| match self.layout.pmid_of(key) {
                Some(expected) if expected != envelope.pmid => {
                    Err(EnvelopeError::OtherRecord { expected, found: envelope.pmid })
                }
                _ => Ok(envelope),
            })
            .map_err(|source| ReadError::Damaged { key: key.to_string(), source })
    }

    /// The bytes of a job's manifest at its address; of nothing else.
    pub async fn manifest(&self, job: JobId, address: &str) -> Result<Vec<u8>, StoreError> {
        let not_found = || StoreError::NotFound(format!("manifest of job {job}"));
        let key = self.layout.manifest_at(job, address).ok_or_else(not_found)?;
        Ok(self.store.get(&key, uri::version_of(address).as_ref()).await?.bytes)
    }

    /// Where the archive lies: the same for every program that opens it there.
    pub fn place(&self) -> String {
        let records = Key::new(self.layout.records().trim_end_matches('/').to_owned());
        self.store.uri(&records, &VersionId(String::new()))
    }

    /// The address of one version, as written to `s3_uri`.
    pub fn uri(&self, key: &Key, version: &VersionId) -> String {
        self.store.uri(key, version)
    }

    /// Stores an object that is written once (manifest, part, quarantine). If it is already
    /// there, that one stays: keys of such objects name the work that made them.
    pub async fn put_once(&self, key: Key, bytes: Vec<u8>) -> Result<String, StoreError> {
        let uri_key = key.clone();
        let put = Put { key, bytes: &bytes, condition: Condition::Absent, payload_hash: None };
        match self.store.put_batch(&[put]).await.pop().expect("one put, one answer") {
            Ok(stored) => Ok(self.store.uri(&uri_key, &stored.version)),
            Err(StoreError::Precondition) => {
                let there = self.store.head(&uri_key).await.map_err(|error| match error {
                    // Another put of the same is still under way.
                    StoreError::NotFound(path) => StoreError::Unavailable {
                        action: "waiting for another put of",
                        path,
                        source: std::io::Error::other("it is not there yet"),
                    },
                    error => error,
                })?;
                Ok(self.store.uri(&uri_key, &there.version))
            }
            Err(error) => Err(error),
        }
    }
}
