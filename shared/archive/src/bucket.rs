//! Which bucket a store is in, and why it cannot be used; the store itself is the feature `s3`.

use super::store::StoreError;

/// Where the bucket is.
#[derive(Clone, Debug)]
pub struct S3Settings {
    pub bucket: String,
    /// Encrypts new objects; the bucket's default if none.
    pub kms_key_id: Option<String>,
    /// Addresses are `endpoint/bucket/key` instead of `bucket.endpoint/key`: for servers without names
    /// for buckets.
    pub path_style: bool,
}

/// The bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It does not keep versions.
    #[error(
        "bucket {0} does not keep versions, and the archive must never lose one: \
         aws s3api put-bucket-versioning --bucket {0} --versioning-configuration Status=Enabled"
    )]
    NotVersioned(String),
    /// It is not there, or may not be looked at.
    #[error("bucket {bucket} cannot be used")]
    Store { bucket: String, source: StoreError },
}
