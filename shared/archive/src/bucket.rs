//! Settings of a bucket, and why it cannot be used; the store itself requires the feature `s3`.

use super::store::StoreError;

#[derive(Clone, Debug)]
pub struct S3Settings {
    pub bucket: String,
    /// KMS key that encrypts new objects; the bucket's default if none.
    pub kms_key_id: Option<String>,
    /// Addresses are `endpoint/bucket/key` instead of `bucket.endpoint/key`: for servers without host names of buckets.
    pub path_style: bool,
}

/// The bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Versioning is not enabled.
    #[error(
        "bucket {0} does not keep versions, and the archive must never lose one: \
         aws s3api put-bucket-versioning --bucket {0} --versioning-configuration Status=Enabled"
    )]
    NotVersioned(String),
    /// It does not exist, or access is denied.
    #[error("bucket {bucket} cannot be used")]
    Store { bucket: String, source: StoreError },
}
