//! The user that Postgres runs as: it refuses to run as root.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use shared::config::Config;

use crate::ownership::{self, Use};
use crate::users;

/// Directories of the system's programs; the last two are those of NixOS and Guix.
const PATH: &str = "/usr/bin:/bin:/run/current-system/sw/bin:/run/current-system/profile/bin";

/// Contains the name of a cluster's directory outside the data directory.
const LOCATION_FILE: &str = "place";

/// The identity that the server runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// The user who runs this program.
    Oneself,
    /// Root mapped to another user id, in a user namespace: its files remain root's.
    Namespace {
        /// The program `unshare`.
        unshare: PathBuf,
        /// The user id inside the namespace.
        user: UserIds,
    },
    /// An existing unprivileged user.
    Other(UserIds),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserIds {
    uid: u32,
    gid: u32,
}

impl RunAs {
    /// Selects an identity that works on this machine.
    pub fn find(config: &Config) -> Result<Self, &'static str> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Oneself);
        }
        let user = ["postgres", "nobody"].iter().find_map(|name| users::by_name(name).filter(|user| user.uid != 0));
        let user = user.map(|user| UserIds { uid: user.uid, gid: user.gid });
        let user = user.ok_or(
            "running as root, and neither a user `postgres` nor a user `nobody` exists for Postgres to run as",
        )?;
        let directories = config.path.as_deref().into_iter().flat_map(std::env::split_paths);
        let mut programs = directories.filter(|dir| dir.is_absolute()).map(|dir| dir.join("unshare"));
        // Root may have the PATH of another user.
        let unshare = programs.find_map(|program| ownership::resolve(&program, Use::Content).ok());
        if let Some(unshare) = unshare {
            let namespace = Self::Namespace { unshare, user };
            let tried = namespace.command(Path::new("true")).stdout(Stdio::null()).stderr(Stdio::null()).status();
            if tried.is_ok_and(|status| status.success()) {
                return Ok(namespace);
            }
        }
        Ok(Self::Other(user))
    }

    /// A command that runs a program as this identity, with a clean environment.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = match self {
            Self::Oneself => Command::new(program),
            Self::Namespace { unshare, user } => {
                let mut command = Command::new(unshare);
                command.arg("--user").arg(format!("--map-user={}", user.uid)).arg(format!("--map-group={}", user.gid));
                command.arg("--").arg(program);
                command
            }
            Self::Other(user) => {
                let mut command = Command::new(program);
                command.uid(user.uid).gid(user.gid);
                command
            }
        };
        command.env_clear().env("LC_ALL", "C").env("PATH", PATH).current_dir("/").stdin(Stdio::null());
        command
    }

    /// A directory this identity can reach, owned by it: `wanted`, or, if another user could not reach that (below a
    /// private home), one under /var/tmp named after it.
    pub fn location(&self, wanted: &Path) -> std::io::Result<PathBuf> {
        let Self::Other(user) = self else { return Ok(wanted.to_owned()) };
        ownership::private_dir(wanted)?;
        let reachable = |dir: &Path| dir.metadata().is_ok_and(|m| m.permissions().mode() & 0o001 != 0);
        let data_dir = wanted.parent().unwrap_or(wanted);
        let within = wanted.join("cluster");
        // A cluster that was created elsewhere stays there.
        let is_elsewhere = wanted.join(LOCATION_FILE).exists() && !within.exists();
        let is_within = !is_elsewhere && data_dir.ancestors().skip(1).all(reachable);
        let location = if is_within { within } else { PathBuf::from(format!("/var/tmp/bio-mcp-{}", token(wanted)?)) };
        if is_within {
            // The other user can pass through both directories, but cannot read them or enter anything else in them.
            for entry in std::fs::read_dir(data_dir)?.chain(std::fs::read_dir(wanted)?) {
                let path = entry?.path();
                if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) && path != location && path != wanted
                {
                    ownership::private_dir(&path)?;
                }
            }
            for dir in [data_dir, wanted] {
                ownership::open_itself(dir, OFlags::DIRECTORY)?.set_permissions(Permissions::from_mode(0o711))?;
            }
            match std::fs::DirBuilder::new().mode(0o700).create(&location) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // Just created, or by a command that was killed then. Its parent directory is root's own.
            let made = ownership::open_itself(&location, OFlags::DIRECTORY)?;
            if made.metadata()?.uid() == users::caller() {
                fchown(made, Some(user.uid), Some(user.gid))?;
            }
        } else if location.symlink_metadata().is_err() {
            self.perform("umask 077 && mkdir -- \"$1\"", &[location.as_os_str()])?;
        }
        let metadata = std::fs::symlink_metadata(&location)?;
        if !metadata.is_dir() || metadata.uid() != user.uid || metadata.mode() & 0o077 != 0 {
            return Err(std::io::Error::other(format!(
                "{} is not a private directory of this user",
                location.display()
            )));
        }
        Ok(location)
    }

    /// Runs a shell script as this identity, with parameters from `$1` on. All changes of files below [`location`] are
    /// made this way: links that its user created there lead only where that user could write anyway.
    ///
    /// [`location`]: RunAs::location
    pub fn perform(&self, script: &str, parameters: &[&OsStr]) -> std::io::Result<()> {
        let mut command = self.command(Path::new("/bin/sh"));
        let output = command.arg("-c").arg(script).arg("sh").args(parameters).stdout(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or("a command failed").trim().to_owned();
        let is_full = said.contains("No space left on device");
        let kind = if is_full { std::io::ErrorKind::StorageFull } else { std::io::ErrorKind::Other };
        Err(std::io::Error::new(kind, said))
    }

    /// The user id that owns the server's files.
    pub fn uid(&self) -> u32 {
        match self {
            Self::Other(user) => user.uid,
            Self::Oneself | Self::Namespace { .. } => rustix::process::geteuid().as_raw(),
        }
    }
}

/// Random name for the location of this directory's cluster; deleted with the directory, so a new directory never uses
/// the cluster of an old one.
fn token(dir: &Path) -> std::io::Result<String> {
    let file = dir.join(LOCATION_FILE);
    if file.symlink_metadata().is_err() {
        let name = shared::core::UnitId::new().0.simple().to_string();
        let new = dir.join(format!("place.{name}"));
        ownership::private_file(&new)?.write_all(name.as_bytes())?;
        // If the link exists, another command has named it first.
        let _ = std::fs::hard_link(&new, &file);
        std::fs::remove_file(new)?;
    }
    let mut token = String::new();
    ownership::open_itself(&file, OFlags::empty())?.take(64).read_to_string(&mut token)?;
    let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { Ok(token) } else { Err(std::io::Error::other("the file `place` was changed")) }
}
