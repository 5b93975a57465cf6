//! Uploads in parts: of large objects, and of those whose content is read meanwhile.

use std::pin::pin;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use tokio::io::AsyncReadExt;

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

/// An upload in progress.
struct Upload<'a> {
    key: &'a Key,
    condition: &'a Condition,
    id: String,
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

    /// The next part: all but the last are of [`PART_BYTES`].
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

impl S3Store {
    /// Uploads in parts; if anything fails, the upload is aborted, so that no part is stored and billed.
    pub(super) async fn put_parts(&self, put: &Put<'_>) -> Result<Stored, StoreError> {
        let upload = self.begin(&put.key, &put.condition, put.payload_hash).await?;
        let mut bytes = put.bytes;
        let mut rest = Parts::of(&put.key, &mut bytes, put.bytes.len());
        let parts = match rest.next().await {
            Ok(first) => self.upload_parts(&upload, first, rest).await,
            Err(error) => Err(error),
        };
        self.end(&upload, parts).await
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
        let upload = self.begin(&put.key, &put.condition, None).await?;
        let parts = self.upload_parts(&upload, first, rest).await;
        self.end(&upload, parts).await
    }

    /// Uploads a few parts concurrently, and reads the next one meanwhile.
    async fn upload_parts(
        &self,
        upload: &Upload<'_>,
        first: Vec<u8>,
        mut rest: Parts<'_>,
    ) -> Result<Vec<CompletedPart>, StoreError> {
        let (mut sending, mut sent) = (FuturesOrdered::new(), Vec::new());
        let mut number = 1;
        sending.push_back(self.upload_part(upload, number, first).boxed());
        while !rest.is_over {
            if sending.len() == PARTS_AT_ONCE {
                sent.extend(sending.try_next().await?);
            }
            let mut next = pin!(rest.next());
            let part = loop {
                tokio::select! {
                    part = &mut next => break part?,
                    Some(done) = sending.next() => sent.push(done?),
                }
            };
            // An object whose last part is full ends with none.
            if !part.is_empty() {
                number += 1;
                sending.push_back(self.upload_part(upload, number, part).boxed());
            }
        }
        while let Some(done) = sending.try_next().await? {
            sent.push(done);
        }
        Ok(sent)
    }

    async fn begin<'a>(
        &self,
        key: &'a Key,
        condition: &'a Condition,
        payload_hash: Option<Sha256>,
    ) -> Result<Upload<'a>, StoreError> {
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
        Ok(Upload { key, condition, id })
    }

    /// Completes an upload whose parts were all sent; aborts any other.
    async fn end(
        &self,
        upload: &Upload<'_>,
        parts: Result<Vec<CompletedPart>, StoreError>,
    ) -> Result<Stored, StoreError> {
        let stored = match parts {
            Ok(parts) => self.complete(upload, parts).await,
            Err(error) => Err(error),
        };
        if stored.is_err() {
            let Upload { key, id, .. } = upload;
            let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key.as_str()).upload_id(id);
            if let Err(error) = abort.send().await {
                let error = failed("aborting the upload of", key.as_str(), &error);
                tracing::warn!(%error, "an upload could not be aborted: its parts remain until a lifecycle rule removes them");
            }
        }
        stored
    }

    async fn complete(&self, upload: &Upload<'_>, parts: Vec<CompletedPart>) -> Result<Stored, StoreError> {
        let Upload { key, condition, id } = upload;
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
        let answer = request.send().await.map_err(|error| put_failed(key, condition, &error))?;
        self.stored(answer.version_id, answer.e_tag)
    }

    async fn upload_part(&self, upload: &Upload<'_>, number: i32, bytes: Vec<u8>) -> Result<CompletedPart, StoreError> {
        let part = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(upload.key.as_str())
            .upload_id(&upload.id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| put_failed(upload.key, upload.condition, &error))?;
        let done = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag);
        Ok(done.set_checksum_sha256(part.checksum_sha256).build())
    }
}
