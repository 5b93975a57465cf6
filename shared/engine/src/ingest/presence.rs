//! Who lives on this machine: each worker holds a lock on a file of its own.
//!
//! A killed process drops its locks, so a dead worker is noticed at once, without waiting for its
//! lease to run out, and a reused process id misleads no check.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bio_mcp_core::WorkerId;

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
        let mut dead = Vec::new();
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(dead),
            Err(e) => return Err(e),
        };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.')
                && let Ok(file) = File::open(dir.join(&name))
                && file.try_lock().is_ok()
            {
                dead.push(name);
            }
        }
        Ok(dead)
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
