//! Keys in a directory and their versions, including keys whose newest object is missing.

use std::path::Path;

use super::placing::is_temporary;
use super::{DiskStore, VERSIONS, read_dir};
use crate::store::{Key, StoreError, VersionId};

impl DiskStore {
    pub(super) fn versions_on_disk(&self, key: &Key) -> Result<Vec<VersionId>, StoreError> {
        let mut versions = match self.newest(key) {
            Ok(version) => vec![version],
            Err(StoreError::NotFound(_)) => vec![],
            // Its version is the hash of bytes that cannot be read; reading the key returns the error.
            Err(_) => vec![VersionId::new("unreadable".to_owned())],
        };
        for entry in read_dir(&self.version_dir(key))? {
            let version = VersionId::parse(entry.name.split('.').next().unwrap_or_default());
            versions.extend(version.filter(|version| !versions.contains(version)));
        }
        Ok(versions)
    }

    /// Keys that have an object, and keys whose newest object is missing while older versions exist.
    pub(super) fn list_keys(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        let (mut keys, mut versioned) = (Vec::new(), Vec::new());
        let after = after.map_or("", Key::as_str);
        walk(&self.root, "", prefix, after, limit, &mut keys)?;
        walk_versions(&self.root.join(VERSIONS), "", prefix, after, limit, &mut versioned)?;
        keys.extend(versioned);
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(limit);
        Ok(keys)
    }
}

/// Visits the keys that have older versions, in ascending order: each key is a folder with its versions.
fn walk_versions(
    dir: &Path,
    at: &str,
    prefix: &str,
    after: &str,
    limit: usize,
    keys: &mut Vec<Key>,
) -> Result<(), StoreError> {
    let mut entries = read_dir(dir)?;
    if !at.is_empty() && entries.iter().any(|entry| !entry.is_dir && !is_temporary(&entry.name)) {
        let key = at.trim_end_matches('/');
        if key.starts_with(prefix) && key > after {
            keys.push(Key::new(key.to_owned()));
        }
        return Ok(());
    }
    // The folders of keys are siblings, so that a folder sorts like its keys.
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    for entry in entries.iter().filter(|entry| entry.is_dir) {
        if keys.len() >= limit {
            return Ok(());
        }
        let start = format!("{at}{}/", entry.name);
        let may_match = start.starts_with(prefix) || prefix.starts_with(&start);
        // A folder may be the key itself, which has no trailing slash.
        let may_follow = start.as_str() > after || after.starts_with(start.trim_end_matches('/'));
        if may_match && may_follow {
            walk_versions(&dir.join(&entry.name), &start, prefix, after, limit, keys)?;
        }
    }
    Ok(())
}

/// Visits keys in ascending order, entering only folders that can contain requested ones.
fn walk(dir: &Path, at: &str, prefix: &str, after: &str, limit: usize, keys: &mut Vec<Key>) -> Result<(), StoreError> {
    let mut entries = read_dir(dir)?;
    // A folder sorts as its name with the slash that its keys have.
    entries.sort_by_cached_key(|e| format!("{}{}", e.name, if e.is_dir { "/" } else { "" }));
    for entry in entries {
        if keys.len() >= limit {
            return Ok(());
        }
        if entry.name.starts_with('.') {
            continue;
        }
        let key = format!("{at}{}", entry.name);
        if entry.is_dir {
            let start = format!("{key}/");
            let may_match = start.starts_with(prefix) || prefix.starts_with(&start);
            let may_follow = start.as_str() > after || after.starts_with(&start);
            if may_match && may_follow {
                walk(&dir.join(&entry.name), &start, prefix, after, limit, keys)?;
            }
        } else if key.starts_with(prefix) && key.as_str() > after {
            keys.push(Key::new(key));
        }
    }
    Ok(())
}
