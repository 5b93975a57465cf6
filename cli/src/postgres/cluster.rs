//! One Postgres cluster on disk: made, started, stopped.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shared::words::Sha256;
use shared::words::config::Config;
use sqlx::postgres::PgConnectOptions;

use super::DATABASE;
use super::binaries::Binaries;
use super::identity::Identity;
use crate::failure::Failure;

/// The longest path a Unix socket may have, without the final zero.
const MAX_SOCKET_PATH: usize = 107;
const SOCKET: &str = ".s.PGSQL.5432";

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Where the locks are.
    dir: PathBuf,
    /// Where the server's files are; the same, unless its user cannot get there.
    place: PathBuf,
    socket_dir: PathBuf,
    binaries: Binaries,
    identity: Identity,
}

impl Cluster {
    /// The cluster of a directory, which need not exist yet.
    pub fn at(dir: &Path, config: &Config) -> Result<Self, Failure> {
        let identity = Identity::find(config).map_err(Failure::database)?;
        let place = identity.place(dir)?;
        let major = fs::read_to_string(place.join("data/PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
        let recorded = fs::read_to_string(dir.join("programs")).ok().map(|text| PathBuf::from(text.trim()));
        let binaries = Binaries::find(config, recorded.as_deref(), major)?;
        let socket_dir = socket_dir(&place, identity.uid())?;
        Ok(Self { dir: dir.to_owned(), place, socket_dir, binaries, identity })
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
        self.place.join("data")
    }

    fn log(&self) -> PathBuf {
        self.place.join("log")
    }

    /// How to connect to a database of it.
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

    /// Makes the cluster where it does not exist, and starts it where it does not run. The caller
    /// holds the start lock.
    pub fn ensure_running(&self) -> Result<(), Failure> {
        if self.is_running() {
            return Ok(());
        }
        if !self.data().join("PG_VERSION").exists() {
            self.create()?;
        }
        self.start()
    }

    /// Into a sibling first, then renamed: a killed initdb leaves nothing that looks complete.
    fn create(&self) -> Result<(), Failure> {
        let unfinished = self.place.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        self.identity.make_private_dir(&unfinished)?;
        self.run(
            "initdb",
            &["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-D"],
            &[unfinished.as_os_str()],
        )?;
        let mut settings = fs::read_to_string(unfinished.join("postgresql.conf"))?;
        settings.push_str("\ninclude_if_exists = 'bio-mcp.conf'\n");
        fs::write(unfinished.join("postgresql.conf"), settings)?;
        fs::rename(&unfinished, self.data())?;
        fs::write(self.dir.join("programs"), self.binaries.dir.display().to_string())?;
        Ok(())
    }

    fn start(&self) -> Result<(), Failure> {
        self.identity.make_private_dir(&self.socket_dir)?;
        // Written at each start: the data directory may have been moved.
        let socket_dir = self.socket_dir.display().to_string().replace('\'', "''");
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '\"{socket_dir}\"'\nunix_socket_permissions = 0700\n\
             max_connections = 100\nshared_buffers = 64MB\nmax_wal_size = 2GB\nwal_compression = on\ntimezone = 'UTC'\n\
             log_min_messages = warning\n"
        );
        fs::write(self.data().join("bio-mcp.conf"), settings)?;
        fs::set_permissions(self.data().join("bio-mcp.conf"), fs::Permissions::from_mode(0o644))?;
        let (log, data) = (self.log(), self.data());
        // After a crash, the children of a killed server need a moment to go.
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

    fn pg_ctl_start(&self, log: &Path, data: &Path) -> Result<(), Failure> {
        self.run(
            "pg_ctl",
            &["start", "-w", "-s", "-t", "120", "-l"],
            &[log.as_os_str(), "-D".as_ref(), data.as_os_str()],
        )
    }

    /// Whether a crash left something in the way of a start: a lock file whose process is gone, not
    /// yet reaped, or whose id is that of another by now (it is removed), or shared memory still in use.
    fn is_left_over(&self) -> bool {
        let locks = [self.data().join("postmaster.pid"), self.socket_dir.join(format!("{SOCKET}.lock"))];
        let mut removed = false;
        for lock in locks {
            let Ok(text) = fs::read_to_string(&lock) else { continue };
            let pid = text.lines().next().unwrap_or_default().trim().to_owned();
            if !is_postgres(&pid) {
                removed |= fs::remove_file(lock).is_ok();
            }
        }
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        removed || log.lines().rev().take(4).any(|line| line.contains("still in use"))
    }

    /// Whether a server lives here that does not answer yet: the command that was starting it was
    /// killed.
    fn is_coming_up(&self) -> bool {
        let lock = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        is_postgres(lock.lines().next().unwrap_or_default().trim())
    }

    fn ensure_database(&self) -> Result<(), Failure> {
        let options = self.options("postgres");
        let create = shared::db::ensure_database(options, DATABASE);
        Ok(tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(create))?)
    }

    /// Stops the server; open transactions are rolled back. The caller holds the start lock.
    pub fn stop(&self) -> Result<(), Failure> {
        if !self.is_running() {
            return Ok(());
        }
        self.run("pg_ctl", &["stop", "-w", "-s", "-m", "fast", "-t", "60", "-D"], &[self.data().as_os_str()])
    }

    fn run(&self, program: &str, arguments: &[&str], paths: &[&std::ffi::OsStr]) -> Result<(), Failure> {
        // Output goes to a file: a started server would hold a pipe open for ever.
        let output_path = self.dir.join("last-command.log");
        let output = fs::File::create(&output_path)?;
        let status = self
            .identity
            .command(&self.binaries.program(program))
            .args(arguments)
            .args(paths)
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .map_err(|error| Failure::database(format!("cannot run {program}: {error}")))?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read_to_string(&output_path).unwrap_or_default();
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let last = |text: &str, n: usize| {
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            lines[lines.len().saturating_sub(n)..].join(" / ")
        };
        let full = log.contains("No space left on device") || said.contains("No space left on device");
        let hint = if full { ": the disk is full" } else { "" };
        Err(Failure::database(format!(
            "the private Postgres failed at {program}{hint}: {} {}; its log is {}",
            last(&said, 2),
            last(&log, 2),
            self.log().display()
        )))
    }
}

/// Whether a server accepts connections, by how connecting ended. Only some errors are about the server: a process that
/// has no file descriptor left, or a server with a full queue, says nothing about whether it runs.
fn is_served(connected: std::io::Result<()>) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound};
    !matches!(connected.map_err(|error| error.kind()), Err(NotFound | ConnectionRefused | NotADirectory))
}

/// Whether a process is a living Postgres.
fn is_postgres(pid: &str) -> bool {
    // `pid (name) state …`
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (process, state) = status.rsplit_once(')').unwrap_or(("", ""));
    process.ends_with("(postgres") && !matches!(state.trim().chars().next(), Some('Z' | 'X') | None)
}

/// In the cluster's directory, or, where that path is too long for a socket or holds characters
/// that Postgres' list of directories cannot, in a private directory under /tmp named after it.
fn socket_dir(place: &Path, owner: u32) -> Result<PathBuf, Failure> {
    let near = place.join("socket");
    let text = near.as_os_str().as_encoded_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.+=@ ".contains(byte);
    if text.len() + 1 + SOCKET.len() <= MAX_SOCKET_PATH && text.iter().all(plain) {
        return Ok(near);
    }
    let name = Sha256::of(place.as_os_str().as_encoded_bytes()).to_hex();
    let far = PathBuf::from(format!("/tmp/bio-mcp-{owner}-{}", &name[..16]));
    // Another user may have put something there first.
    if let Ok(metadata) = fs::symlink_metadata(&far)
        && (!metadata.is_dir() || metadata.mode() & 0o077 != 0 || metadata.uid() != owner)
    {
        return Err(Failure::database(format!("{} is not a private directory of ours: remove it", far.display())));
    }
    Ok(far)
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

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
