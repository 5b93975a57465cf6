//! Data directories that this user created, or named, on this machine.
//!
//! A data directory can be part of a download, and then it belongs to the user who unpacked it: its owner says nothing
//! about who wrote it, and the database in it can run programs. So a data directory that is found, and not named, is
//! used only if a file in this user's own state directory has its path and the secret that is in it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use shared::config::Config;
use shared::core::{Sha256, UnitId};
use shared::file_lock;

use crate::{ownership, users};

/// The file with the secret in a data directory.
const SECRET: &str = "id";

/// Larger than any secret.
const MAX_SECRET_BYTES: u64 = 256;

/// How long to wait for another command that writes here.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(30);

/// The state directories of this user in which a directory can be recorded; the first writable one is used.
#[derive(Debug)]
pub struct KnownDirs(Vec<PathBuf>);

impl KnownDirs {
    /// Below `XDG_STATE_HOME`, `HOME`, or the home directory of the user's entry; none that another user can change, as
    /// with the environment of another user in `sudo`.
    pub fn new(config: &Config) -> Self {
        let below_home = |home: PathBuf| home.join(".local/state");
        let homes = [
            config.state_home.clone(),
            config.home.clone().map(below_home),
            users::by_id(users::caller()).map(|user| below_home(user.home)),
        ];
        let homes = homes.into_iter().flatten().filter(|home| home.is_absolute());
        Self(
            homes
                .map(|home| home.join("bio-mcp/data-dirs"))
                .filter(|dir| ownership::resolve_existing(dir).is_ok())
                .collect(),
        )
    }

    /// Whether this user created or named this directory.
    pub fn has(&self, data_dir: &Path) -> bool {
        self.0.iter().any(|dir| is_remembered(dir, data_dir))
    }

    /// Records a directory: from now on it is used when it is found.
    pub fn remember(&self, data_dir: &Path) -> io::Result<()> {
        if self.has(data_dir) {
            return Ok(());
        }
        self.locked(|dir| {
            if is_remembered(dir, data_dir) {
                return Ok(());
            }
            remember(dir, data_dir, data_dir)
        })
    }

    /// Creates a directory that is recorded before it gets its name, so that every command that finds it uses it. An
    /// existing one is not changed.
    pub fn create(&self, data_dir: &Path) -> io::Result<()> {
        self.locked(|dir| {
            if data_dir.symlink_metadata().is_ok() {
                return Ok(());
            }
            let unfinished = beside(data_dir);
            fs::DirBuilder::new().mode(0o700).create(&unfinished)?;
            remember(dir, &unfinished, data_dir)?;
            fs::rename(&unfinished, data_dir)
        })
    }

    /// Runs `act` on the first writable state directory, with a lock against other commands.
    fn locked(&self, act: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
        let mut failed = io::Error::other("this user has no state directory of its own: set XDG_STATE_HOME");
        for dir in &self.0 {
            match lock(dir) {
                Ok(_lock) => return act(dir),
                Err(error) => failed = io::Error::new(error.kind(), format!("{}: {error}", dir.display())),
            }
        }
        Err(failed)
    }
}

fn lock(dir: &Path) -> io::Result<File> {
    if let Some(above) = dir.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(above)?;
    }
    ownership::private_dir(dir)?;
    let path = dir.join("lock");
    let file = ownership::lock_file(&path)?;
    file_lock::lock(&file, &path, file_lock::Mode::Exclusive, MAX_LOCK_WAIT).map_err(io::Error::other)?;
    Ok(file)
}

/// Writes a new secret to both: the one that came with a directory is not reused.
fn remember(dir: &Path, data_dir: &Path, path: &Path) -> io::Result<()> {
    let secret = UnitId::new().0.simple().to_string();
    write_new(&data_dir.join(SECRET), &secret)?;
    write_new(&entry(dir, path), &format!("{secret} {}", path.display()))
}

/// Another name in the same directory.
fn beside(path: &Path) -> PathBuf {
    path.with_added_extension(UnitId::new().0.simple().to_string())
}

/// Writes a file under a temporary name and renames it: an existing file is replaced, not written through.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = beside(path);
    ownership::private_file(&unfinished)?.write_all(text.as_bytes())?;
    fs::rename(unfinished, path)
}

fn entry(dir: &Path, data_dir: &Path) -> PathBuf {
    dir.join(Sha256::of(data_dir.as_os_str().as_bytes()).to_hex())
}

fn is_remembered(dir: &Path, data_dir: &Path) -> bool {
    let own = |file: &File| file.metadata().is_ok_and(|metadata| metadata.uid() == users::caller());
    let secret = first_word(&data_dir.join(SECRET), |_| true);
    secret.is_some() && secret == first_word(&entry(dir, data_dir), own)
}

fn first_word(path: &Path, is_fine: impl Fn(&File) -> bool) -> Option<String> {
    let file = ownership::open_itself(path, OFlags::empty()).ok().filter(is_fine)?;
    let mut bytes = Vec::new();
    file.take(MAX_SECRET_BYTES).read_to_end(&mut bytes).ok()?;
    String::from_utf8_lossy(&bytes).split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
#[expect(clippy::print_stderr, reason = "a test says what it leaves out")]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn known(state_home: &Path, home: &Path) -> KnownDirs {
        let text = |path: &Path| path.to_str().map(str::to_owned);
        let config = Config::read(&[], |name| match name {
            "XDG_STATE_HOME" => text(state_home),
            "HOME" => text(home),
            _ => None,
        });
        KnownDirs::new(&config.expect("no settings"))
    }

    #[test]
    fn only_what_was_made_or_named_here_is_known() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let known = known(&dir.path().join("state"), dir.path());
        let path = |name: &str| dir.path().join(name);
        known.create(&path("made")).expect("made");
        assert!(known.has(&path("made")));
        known.create(&path("made")).expect("it is left as it is");
        fs::create_dir(path("named")).expect("made");
        assert!(!known.has(&path("named")));
        known.remember(&path("named")).expect("written");
        assert!(known.has(&path("named")));
        // With the secret of a known directory, or with a different one.
        fs::create_dir(path("planted")).expect("made");
        fs::copy(path("made/id"), path("planted/id")).expect("copied");
        assert!(!known.has(&path("planted")));
        known.remember(&path("planted")).expect("written");
        let secret = |name: &str| fs::read_to_string(path(name).join("id")).expect("there");
        assert!(known.has(&path("planted")) && secret("planted") != secret("made"));
        // Another directory at its path.
        fs::remove_dir_all(path("made")).expect("removed");
        fs::rename(path("named"), path("made")).expect("moved");
        assert!(!known.has(&path("made")) && !known.has(&path("named")));
        let mode = |path: PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(path("state/bio-mcp/data-dirs")), mode(path("made/id"))), (0o700, 0o600));
    }

    #[test]
    fn nothing_is_remembered_where_another_user_could_change_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        for name in ["own", "open", "theirs"] {
            fs::create_dir(path(name)).expect("made");
        }
        fs::set_permissions(path("open"), Permissions::from_mode(0o777)).expect("opened");
        let is_used = |known: &KnownDirs, name: &str| known.0.iter().any(|dir| dir.starts_with(path(name)));
        let known_open = known(&path("open"), &path("own"));
        assert!(!is_used(&known_open, "open") && is_used(&known_open, "own"));
        assert!(!is_used(&known(&path("own"), &path("open/below")), "open"));
        assert!(known(Path::new("relative"), Path::new("relative")).0.iter().all(|dir| dir.is_absolute()));
        if users::is_root() {
            std::os::unix::fs::chown(path("theirs"), Some(1), None).expect("given away");
            let known = known(&path("theirs"), &path("theirs"));
            assert!(!is_used(&known, "theirs"), "as in `sudo`, with the environment of another user");
        } else {
            eprintln!("SKIPPED in part: only root gives a directory to another user");
        }
    }
}
