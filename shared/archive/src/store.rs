//! The store trait: the operations that an archive needs of S3, a disk or memory.
//!
//! Modelled after S3 with versioning and conditional writes: a put has a condition, every put creates a new immutable
//! version, and the plain key refers to the newest one. All implementations pass one conformance suite
//! (`tests/src/store_conformance.rs`).

use std::fmt;

use async_trait::async_trait;
use tokio::io::AsyncRead;

use super::address::Root;
use bio_mcp_core::Sha256;

/// The key of an object: relative, `/`-separated, made only by [`super::Layout`] and listings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    pub(crate) fn new(text: String) -> Self {
        debug_assert!(
            !text.is_empty() && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.')),
            "keys are built from checked parts: {text}"
        );
        Self(text)
    }

    /// Parses a key; none unless every part is a plain visible name.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\0', '\\', '?', '#']);
        text.split('/').all(plain).then(|| Self(text.to_owned()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Id of one immutable version of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(String);

impl VersionId {
    pub(crate) fn new(text: String) -> Self {
        debug_assert!(Self::parse(&text).is_some(), "version ids are made of plain characters: {text:?}");
        Self(text)
    }

    /// Parses an id: visible ASCII characters, except those that would end it in an address.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"#?&".contains(&byte);
        (!text.is_empty() && text.bytes().all(is_plain)).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies the bytes under a plain key, for conditional writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(String);

impl ETag {
    pub(crate) fn of(version: &VersionId) -> Self {
        Self(version.0.clone())
    }

    /// Parses a tag; none if it is empty.
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A range of bytes of an object, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    offset: u64,
    length: u64,
}

impl ByteRange {
    /// The range of `length` bytes from `offset`; none if it is empty or its end overflows.
    pub fn new(offset: u64, length: u64) -> Option<Self> {
        (length > 0 && offset.checked_add(length).is_some()).then_some(Self { offset, length })
    }

    /// Offset of the first byte.
    pub fn offset(self) -> u64 {
        self.offset
    }

    /// Number of bytes.
    pub fn length(self) -> u64 {
        self.length
    }

    /// Offset after the last byte.
    pub fn end(self) -> u64 {
        self.offset + self.length
    }
}

/// Condition of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key has no object (S3 `If-None-Match: *`).
    Absent,
    /// The key has these bytes (S3 `If-Match`).
    Matches(ETag),
}

/// One object to store.
#[derive(Clone, Debug)]
pub struct Put<'a> {
    pub key: Key,
    pub bytes: &'a [u8],
    pub condition: Condition,
    /// Stored as object metadata, if the store supports it.
    pub payload_hash: Option<Sha256>,
}

/// An object to store whose content is read while it is stored.
#[derive(Clone, Debug)]
pub struct StreamPut {
    pub key: Key,
    pub condition: Condition,
    /// Maximum size of the object.
    pub max_bytes: usize,
}

/// The reader of the content of a [`StreamPut`].
pub type Body<'a> = &'a mut (dyn AsyncRead + Send + Unpin);

/// Result of a successful put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub version: VersionId,
    /// Tag for a later conditional put.
    pub etag: ETag,
}

/// An object with its version.
#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: Vec<u8>,
    /// The version of these bytes.
    pub version: VersionId,
    /// Tag for a conditional put.
    pub etag: ETag,
}

/// The newest version of a key, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub version: VersionId,
    pub etag: ETag,
    /// Hash of the payload, if the store keeps metadata.
    pub payload_hash: Option<Sha256>,
}

/// Errors of a store, by what the caller can do about them.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object or version does not exist.
    #[error("object {0} not found in the archive")]
    NotFound(String),
    /// The bytes of a version are not those that were stored.
    #[error("object {0} is damaged: its bytes do not match its version")]
    Damaged(String),
    /// The object is larger than the caller allows, and was not read: no valid object of this kind is as large.
    #[error("object {key} is larger than {max_bytes} bytes, the maximum for its kind, and was not read")]
    TooLarge {
        key: String,
        /// The limit of the caller.
        max_bytes: usize,
    },
    /// The range is partly beyond the end of the object.
    #[error("object {key} ends before byte {}", range.end() - 1)]
    BeyondEnd {
        key: String,
        /// The requested range.
        range: ByteRange,
    },
    /// The content is larger than allowed: nothing was stored.
    #[error("the content for {key} is larger than {max_bytes} bytes, and was not stored")]
    BodyTooLarge {
        key: String,
        /// Maximum size of the object.
        max_bytes: usize,
    },
    /// The content could not be read: nothing was stored, and the store is not at fault.
    #[error("the content for {key} could not be read completely")]
    Body {
        key: String,
        /// Error of the reader.
        source: std::io::Error,
    },
    /// The condition of a put was not met: read the current object and decide again.
    #[error("the object under this key is not the expected one")]
    Precondition,
    /// Other writers of the key came first in every attempt: the put may succeed later.
    #[error("other writers of {0} came first in every attempt: try again")]
    Conflict(String),
    /// The storage is full; nothing was lost: free space and run again.
    #[error("no space left for {0}: free some space and run again, finished batches are kept")]
    Full(String),
    /// Access to the store is denied; an operator must change that.
    #[error("no permission for {0}")]
    Denied(String),
    /// The file system is read-only; an operator must change that.
    #[error("{0} is on a read-only file system: nothing can be written there")]
    ReadOnly(String),
    /// Any other error; a retry may succeed.
    #[error("{action} {path}")]
    Unavailable {
        /// The failed operation.
        action: &'static str,
        path: String,
        /// The error of the system.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Conflict(_))
    }

    /// Whether the object exists but is not a valid one: it can be replaced, but not read.
    pub fn is_bad_object(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::TooLarge { .. })
    }
}

/// A versioned object store.
#[async_trait]
pub trait Store: Send + Sync {
    /// Stores a batch, each put with its own condition, and returns the results in the same order. Every `Ok` is on
    /// stable storage when this returns. Keys within a batch are distinct.
    async fn put_batch(&self, puts: &[Put<'_>]) -> Vec<Result<Stored, StoreError>>;

    /// Stores one object whose content is read at the same time; at most a few parts of it are in memory. The object is
    /// on stable storage when this returns. If it fails or is dropped, nothing is stored.
    async fn put_stream(&self, put: &StreamPut, body: Body<'_>) -> Result<Stored, StoreError>;

    /// Checks that the store is reachable and keeps versions; writes nothing.
    async fn check(&self) -> Result<(), StoreError>;

    /// Reads the newest version, or the named one, if it has at most `max_bytes`. If the named one is not an older
    /// version and the newest one is larger, the error is [`StoreError::TooLarge`]: whether they are the same is not
    /// checked.
    async fn get(&self, key: &Key, version: Option<&VersionId>, max_bytes: usize) -> Result<Object, StoreError>;

    /// Reads a range of a version: all of its bytes, or an error. The version is verified; the bytes are not, because
    /// the checksum of an object covers all of them: the caller verifies a range by its content.
    async fn get_range(&self, key: &Key, version: &VersionId, range: ByteRange) -> Result<Vec<u8>, StoreError>;

    /// The version and `ETag` under the plain key.
    async fn head(&self, key: &Key) -> Result<Head, StoreError>;

    /// All versions of a key, the newest first if the store knows the order; empty if there are none.
    async fn versions(&self, key: &Key) -> Result<Vec<VersionId>, StoreError>;

    /// All versions of up to `limit` keys that start with `prefix`, in ascending order of keys, after `after`; those of
    /// a key in the order of [`Store::versions`].
    async fn list_versions(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<VersionId>)>, StoreError>;

    /// Up to `limit` keys that start with `prefix`, in ascending order, after `after`.
    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError>;

    /// Permanently deletes one version; repeating it changes nothing. Only an operator's purge may call this, and never
    /// for the newest version.
    async fn delete_version(&self, key: &Key, version: &VersionId) -> Result<(), StoreError>;

    /// The root of the store.
    fn root(&self) -> Root;

    /// The address of one version, as stored in rows: `s3://bucket/key?versionId=…` or `file:///dir/key?versionId=…`.
    fn uri(&self, key: &Key, version: &VersionId) -> String {
        self.root().address(key, version).to_string()
    }
}
