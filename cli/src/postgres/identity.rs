//! As whom Postgres runs: it refuses to be root.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use shared::words::config::Config;

/// As whom the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// As the user who runs this program.
    Oneself,
    /// As root seen as another user, in a user namespace: its files stay root's.
    Namespace {
        /// The program `unshare`.
        unshare: PathBuf,
        /// The user it seems to be.
        user: User,
    },
    /// As an existing unprivileged user.
    Other(User),
}

/// A user of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    uid: u32,
    gid: u32,
}

impl Identity {
    /// What works here.
    pub fn find(config: &Config) -> Result<Self, &'static str> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Oneself);
        }
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = ["postgres", "nobody"].iter().find_map(|name| user(&users, name));
        let user =
            user.ok_or("this is root, and there is neither a user postgres nor nobody for Postgres to run as")?;
        let directories = config.path.as_deref().into_iter().flat_map(std::env::split_paths);
        let unshare = directories.map(|dir| dir.join("unshare")).find(|program| program.is_file());
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
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/").stdin(Stdio::null());
        command
    }

    /// A directory this identity can reach, owned by it: `wanted`, or, where another user could not
    /// get there (below a private home), one under /var/tmp named after it.
    pub fn place(&self, wanted: &Path) -> std::io::Result<PathBuf> {
        let Self::Other(user) = self else { return Ok(wanted.to_owned()) };
        std::fs::create_dir_all(wanted)?;
        let reachable = |dir: &Path| dir.metadata().is_ok_and(|m| m.permissions().mode() & 0o001 != 0);
        let place = if wanted.ancestors().skip(1).all(reachable) {
            wanted.join("cluster")
        } else {
            PathBuf::from(format!("/var/tmp/bio-mcp-{}", token(wanted)?))
        };
        match std::fs::create_dir(&place) {
            Ok(()) => {
                std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o700))?;
                chown(&place, Some(user.uid), Some(user.gid))?;
            }
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {
                let metadata = std::fs::symlink_metadata(&place)?;
                if !metadata.is_dir() || metadata.uid() != user.uid || metadata.mode() & 0o077 != 0 {
                    return Err(std::io::Error::other(format!(
                        "{} is not a private directory of ours",
                        place.display()
                    )));
                }
            }
        }
        // `wanted` itself must let the other user through.
        if place.starts_with(wanted) {
            std::fs::set_permissions(wanted, std::fs::Permissions::from_mode(0o711))?;
        }
        Ok(place)
    }

    /// The user id that owns its files.
    pub fn uid(&self) -> u32 {
        match self {
            Self::Other(user) => user.uid,
            Self::Oneself | Self::Namespace { .. } => rustix::process::geteuid().as_raw(),
        }
    }

    /// Makes a directory owned by this identity, mode 0700.
    pub fn make_private_dir(&self, dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
        if let Self::Other(user) = self {
            chown(dir, Some(user.uid), Some(user.gid))?;
        }
        Ok(())
    }
}

/// Names the place of this directory's cluster; gone with the directory, so a new directory never
/// meets the cluster of an old one.
fn token(dir: &Path) -> std::io::Result<String> {
    let file = dir.join("place");
    if !file.exists() {
        let new = dir.join("place.new");
        std::fs::write(&new, shared::words::UnitId::new().0.simple().to_string())?;
        // The first process has named it.
        let _ = std::fs::hard_link(&new, &file);
        std::fs::remove_file(new)?;
    }
    let token = std::fs::read_to_string(file)?;
    let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { Ok(token) } else { Err(std::io::Error::other("the file `place` was changed")) }
}

fn user(passwd: &str, name: &str) -> Option<User> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (uid != 0).then_some(User { uid, gid })
}
