//! One Postgres cluster on disk: create, start, stop.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use shared::config::Config;
use shared::core::{Sha256, UnitId};
use sqlx::postgres::PgConnectOptions;

use super::DATABASE;
use super::binaries::Binaries;
use super::identity::RunAs;
use crate::failure::CliError;
use crate::listen::MAX_SOCKET_PATH;
use crate::ownership;

const SOCKET: &str = ".s.PGSQL.5432";

/// Maximum size that is read of a file of the server, from its end: the last lines of a log matter.
const MAX_READ_BYTES: u64 = 64 * 1024;

/// Makes the directory `$1`.
const MAKE_UNFINISHED: &str = r#"umask 077 && mkdir -- "$1""#;

/// Removes in `$1` what earlier attempts left. The initdb of a killed attempt may still write there: the next attempt
/// removes the rest.
const CLEAR: &str = r#"rm -rf -- "$1"/data.new "$1"/data.new.* 2>/dev/null; :"#;

/// Removes the directory `$1`.
const REMOVE: &str = r#"rm -rf -- "$1""#;

/// Adds our settings to the new cluster `$1`, and renames it to `$2`; a directory without a version is not a cluster.
const FINISH: &str = r#"printf "\ninclude_if_exists = 'bio-mcp.conf'\n" >> "$1/postgresql.conf" &&
{ [ ! -d "$2" ] || rmdir -- "$2"; } && mv -- "$1" "$2""#;

/// Creates the directory `$1` of the socket, if it does not exist, and writes the settings `$3` to `$2`.
const PREPARE: &str = r#"umask 077
mkdir -- "$1" 2>/dev/null || { [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]; } ||
{ echo "$1: not a private directory of this user" >&2; exit 1; }
chmod 700 -- "$1" && rm -f -- "$2" && printf %s "$3" > "$2""#;

/// The system's message for a full disk.
const NO_SPACE: &str = "No space left on device";

/// Number of last lines of a log that count as current.
const LAST_LINES: usize = 10;

/// With less, a server cannot create another WAL segment.
const SMALLEST_SPACE: u64 = 16 << 20;

/// With more, a full disk reported in a log is no longer full.
const LITTLE_SPACE: u64 = 256 << 20;

#[derive(Clone, Debug)]
pub struct Cluster {
    /// Directory of the locks.
    dir: PathBuf,
    /// Directory of the server's files; the same, unless the server's user cannot reach it.
    location: PathBuf,
    socket_dir: PathBuf,
    binaries: Binaries,
    identity: RunAs,
}

impl Cluster {
    /// The cluster of a directory, which need not exist yet.
    pub fn at(dir: &Path, config: &Config) -> Result<Self, CliError> {
        let identity = RunAs::find(config).map_err(CliError::database)?;
        let location = identity.location(dir)?;
        let major = read_end(&location.join("data/PG_VERSION")).trim().parse().ok();
        let binaries = Binaries::find(config, &identity, major)?;
        let socket_dir = socket_dir(&location, identity.uid())?;
        Ok(Self { dir: dir.to_owned(), location, socket_dir, binaries, identity })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    fn data(&self) -> PathBuf {
        self.location.join("data")
    }

    fn log(&self) -> PathBuf {
        self.location.join("log")
    }

    /// Connection options for a database of the cluster.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .username("postgres")
            .database(database)
            .ssl_mode(sqlx::postgres::PgSslMode::Disable)
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        let dir: String = self
            .socket_dir
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .map(|byte| match byte {
                b'/' | b'-' | b'_' | b'.' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(*byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect();
        format!("postgres://postgres@localhost/{DATABASE}?host={dir}")
    }

    /// Whether a server accepts connections at its socket.
    pub fn is_running(&self) -> bool {
        is_served(UnixStream::connect(self.socket_dir.join(SOCKET)).map(drop))
    }

    /// Creates the cluster if it does not exist, and starts it if it does not run. The caller holds the start lock.
    pub fn ensure_running(&self) -> Result<(), CliError> {
        if self.is_running() {
            return Ok(());
        }
        self.perform(CLEAR, &[self.location.as_os_str()])?;
        if !self.data().join("PG_VERSION").exists() {
            self.create()?;
        }
        self.start()
    }

    /// Creates a sibling directory first, then renames it: a killed initdb leaves nothing that looks complete. The
    /// sibling has a unique name, because a killed command's initdb may still run. What a failed one created is
    /// removed.
    fn create(&self) -> Result<(), CliError> {
        let unfinished = self.location.join(format!("data.new.{}", UnitId::new().0.simple()));
        let created = self.create_by_way_of(&unfinished);
        if created.is_err()
            && let Err(failure) = self.perform(REMOVE, &[unfinished.as_os_str()])
        {
            tracing::warn!(message = failure.message, "an unfinished cluster stays until the next start");
        }
        created
    }

    fn create_by_way_of(&self, unfinished: &Path) -> Result<(), CliError> {
        self.perform(MAKE_UNFINISHED, &[unfinished.as_os_str()])?;
        self.run(
            "initdb",
            &["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-D"],
            &[unfinished.as_os_str()],
        )?;
        self.perform(FINISH, &[unfinished.as_os_str(), self.data().as_os_str()])
    }

    fn start(&self) -> Result<(), CliError> {
        // Written at each start, because the data directory may have been moved.
        let socket_dir = self.socket_dir.display().to_string().replace('\'', "''");
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '\"{socket_dir}\"'\nunix_socket_permissions = 0700\n\
             max_connections = 100\nshared_buffers = 64MB\nmax_wal_size = 2GB\nwal_compression = on\ntimezone = 'UTC'\n\
             log_min_messages = warning\n"
        );
        let file = self.data().join("bio-mcp.conf");
        self.perform(PREPARE, &[self.socket_dir.as_os_str(), file.as_os_str(), settings.as_ref()])?;
        let (log, data) = (self.log(), self.data());
        // After a crash, the children of a killed server need a moment to exit.
        let give_up = Instant::now() + Duration::from_secs(15);
        while let Err(failure) = self.pg_ctl_start(&log, &data) {
            let may_still_come = self.is_left_over() || self.is_coming_up();
            if !may_still_come || Instant::now() > give_up {
                return Err(failure);
            }
            std::thread::sleep(Duration::from_millis(100));
            if self.is_running() {
                break;
            }
        }
        self.ensure_database()
    }

    fn pg_ctl_start(&self, log: &Path, data: &Path) -> Result<(), CliError> {
        self.run(
            "pg_ctl",
            &["start", "-w", "-s", "-t", "120", "-l"],
            &[log.as_os_str(), "-D".as_ref(), data.as_os_str()],
        )
    }

    /// Whether a crash left something that prevents a start: a lock file whose process has ended, is not yet reaped, or
    /// whose id was reused by another process (the file is removed), or shared memory still in use.
    fn is_left_over(&self) -> bool {
        let locks = [self.data().join("postmaster.pid"), self.socket_dir.join(format!("{SOCKET}.lock"))];
        let mut removed = false;
        for lock in locks {
            let text = read_end(&lock);
            let Some(pid) = text.lines().next() else { continue };
            if !is_postgres(pid.trim()) {
                removed |= self.perform("rm -f -- \"$1\"", &[lock.as_os_str()]).is_ok();
            }
        }
        let log = read_end(&self.log());
        removed || log.lines().rev().take(4).any(|line| line.contains("still in use"))
    }

    /// Whether a server is starting here that does not respond yet: the command that started it was killed.
    pub fn is_coming_up(&self) -> bool {
        let lock = read_end(&self.data().join("postmaster.pid"));
        is_postgres(lock.lines().next().unwrap_or_default().trim())
    }

    fn ensure_database(&self) -> Result<(), CliError> {
        let options = self.options("postgres");
        let create = shared::db::ensure_database(options, DATABASE);
        Ok(tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(create))?)
    }

    /// Stops the server; open transactions are rolled back. The caller holds the start lock.
    pub fn stop(&self) -> Result<(), CliError> {
        if !self.is_running() {
            return Ok(());
        }
        self.run("pg_ctl", &["stop", "-w", "-s", "-m", "fast", "-t", "60", "-D"], &[self.data().as_os_str()])
    }

    /// Kills a server whose start failed: it recovers at its next start, as after a crash.
    pub fn abandon(&self) {
        if self.is_coming_up() {
            let stop = ["stop", "-w", "-s", "-m", "immediate", "-t", "10", "-D"];
            if let Err(failure) = self.run("pg_ctl", &stop, &[self.data().as_os_str()]) {
                tracing::warn!(message = failure.message, "the private Postgres keeps running");
            }
        }
    }

    /// What to do if the disk of its files is full: nearly no space is left, or little and the last lines of its log
    /// report a full disk.
    pub fn out_of_space(&self) -> Option<String> {
        let log = read_end(&self.log());
        let lines = log.lines().rev().take(LAST_LINES).any(|line| line.contains(NO_SPACE));
        let left = rustix::fs::statvfs(&self.location).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let most = if lines { LITTLE_SPACE } else { SMALLEST_SPACE };
        let is_full = left.is_ok_and(|left| left < most);
        is_full.then(|| format!("no space left for {}: free some space", self.location.display()))
    }

    /// Changes files of the cluster, as the server's user.
    fn perform(&self, script: &str, paths: &[&OsStr]) -> Result<(), CliError> {
        let location = self.location.display();
        self.identity.perform(script, paths).map_err(|error| {
            let hint = if error.kind() == ErrorKind::StorageFull { ": free some space" } else { "" };
            CliError::database(format!("the private Postgres cannot be prepared in {location}: {error}{hint}"))
        })
    }

    fn run(&self, program: &str, arguments: &[&str], paths: &[&std::ffi::OsStr]) -> Result<(), CliError> {
        // Output goes to a file: a started server would hold a pipe open forever.
        let output_path = self.dir.join("last-command.log");
        let output = ownership::private_file(&output_path).map_err(|error| {
            let hint = if error.kind() == ErrorKind::StorageFull { ": free some space" } else { "" };
            CliError::database(format!("cannot write {}: {error}{hint}", output_path.display()))
        })?;
        let status = self
            .identity
            .command(&self.binaries.program(program))
            .args(arguments)
            .args(paths)
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .map_err(|error| CliError::database(format!("cannot run {program}: {error}")))?;
        if status.success() {
            return Ok(());
        }
        let said = read_end(&output_path);
        let log = read_end(&self.log());
        let last = |text: &str, n: usize| {
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            lines[lines.len().saturating_sub(n)..].join(" / ")
        };
        let is_full = said.contains(NO_SPACE) || self.out_of_space().is_some();
        let hint = if is_full {
            format!(": no space left for {}: free some space", self.location.display())
        } else {
            String::new()
        };
        // If there is no log, only the output of the command is available.
        let log_path = if self.log().exists() { self.log() } else { output_path };
        let told = [last(&said, 2), last(&log, 2)].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
        Err(CliError::database(format!(
            "the private Postgres failed at {program}{hint}: {}; its log is {}",
            told.join(" "),
            log_path.display()
        )))
    }
}

/// Reads the end of a file that the server's user controls: a link is not followed, a pipe not waited for.
fn read_end(path: &Path) -> String {
    let read = || {
        let mut file = ownership::open_itself(path, OFlags::empty())?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(String::new());
        }
        file.seek(SeekFrom::Start(metadata.len().saturating_sub(MAX_READ_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// Whether a server accepts connections, from the result of connecting. Only some errors are about the server: a
/// process without free file descriptors, or a server with a full queue, says nothing about whether it runs.
fn is_served(connected: std::io::Result<()>) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound};
    !matches!(connected.map_err(|error| error.kind()), Err(NotFound | ConnectionRefused | NotADirectory))
}

/// Whether a process is a running Postgres.
fn is_postgres(pid: &str) -> bool {
    // `pid (name) state …`
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (process, state) = status.rsplit_once(')').unwrap_or(("", ""));
    process.ends_with("(postgres") && !matches!(state.trim().chars().next(), Some('Z' | 'X') | None)
}

/// In the cluster's directory, or, if that path is too long for a socket or contains characters that Postgres' list of
/// directories does not allow, in a private directory under /tmp named after it.
fn socket_dir(location: &Path, owner: u32) -> Result<PathBuf, CliError> {
    let near = location.join("socket");
    let text = near.as_os_str().as_encoded_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.+=@ ".contains(byte);
    if text.len() + 1 + SOCKET.len() <= MAX_SOCKET_PATH && text.iter().all(plain) {
        return Ok(near);
    }
    let name = Sha256::of(location.as_os_str().as_encoded_bytes()).to_hex();
    let far = PathBuf::from(format!("/tmp/bio-mcp-{owner}-{}", &name[..16]));
    // Another user may have created something there first.
    if let Ok(metadata) = fs::symlink_metadata(&far)
        && (!metadata.is_dir() || metadata.mode() & 0o077 != 0 || metadata.uid() != owner)
    {
        return Err(CliError::database(format!(
            "{} is not a private directory of this user: remove it",
            far.display()
        )));
    }
    Ok(far)
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[test]
    fn no_link_is_followed_and_no_pipe_waited_for() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("log"), "x".repeat(70_000) + " the end").expect("written");
        assert!(read_end(&path("log")).ends_with("x the end") && read_end(&path("log")).len() == 65_536);
        std::os::unix::fs::symlink(path("log"), path("link")).expect("linked");
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().expect("runs").success());
        for name in ["link", "pipe", ".", "nothing"] {
            assert_eq!(read_end(&path(name)), "", "{name}");
        }
    }

    #[test]
    fn a_process_without_file_descriptors_does_not_take_its_database_for_gone() {
        let failed = |errno: rustix::io::Errno| is_served(Err(Error::from_raw_os_error(errno.raw_os_error())));
        assert!(is_served(Ok(())));
        assert!(!failed(rustix::io::Errno::NOENT) && !failed(rustix::io::Errno::CONNREFUSED));
        for busy in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::AGAIN] {
            assert!(failed(busy), "{busy}");
        }
    }
}
