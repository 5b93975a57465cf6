//! Live workers on this machine: each worker holds a lock on its own file.
//!
//! A killed process loses its locks, so that a dead worker is detected at once, without waiting for its lease to
//! expire, and a reused process id is not mistaken for it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bio_mcp_core::WorkerId;

/// The workers of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Workers whose process is alive.
    pub living: Vec<String>,
    /// Workers whose process is dead; their units may not have been reclaimed yet.
    pub dead: Vec<String>,
}

/// Shows that a worker is alive.
#[derive(Debug)]
pub struct Presence {
    path: PathBuf,
    _locked: File,
}

impl Presence {
    /// Holds the lock of a worker in `dir` until dropped.
    pub fn hold(dir: &Path, worker: &WorkerId) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // Locked before it has its name, so that it is never found unlocked while its worker is alive.
        let hidden = dir.join(format!(".{}", worker.as_str()));
        // No other user may lock it: its worker would be taken for alive.
        let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&hidden)?;
        file.lock()?;
        let path = dir.join(worker.as_str());
        fs::rename(&hidden, &path)?;
        Ok(Self { path, _locked: file })
    }

    /// Workers in `dir` whose process is dead.
    pub fn dead_workers(dir: &Path) -> io::Result<Vec<String>> {
        Ok(Self::census(dir)?.dead)
    }

    /// The workers in `dir`, by whether their process is alive.
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
            // A shared lock: concurrent checks do not mistake each other for the worker.
            match File::open(dir.join(&name)).map(|file| file.try_lock_shared()) {
                Ok(Ok(())) => census.dead.push(name),
                Ok(Err(TryLockError::WouldBlock)) => census.living.push(name),
                // It has just ended, or its state is unknown.
                Ok(Err(TryLockError::Error(_))) | Err(_) => {}
            }
        }
        Ok(census)
    }

    /// Deletes the file of a dead worker, after its units were reclaimed.
    pub fn forget(dir: &Path, worker: &str) {
        // Another process may have deleted it already.
        let _ = fs::remove_file(dir.join(worker));
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
