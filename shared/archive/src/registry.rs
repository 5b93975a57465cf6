//! State of objects according to the database. With write access to the store any bytes can be put under any key, so
//! that an object counts as the archive's own only if a committed row names it.

use chrono::{DateTime, Utc};

use super::store::{StoreError, VersionId};
use super::{Envelope, ReadError};
use bio_mcp_core::{Pmid, Sha256};

/// State of one object according to the rows.
#[derive(Clone, Copy, Debug)]
pub struct ObjectStatus {
    /// A committed intent of this archive names exactly these bytes.
    pub is_intended: bool,
    /// The record's pointer refers to this version.
    pub is_pointer: bool,
    /// The latest valid time, by the database's clock: later ones are in the future.
    pub latest: DateTime<Utc>,
}

impl ObjectStatus {
    /// Whether this archive wrote the object, so that it may become a pointer.
    pub fn allow(&self, envelope: &Envelope) -> bool {
        (self.is_intended || self.is_pointer) && envelope.order.as_of <= self.latest
    }
}

/// Source of the status of objects.
pub trait ObjectRegistry: Sync {
    type Error: From<ReadError> + From<StoreError> + Send;

    /// The current status of a version of a record's object, which was read before.
    fn status(
        &self,
        pmid: Pmid,
        version: &VersionId,
        bytes: Sha256,
    ) -> impl Future<Output = Result<ObjectStatus, Self::Error>> + Send;
}
