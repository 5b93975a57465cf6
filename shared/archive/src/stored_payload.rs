//! Payloads as recorded in rows.

use super::address::{Address, InvalidAddress};
use bio_mcp_core::Sha256;

/// The address and the hash of a payload, as recorded in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPayload {
    /// Address of the payload. Invalid text of a row is kept as an error: only reading this payload fails.
    pub address: Result<Address, InvalidAddress>,
    /// Hash of the payload; none for a tombstone.
    pub content_hash: Option<Sha256>,
}

impl StoredPayload {
    /// From the columns of a row, with a parsed hash.
    pub fn new(s3_uri: &str, content_hash: Option<Sha256>) -> Self {
        Self { address: Address::parse(s3_uri), content_hash }
    }

    /// From the columns of a row, with the hash as text; an invalid hash is treated as none.
    pub fn of_row(s3_uri: &str, content_hash: Option<&str>) -> Self {
        Self::new(s3_uri, content_hash.and_then(|hash| Sha256::parse(hash).ok()))
    }

    /// The address as stored in the row.
    pub fn s3_uri(&self) -> &str {
        match &self.address {
            Ok(address) => address.as_str(),
            Err(invalid) => &invalid.text,
        }
    }
}
