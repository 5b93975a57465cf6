//! New files: written without a name or under a hidden one, then moved to their path.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::failed;
use crate::store::StoreError;

static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// Identifies this process, even if several machines or containers write to one directory.
fn process_token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| uuid::Uuid::new_v4().simple().to_string())
}

pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(".put-") && Path::new(name).extension().is_some_and(|e| e == "tmp")
}

/// Opens a file in a folder, which is created if it does not exist.
fn open_in<F>(folder: &Path, path: &Path, open: impl Fn() -> io::Result<F>) -> Result<F, StoreError> {
    let opened = match open() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(|e| failed("creating", folder, e))?;
            open()
        }
        opened => opened,
    };
    opened.map_err(|e| failed("creating", path, e))
}

/// Writes a file that has no name until it is complete: a killed process leaves nothing behind. Returns whether the
/// file system supports that.
#[cfg(target_os = "linux")]
pub(super) fn place_unnamed(path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
    use rustix::fs::{AtFlags, Mode, OFlags, linkat, open};
    use std::os::fd::AsRawFd;

    let folder = path.parent().expect("a key has a folder below the root");
    let mode = Mode::from_raw_mode(0o644);
    let unnamed = || match open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode) {
        Ok(file) => Ok(Some(File::from(file))),
        // Errors of file systems and old kernels without support for it.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    };
    let Some(mut file) = open_in(folder, path, unnamed)? else { return Ok(false) };
    file.write_all(bytes).map_err(|e| failed("writing", path, e))?;
    match linkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Err(StoreError::Precondition),
        // No /proc, no links here, or an error that the fallback will report.
        Err(_) => Ok(false),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn place_unnamed(_: &Path, _: &[u8]) -> Result<bool, StoreError> {
    Ok(false)
}

/// A hidden file next to its target, removed unless it is moved there.
pub(super) struct Temporary {
    path: PathBuf,
    file: File,
    is_placed: bool,
}

impl Temporary {
    /// Creates the file in the directory of its target.
    pub(super) fn beside(target: &Path) -> Result<Self, StoreError> {
        let folder = target.parent().expect("a key has a folder below the root");
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".put-{}-{number}.tmp", process_token()));
        let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&path);
        let file = open_in(folder, &path, open)?;
        Ok(Self { path, file, is_placed: false })
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|e| failed("writing", &self.path, e))
    }

    /// Renames it without replacing a file; file systems that do not support that link it instead.
    pub(super) fn place_new(mut self, path: &Path) -> Result<(), StoreError> {
        let placed = match renameat_with(CWD, &self.path, CWD, path, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::hard_link(&self.path, path).and_then(|()| fs::remove_file(&self.path))
            }
            renamed => renamed.map_err(io::Error::from),
        };
        self.is_placed = placed.is_ok();
        placed.map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Precondition,
            _ => failed("placing", path, e),
        })
    }

    /// Renames it, replacing an existing file.
    pub(super) fn replace(mut self, path: &Path) -> Result<(), StoreError> {
        fs::rename(&self.path, path).map_err(|e| failed("replacing", path, e))?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_placed {
            // Best effort: a remaining file is hidden, and removed by `verify --repair`.
            let _ = fs::remove_file(&self.path);
        }
    }
}
