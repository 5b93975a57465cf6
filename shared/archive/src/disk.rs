//! A store on disk that keeps versions like a versioned bucket.
//!
//! `{root}/{key}` is the newest version; older ones are in `{root}/.versions/{key}/`, named by their version id. A
//! version id is the start of the SHA-256 of the stored bytes, so that no index is needed and a damaged file is never
//! taken for its version.
//!
//! A put writes an unnamed file and links it; if that is not possible, or an object is replaced, it writes a hidden
//! temporary file next to its target and renames it: a reader never sees a partial object. A batch ends with one sync
//! of the file system.

mod bytes;
mod listing;
mod placing;
mod ranges;
mod streaming;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::address::Root;
use super::store::{
    Body, ByteRange, Condition, ETag, Head, Key, Object, Put, Store, StoreError, Stored, StreamPut, VersionId,
};
use crate::file_lock;
use bytes::{identify, read_bounded, version_of};
use placing::{Temporary, is_temporary, place_unnamed};
use ranges::Identified;

const VERSIONS: &str = ".versions";

/// Maximum wait for the lock of a folder, which is held for a few system calls.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(60);

/// Up to this many objects are synced one by one.
const MAX_SINGLE_FSYNCS: usize = 2;

/// Maximum number of folders that are remembered as synced.
const MAX_DURABLE: usize = 10_000;

#[derive(Clone, Debug)]
pub struct DiskStore {
    root: Arc<PathBuf>,
    /// Folders whose entries are on stable storage, up to the root.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
    /// Versions of files from which ranges were read.
    identified: Arc<Mutex<Identified>>,
}

/// Threads that write objects and identify the versions of files, for all stores of this process. They are separate
/// from those that compress, so that a slow disk does not delay the preparation of the next batch.
static THREADS: LazyLock<ThreadPool> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("disk-{n}")).build();
    pool.expect("the system lets a process start a few threads")
});

impl DiskStore {
    /// A store in `root`, an absolute path; the first put creates the directory.
    pub fn new(root: &Path) -> Self {
        Self { root: Arc::new(root.to_owned()), durable: Arc::default(), identified: Arc::default() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes temporary files left by a killed process; returns their number. Only safe while nothing is written.
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

    /// Older versions keep the extension of their key, so that `zstd -dc` reads them.
    fn version_path(&self, key: &Key, version: &VersionId) -> PathBuf {
        let name = key.as_str().rsplit('/').next().unwrap_or_default();
        let extension = name.split_once('.').map_or("", |(_, extension)| extension);
        self.version_dir(key).join(format!("{version}.{extension}"))
    }

    fn put(&self, put: &Put<'_>) -> Result<Stored, StoreError> {
        let path = self.path(&put.key);
        let version = version_of(put.bytes);
        let stored = || Stored { etag: ETag::of(&version), version: version.clone() };
        if put.condition == Condition::Absent && place_unnamed(&path, put.bytes)? {
            return Ok(stored());
        }
        let mut temporary = Temporary::beside(&path)?;
        temporary.write(put.bytes)?;
        self.place(temporary, &put.key, &put.condition)?;
        Ok(stored())
    }

    /// Moves a written file to its path, if the condition is met.
    fn place(&self, temporary: Temporary, key: &Key, condition: &Condition) -> Result<(), StoreError> {
        let path = self.path(key);
        match condition {
            Condition::Absent => temporary.place_new(&path),
            Condition::Matches(etag) => self.replace(key, temporary, &path, etag),
        }
    }

    /// Moves the expected old object to the versions and the new one to its path, under a lock of the folder.
    fn replace(&self, key: &Key, temporary: Temporary, path: &Path, expected: &ETag) -> Result<(), StoreError> {
        let folder = path.parent().expect("a key has a folder below the root");
        let lock = File::open(folder).map_err(|e| failed("opening", folder, e))?;
        let locked = file_lock::lock(&lock, folder, file_lock::Mode::Exclusive, MAX_LOCK_WAIT);
        locked.map_err(|e| failed("locking", folder, io::Error::other(e)))?;
        let old = match identify(path) {
            Ok(version) => version,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(StoreError::Precondition),
            Err(e) => return Err(failed("reading", path, e)),
        };
        if ETag::of(&old) != *expected {
            return Err(StoreError::Precondition);
        }
        let aside = self.version_path(key, &old);
        let aside_dir = self.version_dir(key);
        fs::create_dir_all(&aside_dir).map_err(|e| failed("creating", &aside_dir, e))?;
        match fs::hard_link(path, &aside) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(failed("linking", &aside, e)),
            _ => temporary.replace(path),
        }
    }

    fn read(&self, key: &Key, version: Option<&VersionId>, max_bytes: usize) -> Result<Object, StoreError> {
        let too_large = || StoreError::TooLarge { key: key.to_string(), max_bytes };
        let read = |path: &Path| match read_bounded(path, max_bytes) {
            Ok(Some(bytes)) => {
                let version = version_of(&bytes);
                Ok(Object { bytes, etag: ETag::of(&version), version })
            }
            Ok(None) => Err(too_large()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StoreError::NotFound(key.to_string())),
            Err(e) => Err(failed("reading", path, e)),
        };
        let newest = read(&self.path(key));
        let Some(version) = version else { return newest };
        let is_too_large = matches!(newest, Err(StoreError::TooLarge { .. }));
        match newest {
            Ok(object) if object.version == *version => return Ok(object),
            Ok(_) | Err(StoreError::NotFound(_) | StoreError::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
        let not_found = || if is_too_large { too_large() } else { StoreError::NotFound(key.to_string()) };
        if !is_file_name(version) {
            return Err(not_found());
        }
        match read(&self.version_path(key, version)) {
            Ok(object) if object.version == *version => Ok(object),
            Ok(_) => Err(StoreError::Damaged(key.to_string())),
            Err(StoreError::NotFound(_)) => Err(not_found()),
            Err(error) => Err(error),
        }
    }

    /// The version under the plain key.
    fn newest(&self, key: &Key) -> Result<VersionId, StoreError> {
        let path = self.path(key);
        identify(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound(key.to_string()),
            _ => failed("reading", &path, e),
        })
    }

    fn put_all(&self, puts: &[Put<'_>]) -> Vec<Result<Stored, StoreError>> {
        // Each thread handles a whole folder: two that create files in one folder would wait for its lock.
        let folder = |put: &Put<'_>| put.key.as_str().rfind('/').map_or(0, |end| end);
        let same_folder = |a: &Put<'_>, b: &Put<'_>| a.key.as_str()[..folder(a)] == b.key.as_str()[..folder(b)];
        let write = |puts: &[Put<'_>]| puts.iter().map(|put| self.put(put)).collect::<Vec<_>>();
        let results: Vec<_> = match puts {
            [_] => write(puts),
            _ => THREADS.install(|| puts.par_chunk_by(same_folder).flat_map_iter(write).collect()),
        };
        // Also if another writer was first: the caller relies on its objects.
        if let Err(error) = self.sync(puts) {
            let kind = error.kind();
            return puts.iter().map(|put| Err(failed("syncing", Path::new(put.key.as_str()), kind.into()))).collect();
        }
        results
    }

    /// Syncs many objects with one sync of the file system, a few individually: a sync of the whole file system would
    /// wait for data of other writers.
    #[cfg(target_os = "linux")]
    fn sync(&self, puts: &[Put<'_>]) -> io::Result<()> {
        if puts.len() <= MAX_SINGLE_FSYNCS {
            return self.sync_each(puts);
        }
        Ok(rustix::fs::syncfs(File::open(&*self.root)?)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync(&self, puts: &[Put<'_>]) -> io::Result<()> {
        self.sync_each(puts)
    }

    /// Syncs each object that exists, its folder, and the folders above that are not synced yet.
    fn sync_each(&self, puts: &[Put<'_>]) -> io::Result<()> {
        puts.iter().try_for_each(|put| self.sync_key(&put.key))
    }

    fn sync_key(&self, key: &Key) -> io::Result<()> {
        let path = self.path(key);
        if !path.exists() {
            return Ok(()); // its put failed
        }
        File::open(&path)?.sync_all()?;
        self.sync_folder(path.parent().expect("a key has a folder below the root"))?;
        // The link to the replaced version is here.
        let versions = self.version_dir(key);
        if versions.exists() {
            self.sync_folder(&versions)?;
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

    async fn put_stream(&self, put: &StreamPut, body: Body<'_>) -> Result<Stored, StoreError> {
        self.put_streamed(put, body).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        match fs::metadata(&*self.root) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(failed("opening", &self.root, io::ErrorKind::NotADirectory.into())),
            // The first put creates it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed("opening", &self.root, e)),
        }
    }

    async fn get(&self, key: &Key, version: Option<&VersionId>, max_bytes: usize) -> Result<Object, StoreError> {
        self.read(key, version, max_bytes)
    }

    async fn get_range(&self, key: &Key, version: &VersionId, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        tokio::task::block_in_place(|| self.read_range(key, version, range))
    }

    async fn head(&self, key: &Key) -> Result<Head, StoreError> {
        let version = self.newest(key)?;
        Ok(Head { etag: ETag::of(&version), version, payload_hash: None })
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
        let versions = |key: Key| self.versions_on_disk(&key).map(|versions| (key, versions));
        tokio::task::block_in_place(|| THREADS.install(|| keys.into_par_iter().map(versions).collect()))
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        tokio::task::block_in_place(|| self.list_keys(prefix, after, limit))
    }

    async fn delete_version(&self, key: &Key, version: &VersionId) -> Result<(), StoreError> {
        if !is_file_name(version) {
            return Ok(());
        }
        let path = self.version_path(key, version);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("deleting", &path, e)),
            _ => Ok(()),
        }
    }

    fn root(&self) -> Root {
        Root::Folder(self.root.to_string_lossy().into_owned())
    }
}

/// Whether a version id is valid as a file name: it may come from a row.
fn is_file_name(version: &VersionId) -> bool {
    Key::parse(version.as_str()).is_some_and(|part| !part.as_str().contains('/'))
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

fn failed(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    let path = path.display().to_string();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(path),
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly(path),
        io::ErrorKind::PermissionDenied => StoreError::Denied(format!("{path}: check who owns it and its mode")),
        _ => StoreError::Unavailable { action, path, source },
    }
}
