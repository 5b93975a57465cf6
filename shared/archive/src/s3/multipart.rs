//! Multipart uploads: of large objects, and of those whose content is read during the upload.

use std::pin::pin;

use aws_sdk_s3::operation::abort_multipart_upload::AbortMultipartUploadError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;

use super::failures::{failed, put_failed};
use super::{HASH, S3Store};
use crate::store::{Body, Condition, Key, Put, StoreError, Stored, StreamPut};
use bio_mcp_core::Sha256;

/// Size of a part; the minimum of S3 is 5 MiB.
const PART_BYTES: usize = 8 << 20;

/// Parts of an object that are uploaded concurrently.
const PARTS_AT_ONCE: usize = 4;

/// Maximum number of parts of an object in S3.
const MAX_PARTS: usize = 10_000;

/// Parts that are being uploaded, in order.
type Sending = FuturesOrdered<BoxFuture<'static, Result<CompletedPart, StoreError>>>;

/// An upload in progress. If it is dropped before its end, because its caller was cancelled, it is aborted in the
/// background.
struct Upload {
    store: S3Store,
    key: Key,
    condition: Condition,
    id: String,
    sending: Sending,
    is_over: bool,
}

/// The unread rest of an object, read one part at a time.
struct Parts<'a> {
    key: &'a Key,
    body: Body<'a>,
    /// Bytes that were already read.
    bytes: usize,
    max_bytes: usize,
    is_over: bool,
}

impl<'a> Parts<'a> {
    fn of(key: &'a Key, body: Body<'a>, max_bytes: usize) -> Self {
        Self { key, body, bytes: 0, max_bytes, is_over: false }
    }

    /// The next part; all but the last have [`PART_BYTES`].
    async fn next(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut part = Vec::new();
        let read = (&mut *self.body).take(PART_BYTES as u64).read_to_end(&mut part).await;
        read.map_err(|source| StoreError::Body { key: self.key.to_string(), source })?;
        self.is_over = part.len() < PART_BYTES;
        self.bytes += part.len();
        if self.bytes > self.max_bytes {
            return Err(StoreError::BodyTooLarge { key: self.key.to_string(), max_bytes: self.max_bytes });
        }
        Ok(part)
    }
}

impl Upload {
    /// Sends the content in parts, a few concurrently, while the next one is read.
    async fn send_all(&mut self, first: Vec<u8>, mut rest: Parts<'_>) -> Result<Vec<CompletedPart>, StoreError> {
        let (mut sent, mut number) = (Vec::new(), 1);
        self.send(number, first);
        while !rest.is_over {
            if self.sending.len() == PARTS_AT_ONCE {
                sent.extend(self.sending.try_next().await?);
            }
            let mut next = pin!(rest.next());
            let part = loop {
                tokio::select! {
                    part = &mut next => break part?,
                    Some(done) = self.sending.next() => sent.push(done?),
                }
            };
            // After a full last part, the next one read is empty.
            if !part.is_empty() {
                number += 1;
                self.send(number, part);
            }
        }
        while let Some(done) = self.sending.try_next().await? {
            sent.push(done);
        }
        Ok(sent)
    }

    fn send(&mut self, number: i32, bytes: Vec<u8>) {
        let (store, key, condition) = (self.store.clone(), self.key.clone(), self.condition.clone());
        let id = self.id.clone();
        let sent = async move { store.upload_part(&key, &condition, &id, number, bytes).await };
        self.sending.push_back(sent.boxed());
    }

    /// Completes an upload whose parts were all sent; otherwise aborts it.
    async fn end(mut self, parts: Result<Vec<CompletedPart>, StoreError>) -> Result<Stored, StoreError> {
        let stored = match parts {
            Ok(parts) => self.store.complete(&self.key, &self.condition, &self.id, parts).await,
            Err(error) => Err(error),
        };
        if stored.is_err() {
            self.store.abort(&self.key, &self.id, &mut self.sending).await;
        }
        self.is_over = true;
        stored
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.is_over {
            return;
        }
        let (store, key, id) = (self.store.clone(), self.key.clone(), self.id.clone());
        let mut sending = std::mem::take(&mut self.sending);
        runtime.spawn(async move { store.abort(&key, &id, &mut sending).await });
    }
}

impl S3Store {
    /// Uploads in parts; if a request fails, the upload is aborted, so that no part remains stored and billed.
    pub(super) async fn put_parts(&self, put: &Put<'_>) -> Result<Stored, StoreError> {
        let mut upload = self.begin(&put.key, &put.condition, put.payload_hash).await?;
        let mut bytes = put.bytes;
        let mut rest = Parts::of(&put.key, &mut bytes, put.bytes.len());
        let parts = match rest.next().await {
            Ok(first) => upload.send_all(first, rest).await,
            Err(error) => Err(error),
        };
        upload.end(parts).await
    }

    /// Uploads content while it is read; a small object is sent in one request.
    pub(super) async fn put_streamed(&self, put: &StreamPut, body: Body<'_>) -> Result<Stored, StoreError> {
        let max_bytes = put.max_bytes.min(MAX_PARTS * PART_BYTES);
        let mut rest = Parts::of(&put.key, body, max_bytes);
        let first = rest.next().await?;
        if rest.is_over {
            let (key, condition) = (put.key.clone(), put.condition.clone());
            return self.put(&Put { key, bytes: &first, condition, payload_hash: None }).await;
        }
        let mut upload = self.begin(&put.key, &put.condition, None).await?;
        let parts = upload.send_all(first, rest).await;
        upload.end(parts).await
    }

    async fn begin(
        &self,
        key: &Key,
        condition: &Condition,
        payload_hash: Option<Sha256>,
    ) -> Result<Upload, StoreError> {
        let mut request = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key.as_str())
            .checksum_algorithm(ChecksumAlgorithm::Sha256);
        if let Some(hash) = payload_hash {
            request = request.metadata(HASH, hash.to_hex());
        }
        if let Some(key) = &self.kms_key_id {
            request = request
                .server_side_encryption(ServerSideEncryption::AwsKms)
                .ssekms_key_id(key)
                .bucket_key_enabled(true);
        }
        let upload = request.send().await.map_err(|error| put_failed(key, condition, &error))?;
        let id = upload.upload_id.ok_or_else(|| StoreError::Unavailable {
            action: "starting an upload of",
            path: key.to_string(),
            source: std::io::Error::other("the server returned no upload id"),
        })?;
        let (store, key, condition) = (self.clone(), key.clone(), condition.clone());
        Ok(Upload { store, key, condition, id, sending: Sending::new(), is_over: false })
    }

    /// Aborts an upload after its requests in progress have ended: S3 keeps a part that arrives after the abort.
    async fn abort(&self, key: &Key, id: &str, sending: &mut Sending) {
        while sending.next().await.is_some() {}
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key.as_str()).upload_id(id);
        let Err(error) = abort.send().await else { return };
        // The upload was completed although the response was lost, or is aborted already.
        if !error.as_service_error().is_some_and(AbortMultipartUploadError::is_no_such_upload) {
            let error = failed("aborting the upload of", key.as_str(), &error);
            tracing::warn!(%error, "an upload could not be aborted: its parts remain until a lifecycle rule removes them");
        }
    }

    async fn complete(
        &self,
        key: &Key,
        condition: &Condition,
        id: &str,
        parts: Vec<CompletedPart>,
    ) -> Result<Stored, StoreError> {
        let mut request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(key.as_str())
            .upload_id(id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Matches(etag) => request.if_match(etag.as_str()),
        };
        let response = request.send().await.map_err(|error| put_failed(key, condition, &error))?;
        self.stored(response.version_id, response.e_tag)
    }

    async fn upload_part(
        &self,
        key: &Key,
        condition: &Condition,
        id: &str,
        number: i32,
        bytes: Vec<u8>,
    ) -> Result<CompletedPart, StoreError> {
        let part = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(key.as_str())
            .upload_id(id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| put_failed(key, condition, &error))?;
        let done = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag);
        Ok(done.set_checksum_sha256(part.checksum_sha256).build())
    }
}
