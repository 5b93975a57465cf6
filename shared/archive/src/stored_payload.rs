//! What a row says of a payload.

use super::address::{Address, InvalidAddress};
use bio_mcp_core::Sha256;

/// What a row says of a payload: where it is, and which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPayload {
    /// Where it is. Text of a row that is no address is kept: a reader says so, and other rows are read.
    pub address: Result<Address, InvalidAddress>,
    /// Its hash; none for a tombstone.
    pub content_hash: Option<Sha256>,
}

impl StoredPayload {
    /// What a row says that has the hash as a type.
    pub fn new(s3_uri: &str, content_hash: Option<Sha256>) -> Self {
        Self { address: Address::parse(s3_uri), content_hash }
    }

    /// What a row says that has the hash as text; what is no hash is that of no payload.
    pub fn of_row(s3_uri: &str, content_hash: Option<&str>) -> Self {
        Self::new(s3_uri, content_hash.and_then(|hash| Sha256::parse(hash).ok()))
    }

    /// The address as the row has it.
    pub fn s3_uri(&self) -> &str {
        match &self.address {
            Ok(address) => address.as_str(),
            Err(invalid) => &invalid.text,
        }
    }
}
