//! Who lives on this machine: each worker holds a lock on a file of its own.
//!
//! A killed process drops its locks, so a dead worker is noticed at once, without waiting for its
//! lease to run out, and a reused process id misleads no check.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bio_mcp_core::WorkerId;

/// The workers of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Those whose process lives.
    pub living: Vec<String>,
    /// Those whose process is gone; their units may not have been taken back yet.
    pub dead: Vec<String>,
}

/// A worker's sign of life.
#[derive(Debug)]
pub struct Presence {
    path: PathBuf,
    _locked: File,
}

impl Presence {
    /// Holds the lock of a worker in `dir` until dropped.
    pub fn hold(dir: &Path, worker: &WorkerId) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // Locked before it has its name, so it is never found unlocked while its worker lives.
        let hidden = dir.join(format!(".{}", worker.as_str()));
        // No other user may hold it: its worker would be taken for living.
        let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&hidden)?;
        file.lock()?;
        let path = dir.join(worker.as_str());
        fs::rename(&hidden, &path)?;
        Ok(Self { path, _locked: file })
    }

    /// Workers in `dir` whose process is gone.
    pub fn dead_workers(dir: &Path) -> io::Result<Vec<String>> {
        Ok(Self::census(dir)?.dead)
    }

    /// The workers in `dir`, by whether their process lives.
    pub fn census(dir: &Path) -> io::Result<Census> {
        let mut census = Census::default();
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(census),
            Err(e) => return Err(e),
        };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            // A shared lock: two commands that look at the same time do not take each other for the worker.
            match File::open(dir.join(&name)).map(|file| file.try_lock_shared()) {
                Ok(Ok(())) => census.dead.push(name),
                Ok(Err(TryLockError::WouldBlock)) => census.living.push(name),
                // It ended just now, or it cannot be told.
                Ok(Err(TryLockError::Error(_))) | Err(_) => {}
            }
        }
        Ok(census)
    }

    /// Forgets a dead worker, once its units are taken back.
    pub fn forget(dir: &Path, worker: &str) {
        // Another process may have done so already.
        let _ = fs::remove_file(dir.join(worker));
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
