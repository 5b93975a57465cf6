//! A store in a versioned S3 bucket, or in any server with the same protocol.
//!
//! A put has a condition, a SHA-256 checksum, the payload's hash as metadata, and the KMS key if one is configured. The
//! SDK retries with jitter; the retry of a put that succeeded finds its own object, which the archive then adopts.

mod failures;
mod multipart;

use std::time::Duration;

use async_trait::async_trait;
use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, ServerSideEncryption};
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use futures_util::{StreamExt, stream};

use super::address::Root;
use super::bucket::{OpenError, S3Settings};
use super::store::{
    Body, ByteRange, Condition, ETag, Head, Key, Object, Put, Store, StoreError, Stored, StreamPut, VersionId,
};
use bio_mcp_core::Sha256;
use failures::{failed, get_failed, put_failed, range_failed};

/// Maximum number of concurrent puts and gets.
const CONCURRENCY: usize = 64;

/// Larger objects are uploaded in parts.
const MULTIPART_FROM_BYTES: usize = 16 << 20;

/// Maximum number of retries of a conditional put that conflicts with one in progress.
const CONFLICTS: u32 = 5;

/// Name of the metadata with the payload's hash.
const HASH: &str = "payload-sha256";

/// A store in a bucket.
#[derive(Clone, Debug)]
pub struct S3Store {
    client: Client,
    bucket: String,
    kms_key_id: Option<String>,
}

impl S3Store {
    /// Opens a bucket and checks that versioning is enabled; region, credentials and endpoint are those of `config`.
    pub async fn open(settings: S3Settings, config: &SdkConfig) -> Result<Self, OpenError> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(60))
            .build();
        let config = aws_sdk_s3::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(6))
            // A burst of failures affects all requests in progress: each of them may be retried, not only some.
            .retry_partition(RetryPartition::custom("archive").token_bucket(TokenBucket::unlimited()).build())
            .force_path_style(settings.path_style)
            .build();
        let store =
            Self { client: Client::from_conf(config), bucket: settings.bucket, kms_key_id: settings.kms_key_id };
        store.check_versioned().await?;
        Ok(store)
    }

    /// Checks that versioning is still enabled.
    pub async fn check_versioned(&self) -> Result<(), OpenError> {
        let response = self.client.get_bucket_versioning().bucket(&self.bucket).send().await;
        let response = response.map_err(|error| OpenError::Store {
            bucket: self.bucket.clone(),
            source: failed("reading the versioning of", &self.bucket, &error),
        })?;
        match response.status() {
            Some(BucketVersioningStatus::Enabled) => Ok(()),
            _ => Err(OpenError::NotVersioned(self.bucket.clone())),
        }
    }

    async fn put(&self, put: &Put<'_>) -> Result<Stored, StoreError> {
        for _ in 0..CONFLICTS {
            let stored = if put.bytes.len() > MULTIPART_FROM_BYTES {
                self.put_parts(put).await
            } else {
                self.put_whole(put).await
            };
            match stored {
                Err(StoreError::Conflict(_)) => {
                    tokio::time::sleep(Duration::from_millis(50).mul_f64(1.0 + fastrand::f64())).await;
                }
                stored => return stored,
            }
        }
        // The put in progress has probably succeeded: the caller reads the object.
        Err(StoreError::Precondition)
    }

    async fn put_whole(&self, put: &Put<'_>) -> Result<Stored, StoreError> {
        let mut request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(put.key.as_str())
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(ByteStream::from(put.bytes.to_vec()));
        request = match &put.condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Matches(etag) => request.if_match(etag.as_str()),
        };
        if let Some(hash) = put.payload_hash {
            request = request.metadata(HASH, hash.to_hex());
        }
        if let Some(key) = &self.kms_key_id {
            request = request
                .server_side_encryption(ServerSideEncryption::AwsKms)
                .ssekms_key_id(key)
                .bucket_key_enabled(true);
        }
        let response = request.send().await.map_err(|error| put_failed(&put.key, &put.condition, &error))?;
        self.stored(response.version_id, response.e_tag)
    }

    fn stored(&self, version: Option<String>, etag: Option<String>) -> Result<Stored, StoreError> {
        let (version, etag) = self.identity(version.filter(|version| version != "null"), etag)?;
        Ok(Stored { version, etag })
    }

    /// The version and `ETag` of an object, from a response.
    fn identity(&self, version: Option<String>, etag: Option<String>) -> Result<(VersionId, ETag), StoreError> {
        let version = version.and_then(|version| VersionId::parse(&version));
        let etag = etag.and_then(|etag| ETag::parse(&etag));
        let keeps_none = || StoreError::Denied(format!("{}: the bucket no longer keeps versions", self.bucket));
        version.zip(etag).ok_or_else(keeps_none)
    }
}

#[async_trait]
impl Store for S3Store {
    async fn put_batch(&self, puts: &[Put<'_>]) -> Vec<Result<Stored, StoreError>> {
        // Boxed, so that the stream does not have the size of all its requests.
        let puts: Vec<_> = puts.iter().map(|put| Box::pin(self.put(put))).collect();
        stream::iter(puts).buffered(CONCURRENCY).collect().await
    }

    async fn put_stream(&self, put: &StreamPut, body: Body<'_>) -> Result<Stored, StoreError> {
        self.put_streamed(put, body).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        match self.check_versioned().await {
            Ok(()) => Ok(()),
            Err(OpenError::Store { source, .. }) => Err(source),
            Err(OpenError::NotVersioned(bucket)) => {
                Err(StoreError::Denied(format!("{bucket}: it no longer keeps versions")))
            }
        }
    }

    async fn get(&self, key: &Key, version: Option<&VersionId>, max_bytes: usize) -> Result<Object, StoreError> {
        let response = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .set_version_id(version.map(ToString::to_string))
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .map_err(|error| get_failed(key, &error))?;
        let (found, etag) = self.identity(response.version_id, response.e_tag)?;
        if version.is_some_and(|wanted| *wanted != found) {
            return Err(StoreError::NotFound(key.to_string()));
        }
        let announced = usize::try_from(response.content_length.unwrap_or(0)).unwrap_or(0);
        let bytes = read_body(key, response.body, announced, max_bytes).await?;
        Ok(Object { bytes, version: found, etag })
    }

    async fn get_range(&self, key: &Key, version: &VersionId, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        let (first, last) = (range.offset(), range.end() - 1);
        let response = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .version_id(version.as_str())
            .range(format!("bytes={first}-{last}"))
            .send()
            .await
            .map_err(|error| range_failed(key, range, &error))?;
        if response.version_id.as_deref() != Some(version.as_str()) {
            return Err(StoreError::NotFound(key.to_string()));
        }
        let beyond = || StoreError::BeyondEnd { key: key.to_string(), range };
        let start = format!("bytes {first}-");
        let before = match response.content_range.as_deref() {
            Some(sent) if sent.starts_with(&start) => 0,
            // A server may ignore a range and return the whole object (RFC 9110, 14.2).
            None => first,
            Some(_) => {
                return Err(StoreError::Unavailable {
                    action: "reading a part of",
                    path: key.to_string(),
                    source: std::io::Error::other("the server returned another range than requested"),
                });
            }
        };
        let announced = u64::try_from(response.content_length.unwrap_or(0)).unwrap_or(0);
        let length = usize::try_from(range.length()).map_err(|_| beyond())?;
        if announced.saturating_sub(before) < range.length() {
            return Err(beyond());
        }
        let bytes = read_part(key, response.body, before, length).await?;
        if bytes.len() == length { Ok(bytes) } else { Err(beyond()) }
    }

    async fn head(&self, key: &Key) -> Result<Head, StoreError> {
        let response = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .send()
            .await
            .map_err(|error| get_failed(key, &error))?;
        let hash = response.metadata.as_ref().and_then(|metadata| metadata.get(HASH));
        let payload_hash = hash.and_then(|hash| Sha256::parse(hash).ok());
        let (version, etag) = self.identity(response.version_id, response.e_tag)?;
        Ok(Head { version, etag, payload_hash })
    }

    async fn versions(&self, key: &Key) -> Result<Vec<VersionId>, StoreError> {
        let mut versions = Vec::new();
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(key.as_str())
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .map_err(|error| failed("listing the versions of", key.as_str(), &error))?;
            // Keys are in ascending order: the first longer one ends the list.
            let mut is_past = false;
            for version in page.versions() {
                match version.key() {
                    Some(found) if found == key.as_str() => {
                        versions.extend(version.version_id().and_then(VersionId::parse));
                    }
                    _ => is_past = true,
                }
            }
            if is_past || page.is_truncated() != Some(true) {
                return Ok(versions);
            }
            key_marker = page.next_key_marker;
            version_marker = page.next_version_id_marker;
        }
    }

    async fn list_versions(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<VersionId>)>, StoreError> {
        let mut found: Vec<(Key, Vec<VersionId>)> = Vec::new();
        let mut key_marker = after.map(|key| key.as_str().to_owned());
        let mut version_marker = None;
        loop {
            let page = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(prefix)
                .max_keys(i32::try_from(limit.clamp(2, 1000)).unwrap_or(1000))
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .map_err(|error| failed("listing versions of", prefix, &error))?;
            for version in page.versions() {
                let (key, id) = (version.key().and_then(Key::parse), version.version_id().and_then(VersionId::parse));
                let (Some(key), Some(id)) = (key, id) else { continue };
                match found.last_mut() {
                    Some((last, versions)) if *last == key => versions.push(id),
                    _ => found.push((key, vec![id])),
                }
            }
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
            // The last key may have more versions: the next call returns it again.
            if found.len() > 1 {
                found.pop();
                return Ok(found);
            }
            key_marker = page.next_key_marker;
            version_marker = page.next_version_id_marker;
        }
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        let mut after = after.map(|key| key.as_str().to_owned());
        while keys.len() < limit {
            let wanted = i32::try_from((limit - keys.len()).min(1000)).unwrap_or(1000);
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .max_keys(wanted)
                .set_start_after(after.clone())
                .send()
                .await
                .map_err(|error| failed("listing", prefix, &error))?;
            for object in page.contents() {
                let Some(text) = object.key() else { continue };
                after = Some(text.to_owned());
                keys.extend(Key::parse(text));
            }
            if page.is_truncated() != Some(true) || page.contents().is_empty() {
                break;
            }
        }
        Ok(keys)
    }

    async fn delete_version(&self, key: &Key, version: &VersionId) -> Result<(), StoreError> {
        let delete = self.client.delete_object().bucket(&self.bucket).key(key.as_str()).version_id(version.as_str());
        delete.send().await.map(|_| ()).map_err(|error| failed("deleting a version of", key.as_str(), &error))
    }

    fn root(&self) -> Root {
        Root::Bucket(self.bucket.clone())
    }
}

/// Reads the body of an object. Nothing is read if its declared size is too large, and reading stops at the limit if it
/// is larger than declared.
async fn read_body(
    key: &Key,
    mut body: ByteStream,
    announced_bytes: usize,
    max_bytes: usize,
) -> Result<Vec<u8>, StoreError> {
    let too_large = || StoreError::TooLarge { key: key.to_string(), max_bytes };
    if announced_bytes > max_bytes {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(announced_bytes);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| broken_off(key, error))?;
        if chunk.len() > max_bytes - bytes.len() {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads `length` bytes of a body, or fewer if it ends, after skipping `before` bytes; the rest is not read.
async fn read_part(key: &Key, mut body: ByteStream, before: u64, length: usize) -> Result<Vec<u8>, StoreError> {
    let mut before = before;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length
        && let Some(chunk) = body.next().await
    {
        let chunk = chunk.map_err(|error| broken_off(key, error))?;
        let skipped = usize::try_from(before).unwrap_or(usize::MAX).min(chunk.len());
        before -= skipped as u64;
        let wanted = (chunk.len() - skipped).min(length - bytes.len());
        bytes.extend_from_slice(&chunk[skipped..skipped + wanted]);
    }
    Ok(bytes)
}

fn broken_off(key: &Key, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable { action: "reading", path: key.to_string(), source: std::io::Error::other(error) }
}
