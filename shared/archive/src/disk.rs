//! A store on disk that keeps versions the way a versioned bucket does.
//!
//! `{root}/{key}` is the newest version; older ones lie in `{root}/.versions/{key}/`, named by
//! their version id. A version id is the start of the SHA-256 of the stored bytes, so it needs no
//! index and a damaged file never passes for its version.
//!
//! A put writes a file without a name and links it, or, where that cannot be done and where an object is
//! replaced, a hidden temporary file next to its target, and renames it: a reader never sees half an
//! object. A batch ends with one sync of the file system.

mod listing;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::store::{Condition, ETag, Head, Key, Object, Put, Store, StoreError, Stored, VersionId};
use super::uri;
use crate::file_lock;
use bio_mcp_core::sha256;

const VERSIONS: &str = ".versions";

/// How long the lock of a folder is waited for: it is held for the time of a few system calls.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(60);

/// So many objects are synced one by one.
const FEW: usize = 2;

/// So many folders are remembered as synced.
const MAX_DURABLE: usize = 10_000;

/// A store in a directory.
#[derive(Clone, Debug)]
pub struct DiskStore {
    root: Arc<PathBuf>,
    /// Folders whose names are on stable storage, up to the root.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// Threads that write objects, of all stores of this process. Not those that compress: a slow disk must not keep them
/// from preparing the next batch.
static WRITERS: LazyLock<ThreadPool> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("disk-{n}")).build();
    pool.expect("the system lets a process start a few threads")
});

impl DiskStore {
    /// A store in `root`, an absolute path; the directory is made by the first put.
    pub fn new(root: &Path) -> Self {
        Self { root: Arc::new(root.to_owned()), durable: Arc::default() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes temporary files that a killed process left; answers how many. Only safe while
    /// nothing is written.
    pub fn remove_temporary_files(&self) -> Result<u64, StoreError> {
        fn sweep(dir: &Path, removed: &mut u64) -> Result<(), StoreError> {
            for entry in read_dir(dir)? {
                let path = dir.join(&entry.name);
                if entry.is_dir && entry.name != VERSIONS {
                    sweep(&path, removed)?;
                } else if is_temporary(&entry.name) {
                    fs::remove_file(&path).map_err(|e| failed("removing", &path, e))?;
                    *removed += 1;
                }
            }
            Ok(())
        }
        let mut removed = 0;
        sweep(&self.root, &mut removed)?;
        Ok(removed)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn version_dir(&self, key: &Key) -> PathBuf {
        self.root.join(VERSIONS).join(key.as_str())
    }

    /// Older versions keep the extension of their key, so `zstd -dc` reads them as they are.
    fn version_path(&self, key: &Key, version: &VersionId) -> PathBuf {
        let name = key.as_str().rsplit('/').next().unwrap_or_default();
        let extension = name.split_once('.').map_or("", |(_, extension)| extension);
        self.version_dir(key).join(format!("{}.{extension}", version.0))
    }

    fn put(&self, put: &Put<'_>) -> Result<Stored, StoreError> {
        let path = self.path(&put.key);
        let version = version_of(put.bytes);
        let stored = || Stored { etag: ETag(version.0.clone()), version: version.clone() };
        if put.condition == Condition::Absent && place_unnamed(&path, put.bytes)? {
            return Ok(stored());
        }
        let temporary = write_temporary(&path, put.bytes)?;
        let placed = match &put.condition {
            Condition::Absent => place_new(&temporary, &path),
            Condition::Matches(etag) => self.replace(&put.key, &temporary, &path, etag),
        };
        if placed.is_err() {
            // Best effort: what is left is hidden and swept by `verify --repair`.
            let _ = fs::remove_file(&temporary);
        }
        placed.map(|()| stored())
    }

    /// Moves the expected old object aside and the new one in, under a lock of the folder.
    fn replace(&self, key: &Key, temporary: &Path, path: &Path, expected: &ETag) -> Result<(), StoreError> {
        let folder = path.parent().expect("a key has a folder below the root");
        let lock = File::open(folder).map_err(|e| failed("opening", folder, e))?;
        let locked = file_lock::lock(&lock, folder, file_lock::Mode::Exclusive, MAX_LOCK_WAIT);
        locked.map_err(|e| failed("locking", folder, io::Error::other(e)))?;
        let old = match fs::read(path) {
            Ok(bytes) => version_of(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(StoreError::Precondition),
            Err(e) => return Err(failed("reading", path, e)),
        };
        if old.0 != expected.0 {
            return Err(StoreError::Precondition);
        }
        let aside = self.version_path(key, &old);
        let aside_dir = self.version_dir(key);
        fs::create_dir_all(&aside_dir).map_err(|e| failed("creating", &aside_dir, e))?;
        match fs::hard_link(path, &aside) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(failed("linking", &aside, e)),
            _ => fs::rename(temporary, path).map_err(|e| failed("replacing", path, e)),
        }
    }

    fn read(&self, key: &Key, version: Option<&VersionId>) -> Result<Object, StoreError> {
        let found = |bytes: Vec<u8>| {
            let version = version_of(&bytes);
            Object { bytes, etag: ETag(version.0.clone()), version }
        };
        let path = self.path(key);
        match fs::read(&path) {
            Ok(bytes) => {
                let object = found(bytes);
                if version.is_none_or(|wanted| *wanted == object.version) {
                    return Ok(object);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed("reading", &path, e)),
        }
        let not_found = || StoreError::NotFound(key.to_string());
        let version = version.ok_or_else(not_found)?;
        if Key::parse(&version.0).is_none_or(|part| part.as_str().contains('/')) {
            return Err(not_found());
        }
        let path = self.version_path(key, version);
        match fs::read(&path) {
            Ok(bytes) => {
                let object = found(bytes);
                if object.version == *version { Ok(object) } else { Err(StoreError::Damaged(key.to_string())) }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(not_found()),
            Err(e) => Err(failed("reading", &path, e)),
        }
    }

    fn put_all(&self, puts: &[Put<'_>]) -> Vec<Result<Stored, StoreError>> {
        // A thread takes a whole folder: two that create files in one folder wait for its lock.
        let folder = |put: &Put<'_>| put.key.as_str().rfind('/').map_or(0, |end| end);
        let same_folder = |a: &Put<'_>, b: &Put<'_>| a.key.as_str()[..folder(a)] == b.key.as_str()[..folder(b)];
        let write = |puts: &[Put<'_>]| puts.iter().map(|put| self.put(put)).collect::<Vec<_>>();
        let answers: Vec<_> = match puts {
            [_] => write(puts),
            _ => WRITERS.install(|| puts.par_chunk_by(same_folder).flat_map_iter(write).collect()),
        };
        // Also when another writer was first: its objects are about to be relied on.
        if let Err(error) = self.sync(puts) {
            let kind = error.kind();
            return puts.iter().map(|put| Err(failed("syncing", Path::new(put.key.as_str()), kind.into()))).collect();
        }
        answers
    }

    /// Many objects with one sync of the file system, a few by themselves: a sync of everything would
    /// wait for what others write.
    #[cfg(target_os = "linux")]
    fn sync(&self, puts: &[Put<'_>]) -> io::Result<()> {
        if puts.len() <= FEW {
            return self.sync_each(puts);
        }
        Ok(rustix::fs::syncfs(File::open(&*self.root)?)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync(&self, puts: &[Put<'_>]) -> io::Result<()> {
        self.sync_each(puts)
    }

    /// Each object that is there, its folder, and the folders above that were not synced before.
    fn sync_each(&self, puts: &[Put<'_>]) -> io::Result<()> {
        for put in puts {
            let path = self.path(&put.key);
            if !path.exists() {
                continue; // its put failed
            }
            File::open(&path)?.sync_all()?;
            self.sync_folder(path.parent().expect("a key has a folder below the root"))?;
            // Where the replaced version was linked to.
            let versions = self.version_dir(&put.key);
            if versions.exists() {
                self.sync_folder(&versions)?;
            }
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()?;
        if self.durable().contains(folder) {
            return Ok(());
        }
        for above in folder.ancestors().skip(1).take_while(|above| above.starts_with(&*self.root)) {
            File::open(above)?.sync_all()?;
        }
        let mut durable = self.durable();
        if durable.len() >= MAX_DURABLE {
            durable.clear();
        }
        durable.insert(folder.to_owned());
        Ok(())
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for DiskStore {
    async fn put_batch(&self, puts: &[Put<'_>]) -> Vec<Result<Stored, StoreError>> {
        if puts.is_empty() {
            return Vec::new();
        }
        tokio::task::block_in_place(|| self.put_all(puts))
    }

    async fn check(&self) -> Result<(), StoreError> {
        match fs::metadata(&*self.root) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(failed("opening", &self.root, io::ErrorKind::NotADirectory.into())),
            // The first put makes it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed("opening", &self.root, e)),
        }
    }

    async fn get(&self, key: &Key, version: Option<&VersionId>) -> Result<Object, StoreError> {
        self.read(key, version)
    }

    async fn head(&self, key: &Key) -> Result<Head, StoreError> {
        let object = self.read(key, None)?;
        Ok(Head { version: object.version, etag: object.etag, payload_hash: None })
    }

    async fn versions(&self, key: &Key) -> Result<Vec<VersionId>, StoreError> {
        self.versions_on_disk(key)
    }

    async fn list_versions(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<VersionId>)>, StoreError> {
        let keys = self.list(prefix, after, limit).await?;
        tokio::task::block_in_place(|| {
            keys.into_iter()
                .map(|key| {
                    let versions = self.versions_on_disk(&key)?;
                    Ok((key, versions))
                })
                .collect()
        })
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        tokio::task::block_in_place(|| self.list_keys(prefix, after, limit))
    }

    async fn delete_version(&self, key: &Key, version: &VersionId) -> Result<(), StoreError> {
        if Key::parse(&version.0).is_none_or(|part| part.as_str().contains('/')) {
            return Ok(());
        }
        let path = self.version_path(key, version);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("deleting", &path, e)),
            _ => Ok(()),
        }
    }

    fn uri(&self, key: &Key, version: &VersionId) -> String {
        uri::file(&self.path(key).to_string_lossy(), version)
    }
}

struct Entry {
    name: String,
    is_dir: bool,
}

/// The entries of a directory; none if it does not exist.
fn read_dir(dir: &Path) -> Result<Vec<Entry>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed("listing", dir, e)),
    };
    entries
        .map(|entry| {
            let entry = entry?;
            Ok(Entry { is_dir: entry.file_type()?.is_dir(), name: entry.file_name().to_string_lossy().into_owned() })
        })
        .collect::<io::Result<_>>()
        .map_err(|e| failed("listing", dir, e))
}

fn version_of(bytes: &[u8]) -> VersionId {
    let mut hex = sha256::Sha256::of(bytes).to_hex();
    hex.truncate(32);
    VersionId(hex)
}

/// Names this process even where several machines or containers write to one directory.
fn process_token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| uuid::Uuid::new_v4().simple().to_string())
}

fn is_temporary(name: &str) -> bool {
    name.starts_with(".put-") && Path::new(name).extension().is_some_and(|e| e == "tmp")
}

/// Opens a file in a folder, which is made when it is not there.
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

/// Writes a file that has no name until it is whole: a killed process leaves nothing of it. Answers
/// whether the file system can do that.
#[cfg(target_os = "linux")]
fn place_unnamed(path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
    use rustix::fs::{AtFlags, Mode, OFlags, linkat, open};
    use std::os::fd::AsRawFd;

    let folder = path.parent().expect("a key has a folder below the root");
    let mode = Mode::from_raw_mode(0o644);
    let unnamed = || match open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode) {
        Ok(file) => Ok(Some(File::from(file))),
        // What file systems and old kernels say that do not know of it.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    };
    let Some(mut file) = open_in(folder, path, unnamed)? else { return Ok(false) };
    file.write_all(bytes).map_err(|e| failed("writing", path, e))?;
    match linkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Err(StoreError::Precondition),
        // No /proc, no links here, or a fault that the other way will name.
        Err(_) => Ok(false),
    }
}

#[cfg(not(target_os = "linux"))]
fn place_unnamed(_: &Path, _: &[u8]) -> Result<bool, StoreError> {
    Ok(false)
}

fn write_temporary(target: &Path, bytes: &[u8]) -> Result<PathBuf, StoreError> {
    let folder = target.parent().expect("a key has a folder below the root");
    let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".put-{}-{number}.tmp", process_token()));
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&path);
    let mut file = open_in(folder, &path, open)?;
    match file.write_all(bytes) {
        Ok(()) => Ok(path),
        Err(e) => {
            let _ = fs::remove_file(&path);
            Err(failed("writing", &path, e))
        }
    }
}

/// Renames without replacing; file systems that cannot do that link instead.
fn place_new(temporary: &Path, path: &Path) -> Result<(), StoreError> {
    let placed = match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(temporary, path).and_then(|()| fs::remove_file(temporary))
        }
        renamed => renamed.map_err(io::Error::from),
    };
    placed.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => StoreError::Precondition,
        _ => failed("placing", path, e),
    })
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    let path = path.display().to_string();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(path),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::Denied(format!("{path}: check who owns it and its mode"))
        }
        _ => StoreError::Unavailable { action, path, source },
    }
}
