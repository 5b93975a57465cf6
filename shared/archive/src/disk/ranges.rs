//! Parts of files.
//!
//! The version of a file is the hash of all its bytes. It is computed once for each state of a file (its inode, length
//! and times); otherwise every part of a pack would cost as much as the whole.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::PoisonError;

use super::bytes::{identify_opened, open};
use super::{DiskStore, failed, is_file_name};
use crate::store::{ByteRange, Key, StoreError, VersionId};

/// Maximum number of files whose versions are cached.
const MAX_IDENTIFIED: usize = 10_000;

/// Versions of files by their state.
pub(super) type Identified = HashMap<FileState, VersionId>;

/// Metadata that changes when a file is replaced or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileState {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl DiskStore {
    pub(super) fn read_range(&self, key: &Key, version: &VersionId, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        let not_found = || StoreError::NotFound(key.to_string());
        if let Some(bytes) = self.part_of(&self.path(key), key, version, range)? {
            return Ok(bytes);
        }
        if !is_file_name(version) {
            return Err(not_found());
        }
        let path = self.version_path(key, version);
        match self.part_of(&path, key, version, range)? {
            Some(bytes) => Ok(bytes),
            // A file with the name of the version has other bytes.
            None if path.exists() => Err(StoreError::Damaged(key.to_string())),
            None => Err(not_found()),
        }
    }

    /// Reads a range of a file, if the file is this version.
    fn part_of(
        &self,
        path: &Path,
        key: &Key,
        version: &VersionId,
        range: ByteRange,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let unreadable = |e| failed("reading", path, e);
        let (mut file, length) = match open(path) {
            Ok(opened) => opened,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable(e)),
        };
        if self.identified(&mut file).map_err(unreadable)? != *version {
            return Ok(None);
        }
        let beyond = || StoreError::BeyondEnd { key: key.to_string(), range };
        if range.end() > length {
            return Err(beyond());
        }
        let mut bytes = Vec::new();
        let size = usize::try_from(range.length()).map_err(|_| beyond())?;
        bytes.try_reserve_exact(size).map_err(|e| unreadable(e.into()))?;
        bytes.resize(size, 0);
        match file.read_exact_at(&mut bytes, range.offset()) {
            Ok(()) => Ok(Some(bytes)),
            // The file became shorter after it was opened.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(beyond()),
            Err(e) => Err(unreadable(e)),
        }
    }

    fn identified(&self, file: &mut File) -> io::Result<VersionId> {
        let state = FileState::of(&file.metadata()?);
        let all = || self.identified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(version) = all().get(&state) {
            return Ok(version.clone());
        }
        let version = identify_opened(file)?;
        let mut all = all();
        if all.len() >= MAX_IDENTIFIED {
            all.clear();
        }
        // Discards bytes that were written while they were read.
        if FileState::of(&file.metadata()?) == state {
            all.insert(state, version.clone());
        }
        Ok(version)
    }
}
