//! The archive: one verifiable, compressed object per PubMed record, every version kept.
//!
//! The way of a record: [`Envelope`] → bytes ([`codec`]) → key ([`layout`]) → [`Store`].
//! [`Archive`] joins them and decides what to do when an object is already there; which rows
//! point at objects is the business of `records`, not of this module.

mod books;
pub mod codec;
pub mod disk;
pub mod envelope;
pub mod file_lock;
mod json_text;
pub mod layout;
#[cfg(feature = "s3")]
pub mod lazy_store;
pub mod memory;
mod put;
#[cfg(feature = "s3")]
pub mod s3;
pub mod store;
pub mod uri;

use std::sync::Arc;

pub use books::{Books, Names};
pub use codec::Compression;
pub use disk::DiskStore;
pub use envelope::{Envelope, EnvelopeError, Payload, Source};
pub use layout::Layout;
#[cfg(feature = "s3")]
pub use lazy_store::{LazyStore, LoadConfig};
pub use memory::MemoryStore;
pub use put::{Draft, PutInOrder, PutOutcome, StoredVersion};
#[cfg(feature = "s3")]
pub use s3::{OpenError, S3Settings, S3Store};
pub use store::{Condition, ETag, Key, Object, Put, Store, StoreError, VersionId};

use bio_mcp_core::{JobId, Pmid, Sha256, identity};

/// An archive: a store, its layout and the limits on what is read back.
#[derive(Clone)]
pub struct Archive {
    store: Arc<dyn Store>,
    layout: Layout,
    max_record_bytes: usize,
}

/// What a row says of an object: where it is, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its version.
    pub s3_uri: String,
    /// Hash of its payload; none for a tombstone.
    pub content_hash: Option<Sha256>,
}

impl Address {
    /// The address in a row that has the hash as text; what is no hash is that of no payload.
    pub fn of_row(s3_uri: &str, content_hash: Option<&str>) -> Self {
        let content_hash = content_hash.and_then(|hash| Sha256::parse(hash).ok());
        Self { s3_uri: s3_uri.to_owned(), content_hash }
    }
}

/// An object of the archive could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// The object is there but is not a valid envelope.
    #[error("archive object {key} is damaged")]
    Damaged {
        /// The object's key.
        key: String,
        /// What is wrong with it.
        source: EnvelopeError,
    },
    /// The object is there, and its format is one that only a newer program reads: it is no fault, and nothing may
    /// replace it.
    #[error("archive object {key} was written by a newer program (envelope version {version}): update this program")]
    Newer {
        /// The object's key.
        key: String,
        /// The version of its envelope.
        version: u32,
    },
}

impl From<StoreError> for ReadError {
    /// What the store says of one object's bytes is said of the object.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(key) => Self::Damaged { key, source: EnvelopeError::OtherBytes },
            StoreError::TooLarge { key, max_bytes } => {
                Self::Damaged { key, source: EnvelopeError::TooLarge { max_bytes } }
            }
            error => Self::Store(error),
        }
    }
}

impl ReadError {
    /// Whether there is no such object or version.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Store(StoreError::NotFound(_)))
    }

    /// Whether it is about one object: the others can be read.
    pub fn is_one_object(&self) -> bool {
        self.is_missing_or_damaged() || matches!(self, Self::Newer { .. })
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

    /// The envelope at an address, also when the archive has moved since: that of this record, with the payload whose
    /// hash the same row has. The object's own word is never enough.
    pub async fn envelope(&self, pmid: Pmid, address: &Address) -> Result<Envelope, ReadError> {
        let (key, object) = self.object_at(pmid, address).await?;
        self.open(pmid, address, &key, &object.bytes)
    }

    /// The stored bytes at an address, and their key; [`Archive::open`] reads them, which takes work but no I/O.
    pub async fn object_at(&self, pmid: Pmid, address: &Address) -> Result<(Key, Object), ReadError> {
        let key = self.layout.record_at(pmid, &address.s3_uri);
        let version = uri::version_of(&address.s3_uri);
        match self.object(&key, version.as_ref()).await {
            Ok(object) => Ok((key, object)),
            // Where a version is the hash of its bytes, damaged ones are those of no version.
            Err(missing @ StoreError::NotFound(_)) if version.is_some() => match self.envelope_at(&key, None).await {
                Err(damaged @ ReadError::Damaged { .. }) => Err(damaged),
                _ => Err(missing.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the bytes of [`Archive::object_at`].
    pub fn open(&self, pmid: Pmid, address: &Address, key: &Key, bytes: &[u8]) -> Result<Envelope, ReadError> {
        let envelope = self.decode(key, bytes)?;
        if envelope.pmid == pmid && envelope.content_hash() == address.content_hash {
            return Ok(envelope);
        }
        Err(ReadError::Damaged { key: key.to_string(), source: EnvelopeError::OtherPayload })
    }

    /// The stored bytes of a record, unless they are more than those of any record: then they are not read.
    pub async fn object(&self, key: &Key, version: Option<&VersionId>) -> Result<Object, StoreError> {
        let max_bytes = codec::max_stored_bytes(envelope::max_bytes(self.max_record_bytes));
        self.store.get(key, version, max_bytes).await
    }

    /// The envelope under a key with the version it was read from.
    pub async fn envelope_at(
        &self,
        key: &Key,
        version: Option<&VersionId>,
    ) -> Result<(Envelope, StoredVersion), ReadError> {
        let object = self.object(key, version).await?;
        let envelope = self.decode(key, &object.bytes)?;
        Ok((envelope, StoredVersion { version: object.version, etag: object.etag }))
    }

    /// Reads stored bytes as the envelope of the record whose key they lie under. The PMID of the key, that of the
    /// envelope and that in its XML must be one.
    pub fn decode(&self, key: &Key, bytes: &[u8]) -> Result<Envelope, ReadError> {
        codec::decode(bytes, envelope::max_bytes(self.max_record_bytes))
            .map_err(EnvelopeError::from)
            .and_then(|json| Envelope::from_json(&json))
            .and_then(|envelope| self.of_key(key, envelope))
            .map_err(|source| match source {
                EnvelopeError::Version(version) if version > envelope::VERSION => {
                    ReadError::Newer { key: key.to_string(), version }
                }
                source => ReadError::Damaged { key: key.to_string(), source },
            })
    }

    fn of_key(&self, key: &Key, envelope: Envelope) -> Result<Envelope, EnvelopeError> {
        if let Some(expected) = self.layout.pmid_of(key).filter(|expected| *expected != envelope.pmid) {
            return Err(EnvelopeError::OtherRecord { expected, found: envelope.pmid });
        }
        if let Some(xml) = envelope.payload.xml() {
            let (identity, _) = identity::of_record(xml.as_bytes())?;
            if identity.pmid != envelope.pmid {
                return Err(EnvelopeError::OtherXml { expected: envelope.pmid, found: identity.pmid });
            }
        }
        Ok(envelope)
    }

    /// The bytes of a job's manifest at its address; of nothing else.
    pub async fn manifest(&self, job: JobId, address: &str) -> Result<Vec<u8>, StoreError> {
        let not_found = || StoreError::NotFound(format!("manifest of job {job}"));
        let key = self.layout.manifest_at(job, address).ok_or_else(not_found)?;
        Ok(self.store.get(&key, uri::version_of(address).as_ref(), MAX_MANIFEST_BYTES).await?.bytes)
    }

    /// Where the archive lies: the same for every program that opens it there.
    pub fn place(&self) -> String {
        let records = Key::new(self.layout.records().trim_end_matches('/').to_owned());
        self.store.uri(&records, &VersionId(String::new()))
    }

    /// Whether it lies in a bucket, where requests are paid for.
    pub fn is_bucket(&self) -> bool {
        self.place().starts_with("s3://")
    }

    /// The address of one version, as written to `s3_uri`.
    pub fn uri(&self, key: &Key, version: &VersionId) -> String {
        self.store.uri(key, version)
    }

    /// Stores an object that is written once (manifest, part, quarantine). Where the same bytes lie there already,
    /// those stay; other bytes are not what was to be written, whatever wrote them: they become an older version.
    pub async fn put_once(&self, key: Key, bytes: Vec<u8>) -> Result<String, StoreError> {
        let mut condition = Condition::Absent;
        for _ in 0..ATTEMPTS {
            let put = Put { key: key.clone(), bytes: &bytes, condition, payload_hash: None };
            match self.store.put_batch(&[put]).await.pop().expect("one put, one answer") {
                Ok(stored) => return Ok(self.store.uri(&key, &stored.version)),
                Err(StoreError::Precondition) => {}
                Err(error) => return Err(error),
            }
            let (version, etag) = match self.store.get(&key, None, bytes.len()).await {
                Ok(there) if there.bytes == bytes => return Ok(self.store.uri(&key, &there.version)),
                Ok(there) => (there.version, there.etag),
                Err(error) if error.is_bad_object() => {
                    let there = self.store.head(&key).await?;
                    (there.version, there.etag)
                }
                // Another put of the same may still be under way.
                Err(StoreError::NotFound(_)) => {
                    condition = Condition::Absent;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let version = version.0;
            tracing::warn!(%key, version, "an object that was not written here lay in the way: it is an older version now");
            condition = Condition::Matches(etag);
        }
        Err(StoreError::Unavailable {
            action: "waiting for another put of",
            path: key.to_string(),
            source: std::io::Error::other("another writer was faster every time"),
        })
    }
}

/// The most bytes of a manifest that are read: it has a few hundred for each work unit of its job.
const MAX_MANIFEST_BYTES: usize = 256 << 20;

/// How often a put that meets another writer looks again before it gives up.
const ATTEMPTS: usize = 8;
