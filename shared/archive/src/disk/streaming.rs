//! Objects that are written while their content is read.

use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use super::bytes::{BUFFER_BYTES, MAX_OBJECT_BYTES, id};
use super::placing::Temporary;
use super::{DiskStore, failed};
use crate::store::{Body, ETag, StoreError, Stored, StreamPut};

impl DiskStore {
    pub(super) async fn put_streamed(&self, put: &StreamPut, body: Body<'_>) -> Result<Stored, StoreError> {
        let path = self.path(&put.key);
        // A larger file would not be accepted as an object of this archive.
        let max_bytes = put.max_bytes.min(usize::try_from(MAX_OBJECT_BYTES).unwrap_or(usize::MAX));
        let mut temporary = tokio::task::block_in_place(|| Temporary::beside(&path))?;
        let (mut hasher, mut length) = (Sha256::new(), 0_usize);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = body.read(&mut buffer).await;
            let read = read.map_err(|source| StoreError::Body { key: put.key.to_string(), source })?;
            if read == 0 {
                break;
            }
            length += read;
            if length > max_bytes {
                return Err(StoreError::BodyTooLarge { key: put.key.to_string(), max_bytes });
            }
            tokio::task::block_in_place(|| {
                hasher.update(&buffer[..read]);
                temporary.write(&buffer[..read])
            })?;
        }
        let version = id(hasher.finalize().into());
        tokio::task::block_in_place(|| {
            let placed = self.place(temporary, &put.key, &put.condition);
            // Also if another writer was first: the caller relies on its object.
            self.sync_key(&put.key).map_err(|e| failed("syncing", &path, e))?;
            placed
        })?;
        Ok(Stored { etag: ETag::of(&version), version })
    }
}
