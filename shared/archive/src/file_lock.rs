//! File locks with a time limit. A lock held by a process of another user is not waited for; one held for too long is
//! an error that names its holder.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// After this many attempts a wait is logged, and the holder is looked up again.
const ATTEMPTS_PER_REPORT: u32 = 500;

/// How a file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Compatible with other shared locks.
    Shared,
    Exclusive,
}

/// Why a lock was not acquired.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It is held by another process.
    #[error("{} is locked by {holder}: end it, or try again later", path.display())]
    Held {
        /// The locked file.
        path: PathBuf,
        /// The process that holds it.
        holder: Holder,
    },
    /// The file system returned an error.
    #[error("cannot lock {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A process that holds a lock, as far as known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    pid: Option<u32>,
    uid: Option<u32>,
}

impl Holder {
    /// Whether the process belongs to neither this user nor root.
    fn is_foreign(&self) -> bool {
        self.uid.is_some_and(|uid| uid != 0 && uid != rustix::process::geteuid().as_raw())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.uid) {
            (Some(pid), Some(uid)) if self.is_foreign() => write!(f, "process {pid} of another user (uid {uid})"),
            (Some(pid), _) => write!(f, "process {pid}"),
            _ => f.write_str("another process"),
        }
    }
}

/// Locks a file, waiting for at most `limit`. The lock is released when the file is closed.
pub fn lock(file: &File, path: &Path, mode: Mode, limit: Duration) -> Result<(), LockError> {
    let give_up = Instant::now() + limit;
    let mut holder = Holder::default();
    for attempt in 0_u32.. {
        let locked = match mode {
            Mode::Shared => file.try_lock_shared(),
            Mode::Exclusive => file.try_lock(),
        };
        match locked {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(LockError::Io { path: path.to_owned(), source }),
        }
        if attempt % ATTEMPTS_PER_REPORT == 0 {
            holder = holder_of(file);
            if attempt > 0 {
                tracing::warn!(path = %path.display(), %holder, "waiting for a lock");
            }
        }
        if holder.is_foreign() || Instant::now() >= give_up {
            return Err(LockError::Held { path: path.to_owned(), holder: holder_of(file) });
        }
        std::thread::sleep(RETRY_INTERVAL);
    }
    unreachable!("the time is over before attempts are")
}

/// The process that holds a lock of this file; if several do, one of another user.
fn holder_of(file: &File) -> Holder {
    let Ok(metadata) = file.metadata() else { return Holder::default() };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let pids = holders(&locks, &format!("{major:02x}:{minor:02x}:{}", metadata.ino()));
    let holders: Vec<Holder> = pids
        .into_iter()
        .map(|pid| Holder {
            pid: Some(pid),
            uid: fs::metadata(format!("/proc/{pid}")).ok().map(|process| process.uid()),
        })
        .collect();
    holders.iter().find(|holder| holder.is_foreign()).or(holders.first()).cloned().unwrap_or_default()
}

/// The processes that hold locks of a file, from the text of `/proc/locks`: waiting ones are marked with an arrow.
fn holders(locks: &str, file: &str) -> Vec<u32> {
    let fields = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter_map(|line| (line.get(1) != Some(&"->") && line.get(5) == Some(&file)).then(|| line[4].parse().ok())?)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_holder_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("lock");
        let first = File::create(&path).expect("created");
        let second = File::open(&path).expect("opened");
        lock(&first, &path, Mode::Shared, Duration::ZERO).expect("free");
        lock(&second, &path, Mode::Shared, Duration::ZERO).expect("shared");
        let error = lock(&second, &path, Mode::Exclusive, Duration::ZERO).expect_err("held");
        assert!(matches!(&error, LockError::Held { .. }), "{error}");
        drop(first);
        lock(&second, &path, Mode::Exclusive, Duration::ZERO).expect("free again");
    }

    #[test]
    fn holders_are_read_and_waiting_processes_are_not() {
        let locks = "1: FLOCK  ADVISORY  WRITE 710 00:2f:1234 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 711 00:2f:1234 0 EOF\n\
                     2: POSIX  ADVISORY  READ 712 00:2f:12345 0 EOF\n3: FLOCK  ADVISORY  READ 713 00:2f:1234 0 EOF\n";
        assert_eq!(holders(locks, "00:2f:1234"), [710, 713]);
        assert_eq!(holders("", "00:2f:1234"), Vec::<u32>::new());
    }
}
