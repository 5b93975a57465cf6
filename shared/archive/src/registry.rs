//! What the database says about objects. With write access to the store any bytes can be put under any key, so what is
//! there is taken for the archive's own only when a committed row names it.

use chrono::{DateTime, Utc};

use super::store::{StoreError, VersionId};
use super::{Envelope, ReadError};
use bio_mcp_core::{Pmid, Sha256};

/// What the rows say about one object.
#[derive(Clone, Copy, Debug)]
pub struct ObjectStatus {
    /// A committed intent of this archive names exactly these bytes.
    pub is_intended: bool,
    /// The record's pointer is this version.
    pub is_pointer: bool,
    /// The latest instant that is not in the future, by the database's clock.
    pub latest: DateTime<Utc>,
}

impl ObjectStatus {
    /// Whether this archive wrote the object, so that it may become a pointer.
    pub fn allow(&self, envelope: &Envelope) -> bool {
        (self.is_intended || self.is_pointer) && envelope.order.as_of <= self.latest
    }
}

/// Where the status of an object is looked up.
pub trait ObjectRegistry: Sync {
    /// How that fails.
    type Error: From<ReadError> + From<StoreError> + Send;

    /// What the rows say, at this moment, about a version of a record's object: it was read before.
    fn status(
        &self,
        pmid: Pmid,
        version: &VersionId,
        bytes: Sha256,
    ) -> impl Future<Output = Result<ObjectStatus, Self::Error>> + Send;
}
