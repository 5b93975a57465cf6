//! The data directory: found upwards like `.git`, made only by commands that write.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use shared::words::config::Config;

use crate::failure::Failure;

/// Its name where none is given.
const NAME: &str = ".bio-mcp";

/// A data directory, as an absolute path.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The data directory that is there.
    pub fn find(given: Option<&Path>) -> Result<Self, Failure> {
        let found = match given {
            Some(dir) => dir.is_dir().then(|| dir.to_owned()),
            None => std::env::current_dir()?.ancestors().map(|dir| dir.join(NAME)).find(|dir| dir.is_dir()),
        };
        let place = given.map_or_else(|| "this folder or any above".to_owned(), |dir| dir.display().to_string());
        let found = found.ok_or_else(|| {
            Failure::not_found(format!(
                "no archive in {place}: `bio-mcp ingest FILE` or `bio-mcp sync QUERY` makes one, or name one with --data-dir"
            ))
        })?;
        Ok(Self(fs::canonicalize(found)?))
    }

    /// The data directory that is there, or a new one.
    pub fn find_or_create(given: Option<&Path>) -> Result<Self, Failure> {
        if let Ok(found) = Self::find(given) {
            return Ok(found);
        }
        let dir = given.map_or_else(|| PathBuf::from(NAME), Path::to_owned);
        let created = fs::DirBuilder::new().recursive(true).mode(0o755).create(&dir);
        created
            .map_err(|error| Failure::usage(format!("cannot create the data directory {}: {error}", dir.display())))?;
        Ok(Self(fs::canonicalize(dir)?))
    }

    /// For what only reads NCBI: the one that is there, or a new one when there is a database, because
    /// all who share it keep one pace.
    pub fn of_search(given: Option<&Path>, config: &Config) -> Result<Self, Failure> {
        if config.database.is_given() { Self::find_or_create(given) } else { Self::find(given) }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where objects are, unless configured elsewhere.
    pub fn archive(&self) -> PathBuf {
        self.0.join("archive")
    }

    /// Where the private Postgres is.
    pub fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }

    /// Where downloaded files are.
    pub fn downloads(&self) -> PathBuf {
        self.0.join("downloads")
    }

    /// Where the workers of this machine hold their locks.
    pub fn workers(&self) -> PathBuf {
        self.0.join("workers")
    }
}
