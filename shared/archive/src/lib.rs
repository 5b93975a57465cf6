//! The archive: one verifiable, compressed object per PubMed record, every version kept.
//!
//! A record passes through [`Envelope`] → bytes ([`codec`]) → key ([`layout`]) → [`Store`]. [`Archive`] combines them
//! and resolves conflicts with existing objects; the rows that point to objects are managed by `records`.

pub mod address;
mod bucket;
pub mod codec;
pub mod disk;
pub mod envelope;
pub mod file_lock;
mod json_text;
pub mod layout;
#[cfg(feature = "s3")]
pub mod lazy_store;
pub mod memory;
pub mod pack;
mod put;
mod registry;
#[cfg(feature = "s3")]
pub mod s3;
pub mod store;
mod stored_payload;

use std::sync::Arc;

pub use address::{Address, AddressFault, InvalidAddress, PackPart, Root};
pub use bucket::{OpenError, S3Settings};
pub use codec::Compression;
pub use disk::DiskStore;
pub use envelope::{Envelope, EnvelopeError, Payload, Source};
pub use layout::Layout;
#[cfg(feature = "s3")]
pub use lazy_store::{LazyStore, LoadConfig};
pub use memory::MemoryStore;
pub use put::{Known, PendingObject, PutInOrder, PutOutcome, StoredVersion};
pub use registry::{ObjectRegistry, ObjectStatus};
#[cfg(feature = "s3")]
pub use s3::S3Store;
pub use store::{Body, ByteRange, Condition, ETag, Key, Object, Put, Store, StoreError, StreamPut, VersionId};
pub use stored_payload::StoredPayload;

use bio_mcp_core::{JobId, Pmid, Sha256, identity};

/// An archive: a store, its layout and the limits on reads.
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
    Store(StoreError),
    /// The object exists but is not a valid envelope.
    #[error("archive object {key} is damaged")]
    Damaged { key: String, source: EnvelopeError },
    /// The object has a format that only a newer program can read: it is not damaged, and must not be replaced.
    #[error("archive object {key} was written by a newer program (envelope version {version}): update this program")]
    Newer {
        key: String,
        /// Version of its envelope.
        version: u32,
    },
}

impl From<StoreError> for ReadError {
    /// Errors about the bytes of one object become errors of that object.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(key) | StoreError::BeyondEnd { key, .. } => {
                Self::Damaged { key, source: EnvelopeError::OtherBytes }
            }
            StoreError::TooLarge { key, max_bytes } => {
                Self::Damaged { key, source: EnvelopeError::TooLarge { max_bytes } }
            }
            error => Self::Store(error),
        }
    }
}

impl ReadError {
    /// Whether the object or version does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Store(StoreError::NotFound(_)))
    }

    /// Whether it concerns one object: others can be read.
    pub fn is_one_object(&self) -> bool {
        self.is_missing_or_damaged() || matches!(self, Self::Newer { .. })
    }

    /// Whether one object is missing or damaged; otherwise the store could not be read, which may be temporary.
    pub fn is_missing_or_damaged(&self) -> bool {
        self.is_missing() || matches!(self, Self::Damaged { .. })
    }
}

impl Archive {
    /// An archive in `store`; records up to `max_record_bytes` of XML are accepted.
    pub fn new(store: Arc<dyn Store>, layout: Layout, max_record_bytes: usize) -> Self {
        Self { store, layout, max_record_bytes }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Maximum size of a record, in bytes of XML.
    pub fn max_record_bytes(&self) -> usize {
        self.max_record_bytes
    }

    /// The envelope that a row refers to, also after the archive was moved: it must be of this record, with the payload
    /// whose hash is in the row. The identity in the object itself is not trusted.
    pub async fn envelope(&self, pmid: Pmid, payload: &StoredPayload) -> Result<Envelope, ReadError> {
        let (key, bytes) = self.object_at(pmid, payload).await?;
        self.open(pmid, payload, &key, &bytes)
    }

    /// The stored bytes that a row refers to, and their key; [`Archive::open`] decodes them, which is CPU work without
    /// I/O.
    pub async fn object_at(&self, pmid: Pmid, payload: &StoredPayload) -> Result<(Key, Vec<u8>), ReadError> {
        let damaged = |invalid: &InvalidAddress| ReadError::Damaged {
            key: format!("of PMID {pmid}"),
            source: EnvelopeError::Address(invalid.clone()),
        };
        let address = payload.address.as_ref().map_err(damaged)?;
        let key = self.layout.payload(pmid, address).map_err(|invalid| damaged(&invalid))?;
        if let Some(part) = address.part() {
            let max_bytes = codec::max_stored_bytes(self.max_frame_bytes());
            if part.bytes.length() > max_bytes as u64 {
                return Err(StoreError::TooLarge { key: key.to_string(), max_bytes }.into());
            }
            let frame = self.store.get_range(&key, address.version(), part.bytes).await?;
            return Ok((key, frame));
        }
        match self.object(&key, Some(address.version())).await {
            Ok(object) => Ok((key, object.bytes)),
            // If versions are hashes of bytes, damaged bytes belong to no version.
            Err(missing @ StoreError::NotFound(_)) => match self.envelope_at(&key, None).await {
                Err(damaged @ ReadError::Damaged { .. }) => Err(damaged),
                _ => Err(missing.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Decodes the bytes that [`Archive::object_at`] returned.
    pub fn open(&self, pmid: Pmid, payload: &StoredPayload, key: &Key, bytes: &[u8]) -> Result<Envelope, ReadError> {
        let (envelope, content_hash) = match payload.address.as_ref().ok().and_then(Address::part) {
            None => self.decode_hashed(key, bytes)?,
            Some(part) => self.read_envelope(key, self.line(bytes, part))?,
        };
        if envelope.pmid == pmid && content_hash == payload.content_hash {
            return Ok(envelope);
        }
        Err(ReadError::Damaged { key: key.to_string(), source: EnvelopeError::OtherPayload })
    }

    /// Maximum size of the text in a frame of a pack: that of several records, or of one larger record.
    fn max_frame_bytes(&self) -> usize {
        envelope::max_bytes(self.max_record_bytes).max(FRAME_BYTES)
    }

    /// Extracts the line of a frame that is an envelope.
    fn line(&self, frame: &[u8], part: PackPart) -> Result<Vec<u8>, EnvelopeError> {
        let text = codec::decode(frame, self.max_frame_bytes())?;
        let mut lines = text.split(|byte| *byte == b'\n');
        let at = usize::try_from(part.line.get() - 1).unwrap_or(usize::MAX);
        lines.nth(at).map(<[u8]>::to_vec).ok_or(EnvelopeError::OtherBytes)
    }

    /// The stored bytes of a record; if they are larger than any record, they are not read.
    pub async fn object(&self, key: &Key, version: Option<&VersionId>) -> Result<Object, StoreError> {
        let max_bytes = codec::max_stored_bytes(envelope::max_bytes(self.max_record_bytes));
        self.store.get(key, version, max_bytes).await
    }

    /// The envelope under a key, with its version.
    pub async fn envelope_at(
        &self,
        key: &Key,
        version: Option<&VersionId>,
    ) -> Result<(Envelope, StoredVersion), ReadError> {
        let object = self.object(key, version).await?;
        let envelope = self.decode(key, &object.bytes)?;
        Ok((envelope, StoredVersion { version: object.version, etag: object.etag }))
    }

    /// Decodes stored bytes as the envelope of the record with this key. The PMIDs of the key, the envelope and its XML
    /// must be equal.
    pub fn decode(&self, key: &Key, bytes: &[u8]) -> Result<Envelope, ReadError> {
        self.decode_hashed(key, bytes).map(|(envelope, _)| envelope)
    }

    /// Like [`Self::decode`], also returning the hash of the payload, which is expensive to compute again.
    pub fn decode_hashed(&self, key: &Key, bytes: &[u8]) -> Result<(Envelope, Option<Sha256>), ReadError> {
        self.read_envelope(
            key,
            codec::decode(bytes, envelope::max_bytes(self.max_record_bytes)).map_err(EnvelopeError::from),
        )
    }

    fn read_envelope(
        &self,
        key: &Key,
        json: Result<Vec<u8>, EnvelopeError>,
    ) -> Result<(Envelope, Option<Sha256>), ReadError> {
        let read = json.and_then(|json| Envelope::read(&json));
        let checked = read.and_then(|read| self.check_record(key, &read.0).map(|()| read));
        checked.map_err(|source| match source {
            EnvelopeError::Version(version) if version > envelope::VERSION => {
                ReadError::Newer { key: key.to_string(), version }
            }
            source => ReadError::Damaged { key: key.to_string(), source },
        })
    }

    fn check_record(&self, key: &Key, envelope: &Envelope) -> Result<(), EnvelopeError> {
        if let Some(expected) = self.layout.pmid_of(key).filter(|expected| *expected != envelope.pmid) {
            return Err(EnvelopeError::OtherRecord { expected, found: envelope.pmid });
        }
        if let Some(xml) = envelope.payload.xml() {
            let identity = identity::of_text(xml)?;
            if identity.pmid != envelope.pmid {
                return Err(EnvelopeError::OtherXml { expected: envelope.pmid, found: identity.pmid });
            }
        }
        Ok(())
    }

    /// The bytes of a job's manifest at its address; an error for any other object.
    pub async fn manifest(&self, job: JobId, address: &str) -> Result<Vec<u8>, StoreError> {
        let not_found = || StoreError::NotFound(format!("manifest of job {job}"));
        let address = Address::parse(address).map_err(|_| not_found())?;
        let key = self.layout.manifest_at(job, &address).ok_or_else(not_found)?;
        Ok(self.store.get(&key, Some(address.version()), MAX_MANIFEST_BYTES).await?.bytes)
    }

    /// Location of the archive, equal for every program that opens it there.
    pub fn location(&self) -> String {
        let records = Key::new(self.layout.records().trim_end_matches('/').to_owned());
        self.store.root().location(&records)
    }

    /// Whether it is in a bucket, where requests are billed.
    pub fn is_bucket(&self) -> bool {
        matches!(self.store.root(), Root::Bucket(_))
    }

    /// The address of one version, as written to `s3_uri`.
    pub fn uri(&self, key: &Key, version: &VersionId) -> String {
        self.store.uri(key, version)
    }

    /// Stores an object that is written once (manifest, part, quarantine). If the same bytes exist under the key, they
    /// remain; other bytes become an older version, regardless of their writer.
    pub async fn put_once(&self, key: Key, bytes: Vec<u8>) -> Result<String, StoreError> {
        let mut condition = Condition::Absent;
        for _ in 0..ATTEMPTS {
            let put = Put { key: key.clone(), bytes: &bytes, condition, payload_hash: None };
            match self.store.put_batch(&[put]).await.pop().expect("one put, one result") {
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
                // Another put of the same object may be in progress.
                Err(StoreError::NotFound(_)) => {
                    condition = Condition::Absent;
                    continue;
                }
                Err(error) => return Err(error),
            };
            tracing::warn!(%key, %version, "an object that this archive did not write was in the way: it is an older \
                                            version now");
            condition = Condition::Matches(etag);
        }
        Err(StoreError::Conflict(key.to_string()))
    }
}

/// Maximum size of a manifest that is read: it has a few hundred bytes per work unit of its job.
const MAX_MANIFEST_BYTES: usize = 256 << 20;

/// Records whose envelopes together have at most this many bytes share a frame of a pack.
const FRAME_BYTES: usize = 256 << 10;

/// Maximum number of attempts of a put that conflicts with another writer.
const ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use bio_mcp_core::{RecordOrder, clock};

    fn envelope(pmid: Pmid) -> Envelope {
        let order = RecordOrder {
            version: 1,
            date_revised: None,
            as_of: clock::now(),
            file_number: 0,
            position: 0,
            file_id: None,
            deleted: false,
        };
        let source = Source { api: "bulk_file".to_owned(), endpoint: "a".to_owned(), http_status: 0, http_etag: None };
        let xml = format!(
            "<PubmedArticle><MedlineCitation><PMID Version=\"1\">{pmid}</PMID></MedlineCitation></PubmedArticle>"
        );
        Envelope { pmid, fetched_at: clock::now(), source, order, payload: Payload::Xml(xml) }
    }

    #[tokio::test]
    async fn a_line_of_a_pack_is_read_as_its_record_and_no_other() {
        let layout = Layout::new("pubmed", Compression::Zstd).expect("a valid prefix");
        let archive = Archive::new(Arc::new(MemoryStore::new()), layout, 1 << 20);
        let envelopes = [1, 2, 3].map(|n| envelope(Pmid::new(n).expect("a PMID")));
        let frames = [&envelopes[..1], &envelopes[1..]].map(|envelopes| {
            let lines: Vec<Vec<u8>> = envelopes.iter().map(|one| [one.to_json(), vec![b'\n']].concat()).collect();
            codec::encode_zstd(&lines.concat())
        });
        let key = Key::parse("pubmed/packs/pubmed26n0001-0123abcd.1.ndjson.zst").expect("a key");
        let uri = archive.put_once(key, frames.concat()).await.expect("stored");
        let first = frames[0].len() as u64;
        let at = |n: usize, offset: u64, length: u64, line: u32| {
            let bytes = ByteRange::new(offset, length).expect("a range");
            let part = PackPart { bytes, line: NonZeroU32::new(line).expect("a line") };
            let address = Address::parse(&uri).map(|address| address.with_part(part));
            StoredPayload { address, content_hash: envelopes[n].content_hash() }
        };
        let second = frames[1].len() as u64;
        for (n, payload) in [at(0, 0, first, 1), at(1, first, second, 1), at(2, first, second, 2)].iter().enumerate() {
            let read = archive.envelope(envelopes[n].pmid, payload).await.expect("there");
            assert_eq!(read.content_hash(), envelopes[n].content_hash());
        }
        let wrong = [
            at(2, first, second, 1),
            at(2, first, second, 9),
            at(2, 0, first, 1),
            at(2, first, second + 1, 2),
            at(2, first, second - 1, 2),
            at(2, first, 1 << 40, 2),
            at(1, first, second, 2),
        ];
        for payload in wrong {
            let read = archive.envelope(envelopes[2].pmid, &payload).await;
            assert!(matches!(read, Err(ReadError::Damaged { .. })), "{payload:?}: {read:?}");
        }
    }

    #[tokio::test]
    async fn a_row_without_an_address_of_its_record_reads_nothing() {
        let layout = Layout::new("pubmed", Compression::Zstd).expect("a valid prefix");
        let archive = Archive::new(Arc::new(MemoryStore::new()), layout, 1 << 20);
        let (one, other) = (envelope(Pmid::new(1).expect("a PMID")), envelope(Pmid::new(2).expect("a PMID")));
        let stored = codec::encode_zstd(&other.to_json());
        let uri = archive.put_once(archive.layout().record(other.pmid), stored).await.expect("stored");
        for text in [uri.as_str(), "", "/etc/passwd", "s3://bucket/etc/passwd?versionId=1"] {
            let payload = StoredPayload::of_row(text, other.content_hash().map(Sha256::to_hex).as_deref());
            let read = archive.envelope(one.pmid, &payload).await;
            let is_told = matches!(&read, Err(ReadError::Damaged { source: EnvelopeError::Address(_), .. }));
            assert!(is_told, "{text}: {read:?}");
        }
        let payload = StoredPayload::of_row(&uri, other.content_hash().map(Sha256::to_hex).as_deref());
        archive.envelope(other.pmid, &payload).await.expect("its own record's");
    }
}
