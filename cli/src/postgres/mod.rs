//! A private Postgres in the data directory: started by the first command that needs it, shared by
//! all commands on that directory, stopped by the last one.
//!
//! Two locks, both dropped by the kernel when a process is killed: `start.lock` is held while the server is started or
//! stopped, `use.lock` is shared by every process that uses it. Whether it runs is decided by connecting to its socket;
//! pid files remain after `kill -9`. It listens on no network port, and its socket is in a directory of mode 0700.
//!
//! Not an embedded-server crate: those bind a server to one process and download their own binaries; this one is shared
//! by commands, survives a killed one, and is the system's or the one that `make setup` fetched.

mod binaries;
mod cluster;
mod identity;
mod keeper;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::config::Config;
use shared::file_lock::{self, Mode};
use shared::observability;
use sqlx::postgres::PgConnectOptions;

use crate::failure::CliError;
use crate::ownership;
pub use binaries::Binaries;
use cluster::Cluster;
pub use keeper::Keeper;

/// Held while the server is started or stopped.
const START: &str = "start.lock";

/// Shared by all commands that use the server.
const USE: &str = "use.lock";

/// Maximum wait for a lock: longer than a server needs to recover from a crash.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(180);

pub const DATABASE: &str = "bio_mcp";

/// A running private Postgres that this process uses.
pub struct Postgres {
    cluster: Cluster,
    /// The shared lock, held while the server is used.
    using: Option<File>,
}

impl Postgres {
    /// Uses the server of a directory; starts or recovers it if necessary.
    pub fn open(dir: &Path, config: &Config) -> Result<Self, CliError> {
        ownership::private_dir(dir).map_err(|error| not_ours(dir, &error))?;
        let cluster = Cluster::at(dir, config)?;
        let _starting = locked(dir, START, Mode::Exclusive)?;
        let is_anothers = cluster.is_coming_up();
        if let Err(failure) = cluster.ensure_running() {
            // Stops a server whose start failed, if no other command uses it.
            if !is_anothers && lock_file(dir, USE).is_ok_and(|using| using.try_lock().is_ok()) {
                cluster.abandon();
            }
            return Err(failure);
        }
        let using = locked(dir, USE, Mode::Shared)?;
        Ok(Self { cluster, using: Some(using) })
    }

    /// Connection options of the owner, who migrates and creates the role of programs.
    pub fn owner(&self) -> PgConnectOptions {
        self.cluster.options(DATABASE)
    }

    /// The owner's connection URL.
    pub fn url(&self) -> String {
        self.cluster.url()
    }

    pub fn binaries(&self) -> &Binaries {
        self.cluster.binaries()
    }

    pub fn socket_dir(&self) -> &Path {
        self.cluster.socket_dir()
    }

    /// Restarts the server if it ends while this process works.
    pub fn keep_alive(&self) -> Keeper {
        Keeper::start(self.cluster.clone())
    }

    /// What to do if the disk of its files is full.
    pub fn out_of_space(&self) -> Option<String> {
        self.cluster.out_of_space()
    }

    /// Keeps it running after the last process that uses it ends, until [`stop`].
    pub fn keep(&self) -> Result<(), CliError> {
        ownership::private_file(&keep_mark(self.cluster.dir()))?;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), CliError> {
        let dir = self.cluster.dir().to_owned();
        let _starting = locked(&dir, START, Mode::Exclusive)?;
        self.using = None;
        let using = lock_file(&dir, USE)?;
        if using.try_lock().is_ok() && !keep_mark(&dir).exists() {
            self.cluster.stop()?;
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(failure) = self.leave() {
            tracing::warn!(message = failure.message, "the private Postgres could not be stopped");
        }
    }
}

/// Stops a server that was kept running. Refuses while other processes use it.
pub fn stop(dir: &Path, config: &Config) -> Result<bool, CliError> {
    if !dir.exists() {
        return Ok(false);
    }
    ownership::private_dir(dir).map_err(|error| not_ours(dir, &error))?;
    let cluster = Cluster::at(dir, config)?;
    let _starting = locked(dir, START, Mode::Exclusive)?;
    let using = lock_file(dir, USE)?;
    if using.try_lock().is_err() {
        return Err(CliError::database(
            "other bio-mcp commands are using the database; it stops when the last of them ends",
        ));
    }
    let _ = fs::remove_file(keep_mark(dir));
    if !cluster.is_running() {
        return Ok(false);
    }
    cluster.stop()?;
    Ok(true)
}

fn keep_mark(dir: &Path) -> PathBuf {
    dir.join("keep")
}

fn lock_file(dir: &Path, name: &str) -> Result<File, CliError> {
    let path = dir.join(name);
    ownership::lock_file(&path)
        .map_err(|error| CliError::disk(&error, format!("cannot write {}: {error}", path.display())))
}

/// Takes a lock, held until the file is dropped; the wait for other commands is limited.
fn locked(dir: &Path, name: &str, mode: Mode) -> Result<File, CliError> {
    let file = lock_file(dir, name)?;
    file_lock::lock(&file, &dir.join(name), mode, MAX_LOCK_WAIT)
        .map_err(|error| CliError::database(observability::chain(&error)))?;
    Ok(file)
}

fn not_ours(dir: &Path, error: &std::io::Error) -> CliError {
    CliError::disk(error, format!("{} cannot be used for the private Postgres: {error}", dir.display()))
}
