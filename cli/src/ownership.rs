//! Whether another user can control what a path leads to.
//!
//! Every directory and symbolic link of the path must be owned by the caller or by root, and no directory may be
//! writable by other users, except one like /tmp: there, entries of the caller or root cannot be replaced.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

use crate::users;

/// The mode bit of directories like /tmp: only their owners can replace entries.
const STICKY: u32 = 0o1000;

/// Maximum number of symbolic links that are followed in a path.
const MAX_LINKS: u32 = 40;

/// Why a path is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// A part of the path belongs to another user.
    #[error("{} belongs to another user ({})", path.display(), users::label(*owner))]
    Owner { path: PathBuf, owner: u32 },
    /// A part of the path is writable by other users.
    #[error("{} is writable by other users", path.display())]
    Writable { path: PathBuf },
    /// The path cannot be examined.
    #[error("{}: {reason}", path.display())]
    Io {
        path: PathBuf,
        /// The error of the system.
        reason: io::Error,
    },
}

impl Untrusted {
    fn io(path: &Path, reason: io::Error) -> Self {
        Self::Io { path: path.to_owned(), reason }
    }

    /// Whether there is nothing at the path.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { reason, .. } if reason.kind() == io::ErrorKind::NotFound)
    }
}

/// What the last part of a path is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Its content is trusted.
    Content,
    /// An entry of the caller's own is found or created in it: it may be like /tmp.
    Parent,
}

/// The path without symbolic links, if no other user can change what it leads to.
pub fn resolve(path: &Path, purpose: Use) -> Result<PathBuf, Untrusted> {
    let path = std::path::absolute(path).map_err(|error| Untrusted::io(path, error))?;
    let mut resolved = PathBuf::from("/");
    let metadata = examine(&resolved)?;
    // The owner of `/` controls everything: root, or in a user namespace the id that root is mapped to.
    let trusted = [0, users::caller(), metadata.uid()];
    let mut last = metadata;
    let mut pending = parts(&path);
    let mut links = 0;
    while let Some(part) = pending.pop() {
        if part == ".." {
            resolved.pop();
            last = examine(&resolved)?;
            continue;
        }
        // The resolved path is a parent of further parts.
        require_unwritable(&resolved, &last, Use::Parent)?;
        let next = resolved.join(&part);
        let metadata = examine(&next)?;
        if !trusted.contains(&metadata.uid()) {
            return Err(Untrusted::Owner { path: next, owner: metadata.uid() });
        }
        if metadata.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(Untrusted::io(&path, io::Error::other("too many symbolic links")));
            }
            let target = fs::read_link(&next).map_err(|error| Untrusted::io(&next, error))?;
            if target.is_absolute() {
                resolved = PathBuf::from("/");
                last = examine(&resolved)?;
            }
            pending.extend(parts(&target));
            continue;
        }
        (resolved, last) = (next, metadata);
    }
    require_unwritable(&resolved, &last, purpose)?;
    Ok(resolved)
}

/// Like [`resolve`], for the nearest existing parent directory of a path.
pub fn resolve_existing(path: &Path) -> Result<(), Untrusted> {
    let path = std::path::absolute(path).map_err(|error| Untrusted::io(path, error))?;
    for above in path.ancestors() {
        match resolve(above, Use::Parent) {
            Err(error) if error.is_missing() => {}
            other => return other.map(drop),
        }
    }
    Ok(())
}

fn examine(path: &Path) -> Result<Metadata, Untrusted> {
    fs::symlink_metadata(path).map_err(|error| Untrusted::io(path, error))
}

/// The components of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(part).rev().collect()
}

fn require_unwritable(path: &Path, metadata: &Metadata, purpose: Use) -> Result<(), Untrusted> {
    let mode = metadata.mode();
    let by_group = mode & 0o020 != 0 && (users::is_root() || !users::is_private_group(metadata.gid()));
    let is_like_tmp = purpose == Use::Parent && metadata.is_dir() && mode & STICKY != 0;
    if (by_group || mode & 0o002 != 0) && !is_like_tmp {
        return Err(Untrusted::Writable { path: path.to_owned() });
    }
    Ok(())
}

/// A file or directory, opened without following a symbolic link and without waiting for a pipe.
pub fn open_itself(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = (flags | OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Creates a directory that only its owner can enter, or restricts the existing one.
pub fn private_dir(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let dir = open_itself(path, OFlags::DIRECTORY)?;
    tighten(&dir, 0o700)
}

/// Opens the lock file of a name in a directory from [`private_dir`]: the caller's own, and closed to other users.
pub fn lock_file(path: &Path) -> io::Result<File> {
    let file = writable().read(true).truncate(false).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    tighten(&file, 0o600)?;
    Ok(file)
}

/// Opens a new or truncated file that only its owner can read.
pub fn private_file(path: &Path) -> io::Result<File> {
    let file = writable().truncate(false).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    tighten(&file, 0o600)?;
    file.set_len(0)?;
    Ok(file)
}

fn writable() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    options.create(true).write(true).mode(0o600).custom_flags(flags);
    options
}

/// Removes all permissions of other users; refuses files that are not the caller's own.
pub fn tighten(file: &File, mode: u32) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.uid() != users::caller() {
        return Err(io::Error::other(format!("it belongs to another user ({})", users::label(metadata.uid()))));
    }
    // Root may have let the user of its Postgres pass through a directory, without reading it.
    let passage = if metadata.is_dir() && users::is_root() { 0o011 } else { 0 };
    if metadata.mode() & 0o077 & !passage != 0 {
        match file.set_permissions(Permissions::from_mode(mode)) {
            // Nothing can be changed on a read-only file system.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => return Ok(()),
            set => set?,
        }
        if file.metadata()?.mode() & 0o022 != 0 {
            return Err(io::Error::other(
                "other users can write to it, and this file system does not allow changing that",
            ));
        }
    }
    Ok(())
}
