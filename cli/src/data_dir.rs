//! The data directory: found upwards like `.git`, created only by commands that write.
//!
//! A directory that the caller names is used if it is the caller's own and is a data directory, new or empty: a
//! directory with other content is not changed, nor is its mode. A directory that is found must also be one that no
//! other user can replace, and one that the caller created or named before: see [`KnownDirs`].

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use shared::config::Config;

use crate::failure::{CliError, Exit};
use crate::known_dirs::KnownDirs;
use crate::ownership::{self, Untrusted, Use};
use crate::users;

/// Name of a data directory that is not named by the caller.
const NAME: &str = ".bio-mcp";

/// Marks a data directory that was named: its content belongs to this program.
const MARK: &str = "bio-mcp-data";

/// What this program creates in a data directory.
const PARTS: [&str; 8] = [MARK, "id", "archive", "postgres", "workers", "downloads", "samples", "made-by-demo"];

/// Name of the demo's data directory.
pub const DEMO: &str = ".bio-mcp-demo";

/// A data directory, as an absolute path.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The existing data directory.
    pub fn find(given: Option<&Path>, config: &Config) -> Result<Self, CliError> {
        let found = match given {
            Some(dir) => match Content::of(dir)? {
                Content::Ours => Some(Self::named(dir, config)?),
                Content::Nothing => None,
                Content::Other(name) => return Err(not_ours(dir, &name)),
            },
            None => std::env::current_dir()?
                .ancestors()
                .map(|dir| dir.join(NAME))
                .find(|dir| dir.is_dir())
                .map(|dir| Self::found(&dir, config))
                .transpose()?,
        };
        let place = given.map_or_else(|| "this directory or any parent".to_owned(), |dir| dir.display().to_string());
        found.ok_or_else(|| {
            CliError::not_found(format!(
                "no archive in {place}: create one with `bio-mcp ingest FILE` or `bio-mcp sync QUERY`, or name one \
                 with --data-dir"
            ))
        })
    }

    /// The existing data directory, or a new one.
    pub fn find_or_create(given: Option<&Path>, config: &Config) -> Result<Self, CliError> {
        match (Self::find(given, config), given) {
            (Err(failure), Some(dir)) if failure.exit == Exit::NotFound => Self::create_named(dir, config),
            (Err(failure), None) if failure.exit == Exit::NotFound => {
                Self::create(&std::env::current_dir()?.join(NAME), config)
            }
            (found, _) => found,
        }
    }

    /// For commands that only read NCBI: the existing one, or a new one if there is a database, because all its users
    /// share one rate limit. None if there is none, and if the one that is found is refused.
    pub fn of_search(given: Option<&Path>, config: &Config) -> Result<Option<Self>, CliError> {
        let found =
            if config.database.is_given() { Self::find_or_create(given, config) } else { Self::find(given, config) };
        match found {
            Err(failure) if failure.exit == Exit::NotFound => Ok(None),
            Err(failure) if given.is_none() => {
                tracing::warn!(message = failure.message, "searching without an archive");
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    /// A directory that was found, not named by the caller.
    pub fn found(dir: &Path, config: &Config) -> Result<Self, CliError> {
        let shown = dir.display();
        let refused = |why: &dyn std::fmt::Display| {
            CliError::usage(format!(
                "{shown} is not used: {why}; if you trust its contents (its database can run programs as you), name \
                 it: `bio-mcp --data-dir {shown} status`"
            ))
        };
        let resolved = ownership::resolve(dir, Use::Content).map_err(|untrusted| refused(&untrusted))?;
        if !KnownDirs::new(config).has(&resolved) {
            return Err(refused(&"this user neither created nor named it on this machine"));
        }
        Self::own(resolved)
    }

    /// Creates a directory that the caller did not name, at an absolute path; from now on it is found there.
    pub fn create(dir: &Path, config: &Config) -> Result<Self, CliError> {
        let refused = |why: &dyn std::fmt::Display| {
            CliError::usage(format!(
                "cannot create the data directory {}: {why}; choose another with --data-dir",
                dir.display()
            ))
        };
        let above = dir.parent().unwrap_or(dir);
        ownership::resolve(above, Use::Parent).map_err(|untrusted| refused(&untrusted))?;
        KnownDirs::new(config).create(dir).map_err(|error| CliError::disk(&error, refused(&error).message))?;
        Self::found(dir, config)
    }

    /// A directory that the caller names is trusted.
    pub fn named(dir: &Path, config: &Config) -> Result<Self, CliError> {
        let dir = fs::canonicalize(dir)?;
        let data_dir = Self::own(dir)?;
        // Only directories that programs search for must be known.
        let name = data_dir.0.file_name();
        if name.is_some_and(|name| name == NAME || name == DEMO)
            && let Err(error) = KnownDirs::new(config).remember(&data_dir.0)
        {
            tracing::debug!(%error, "this data directory must be named again next time");
        }
        Ok(data_dir)
    }

    fn create_named(dir: &Path, config: &Config) -> Result<Self, CliError> {
        let refused = |why: &dyn std::fmt::Display| {
            CliError::usage(format!("cannot create the data directory {}: {why}", dir.display()))
        };
        let failed = |error: std::io::Error| CliError::disk(&error, refused(&error).message);
        if users::is_root() {
            ownership::resolve_existing(dir).map_err(|untrusted| refused(&untrusted))?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let dir = fs::canonicalize(dir)?;
        // An existing empty directory may be shared with other users.
        let (_, metadata) = Self::checked(&dir)?;
        if metadata.uid() == users::caller() && metadata.mode() & 0o1000 != 0 {
            return Err(refused(&"it is shared by all users: name a new directory in it"));
        }
        ownership::private_file(&dir.join(MARK)).map_err(failed)?;
        Self::named(&dir, config)
    }

    /// Uses a directory of this program that is the caller's own, and removes the access of other users; a refused
    /// directory is not changed.
    fn own(dir: PathBuf) -> Result<Self, CliError> {
        let (file, metadata) = Self::checked(&dir)?;
        // A container's volume can be root's and writable: what is created in it is the caller's own.
        if metadata.uid() != 0 || users::is_root() {
            ownership::tighten(&file, 0o700).map_err(|error| not_of_this_user(&dir, &error))?;
            // Another user may have created something in it before.
            Self::checked(&dir)?;
        }
        Ok(Self(dir))
    }

    /// Opens the directory if it and its entries are the caller's own or root's. For root, its parents are checked as
    /// well: root never writes where another user decides what is written.
    fn checked(dir: &Path) -> Result<(File, Metadata), CliError> {
        let refused = |why: &dyn std::fmt::Display| not_of_this_user(dir, why);
        let file = ownership::open_itself(dir, OFlags::DIRECTORY).map_err(|error| refused(&error))?;
        let metadata = file.metadata()?;
        let is_foreign = |owner: u32| owner != 0 && owner != users::caller();
        if is_foreign(metadata.uid()) {
            return Err(refused(&format!("it belongs to another user ({})", users::label(metadata.uid()))));
        }
        if users::is_root() {
            let above = dir.parent().unwrap_or(dir);
            ownership::resolve(above, Use::Parent).map_err(|untrusted| refused(&untrusted))?;
        }
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            // Another command may have removed it.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let owner = metadata.uid();
            if is_foreign(owner) {
                return Err(refused(&Untrusted::Owner { path, owner }));
            }
            if users::is_root() && metadata.is_symlink() {
                ownership::resolve(&path, Use::Parent).map_err(|untrusted| refused(&untrusted))?;
            }
        }
        Ok((file, metadata))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Directory of the objects, unless configured otherwise.
    pub fn archive(&self) -> PathBuf {
        self.0.join("archive")
    }

    /// Directory of the private Postgres.
    pub fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }

    pub fn downloads(&self) -> PathBuf {
        self.0.join("downloads")
    }

    /// Directory of the locks of this machine's workers.
    pub fn workers(&self) -> PathBuf {
        self.0.join("workers")
    }
}

/// Content of a directory that the caller names.
enum Content {
    /// The directory does not exist or is empty.
    Nothing,
    /// A data directory of this program.
    Ours,
    /// Something else, such as this entry.
    Other(String),
}

impl Content {
    fn of(dir: &Path) -> Result<Self, CliError> {
        if !dir.is_dir() {
            return Ok(Self::Nothing);
        }
        let unreadable = |error: std::io::Error| CliError::usage(format!("cannot read {}: {error}", dir.display()));
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
            // Every new ext file system has it.
            if name != "lost+found" {
                names.push(name);
            }
        }
        let has = |name: &str| names.iter().any(|other| other == name);
        // Earlier versions created no mark, but always these two directories.
        if has(MARK) || (has("workers") && has("downloads")) {
            return Ok(Self::Ours);
        }
        // Parts of a data directory: a restored archive, or an interrupted creation.
        let other = names.iter().find(|name| !PARTS.iter().any(|part| name.split('.').next() == Some(*part)));
        Ok(match other {
            Some(name) => Self::Other(name.clone()),
            None if names.is_empty() => Self::Nothing,
            None => Self::Ours,
        })
    }
}

fn not_ours(dir: &Path, name: &str) -> CliError {
    CliError::usage(format!(
        "{} is not a data directory of bio-mcp: it contains {}; name a new or an empty directory",
        dir.display(),
        shared::observability::terminal::plain(name)
    ))
}

fn not_of_this_user(dir: &Path, why: &dyn std::fmt::Display) -> CliError {
    CliError::usage(format!(
        "{} cannot be the data directory of this user: {why}; run this command as its owner, or choose another --data-dir",
        dir.display()
    ))
}
