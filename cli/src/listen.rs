//! Where the HTTP server listens: an address, or a Unix socket that only its owner can connect to.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use shared::file_lock;

use crate::ownership::{self, Use};
use crate::users;

/// Maximum length of the path of a Unix socket, in bytes, without the final zero.
pub const MAX_SOCKET_PATH: usize = 107;

/// Prefix of a socket's path on the command line.
const UNIX: &str = "unix:";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix(UNIX) else {
            return text.parse().map(Self::Tcp).map_err(|_| "must be ADDRESS:PORT or unix:PATH".to_owned());
        };
        if path.is_empty() || path.ends_with('/') {
            return Err("unix: requires the path of a socket".to_owned());
        }
        if path.len() > MAX_SOCKET_PATH {
            return Err(format!(
                "the path of a socket has a maximum of {MAX_SOCKET_PATH} bytes, this one has {}: choose a shorter one",
                path.len()
            ));
        }
        Ok(Self::Unix(path.into()))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// The file of a socket that this process listens at; removed when dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
    lock_path: PathBuf,
    /// Held while the socket is used: without it, two servers that start at once could remove each other's.
    _lock: File,
}

impl SocketFile {
    /// Listens at a path; replaces the socket of an ended server of this user.
    pub fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !above.exists() {
            let message = format!("directory {} not found: create it first", above.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        ownership::resolve(above, Use::Parent).map_err(io::Error::other)?;
        let lock_path = path.with_added_extension("lock");
        let lock = lock(&lock_path)?;
        remove_left_over(path)?;
        // No other user can connect before the mode is set.
        let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
        let bound = UnixListener::bind(path);
        rustix::process::umask(mask);
        let listener = bound?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let file = Self {
            path: std::path::absolute(path)?,
            inode: inode(&fs::symlink_metadata(path)?),
            lock_path,
            _lock: lock,
        };
        Ok((listener, file))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| inode(&metadata) == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
        let _ = fs::remove_file(&self.lock_path);
    }
}

fn inode(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Locks the file beside a socket. The server that held it before may have removed the file meanwhile: then again.
fn lock(path: &Path) -> io::Result<File> {
    loop {
        let file =
            ownership::lock_file(path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        file_lock::lock(&file, path, file_lock::Mode::Exclusive, Duration::ZERO).map_err(io::Error::other)?;
        if fs::symlink_metadata(path).is_ok_and(|found| file.metadata().is_ok_and(|own| inode(&own) == inode(&found))) {
            return Ok(file);
        }
    }
}

/// Removes a socket of this user without a server. Anything else is kept, and is an error.
fn remove_left_over(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() || metadata.uid() != users::caller() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not a socket of this user"));
    }
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        Ok(()) | Err(Errno::AGAIN) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another server is listening on it"))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ports_or_paths() {
        assert_eq!("127.0.0.1:80".parse(), Ok(ListenAddress::Tcp(([127, 0, 0, 1], 80).into())));
        assert_eq!("unix:run/a.sock".parse(), Ok(ListenAddress::Unix("run/a.sock".into())));
        for wrong in ["", "localhost", "unix:", "unix:/tmp/", "unix"] {
            assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong}");
        }
        let long = format!("unix:/{}", "x".repeat(MAX_SOCKET_PATH));
        assert!(long.parse::<ListenAddress>().expect_err("too long").contains("a maximum of 107 bytes"));
        assert!(long[..long.len() - 1].parse::<ListenAddress>().is_ok());
    }

    #[test]
    fn a_socket_replaces_only_what_an_ended_server_left() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("run/http.sock");
        let error = SocketFile::bind(&path).expect_err("no folder is made");
        assert!(
            error.to_string().contains("not found: create it first") && !dir.path().join("run").exists(),
            "{error}"
        );
        ownership::private_dir(&dir.path().join("run")).expect("made");
        let (listener, file) = SocketFile::bind(&path).expect("bound");
        let mode = |path: &Path| fs::symlink_metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));
        let error = SocketFile::bind(&path).expect_err("in use");
        assert!(error.to_string().contains("is locked by process"), "{error}");
        // The state after a killed server.
        std::mem::forget(file);
        drop(listener);
        fs::remove_file(path.with_added_extension("lock")).expect("removed");
        let (listener, file) = SocketFile::bind(&path).expect("a left over socket is replaced");
        drop((listener, file));
        assert!(!path.exists() && !path.with_added_extension("lock").exists(), "nothing is left");
        fs::write(&path, "mine").expect("written");
        let error = SocketFile::bind(&path).expect_err("no socket");
        assert_eq!(
            (error.kind(), fs::read_to_string(&path).expect("there").as_str()),
            (io::ErrorKind::AlreadyExists, "mine")
        );
        fs::remove_file(&path).expect("removed");
        let other = UnixListener::bind(&path).expect("another program's");
        assert_eq!(SocketFile::bind(&path).expect_err("in use").kind(), io::ErrorKind::AddrInUse);
        drop(other);
    }
}
