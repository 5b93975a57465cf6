//! The bytes of a file and their version: never more in memory than the caller allows.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::store::VersionId;
use bio_mcp_core::sha256;

/// A larger file is not an object of an archive, whose records have at most 1 GiB: it is not read, not even to identify
/// its version.
pub(super) const MAX_OBJECT_BYTES: u64 = 3 << 30;

/// Bytes read at once to identify the version of a file.
pub(super) const BUFFER_BYTES: usize = 256 << 10;

/// All bytes of a file; nothing if there are more than `max_bytes`, also where they become more while it is read.
pub(super) fn read_bounded(path: &Path, max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let (file, length) = open(path)?;
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= max_bytes) else { return Ok(None) };
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length)?;
    file.take((max_bytes as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= max_bytes).then_some(bytes))
}

/// The version of a file: the start of the SHA-256 of its bytes. A file that is too large to be an object gets an id
/// from its metadata, without reading it.
pub(super) fn identify(path: &Path) -> io::Result<VersionId> {
    let (mut file, _) = open(path)?;
    identify_opened(&mut file)
}

/// The version of an open file of which nothing was read yet.
pub(super) fn identify_opened(file: &mut File) -> io::Result<VersionId> {
    let metadata = file.metadata()?;
    let length = metadata.len();
    let oversized = || {
        let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
        Ok(VersionId::new(format!("oversized-{length}-{seconds}-{nanoseconds}")))
    };
    if length > MAX_OBJECT_BYTES {
        return oversized();
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; usize::try_from(length).map_or(BUFFER_BYTES, |length| length.min(BUFFER_BYTES - 1) + 1)];
    let mut left = MAX_OBJECT_BYTES + 1;
    let mut file = file.take(left);
    while left > 0 {
        let read = match file.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if read == 0 {
            return Ok(id(hasher.finalize().into()));
        }
        hasher.update(&buffer[..read]);
        left -= read as u64;
    }
    oversized()
}

/// The version of these bytes.
pub(super) fn version_of(bytes: &[u8]) -> VersionId {
    id(*sha256::Sha256::of(bytes).as_bytes())
}

pub(super) fn id(digest: [u8; 32]) -> VersionId {
    VersionId::new(sha256::hex(&digest[..16]))
}

/// Opens a file and says how long it is. What is no file (a pipe without a writer, a device that never ends) is not waited
/// for and not read.
pub(super) fn open(path: &Path) -> io::Result<(File, u64)> {
    let no_wait = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(no_wait).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    Ok((file, metadata.len()))
}
