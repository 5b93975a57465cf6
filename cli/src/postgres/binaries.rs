//! Finding Postgres' programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use shared::words::config::Config;

use crate::failure::Failure;

/// The oldest version that has all we use.
const OLDEST: u32 = 14;

/// Where initdb, `pg_ctl` and postgres are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// Their directory.
    pub dir: PathBuf,
    /// Their major version.
    pub major: u32,
}

impl Binaries {
    /// Programs of one version, or of any: what is configured, what made this cluster, what the
    /// project fetched, what the system has.
    pub fn find(config: &Config, recorded: Option<&Path>, major: Option<u32>) -> Result<Self, Failure> {
        let mut candidates: Vec<PathBuf> = Vec::new();
        candidates.extend(config.postgres_bin.clone());
        candidates.extend(recorded.map(Path::to_owned));
        if let Ok(program) = std::env::current_exe() {
            candidates.extend(program.ancestors().map(|dir| dir.join(".tools/postgres/bin")));
        }
        let mut installed: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .collect();
        installed.sort();
        candidates.extend(installed.into_iter().rev());
        candidates.extend(config.path.as_deref().into_iter().flat_map(std::env::split_paths));
        candidates.push("/usr/local/bin".into());
        let found = candidates.iter().filter_map(|dir| Self::at(dir)).find(|found| match major {
            Some(major) => found.major == major,
            None => found.major >= OLDEST,
        });
        found.ok_or_else(|| {
            let version = major.map_or_else(
                || format!("{OLDEST} or newer"),
                |major| format!("{major}, which made this data directory,"),
            );
            Failure::database(format!(
                "no PostgreSQL {version} found: run `make setup`, install PostgreSQL, set BIO_MCP_POSTGRES_BIN to its \
                 directory of programs, or use a server with BIO_MCP_DATABASE_URL"
            ))
        })
    }

    fn at(dir: &Path) -> Option<Self> {
        // Through links: Debian links some programs into /usr/local/bin, but initdb wants its siblings.
        let dir = std::fs::canonicalize(dir.join("initdb")).ok()?.parent()?.to_owned();
        if !["initdb", "pg_ctl", "postgres"].iter().all(|program| dir.join(program).is_file()) {
            return None;
        }
        let version = std::process::Command::new(dir.join("postgres")).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&version.stdout).into_owned();
        let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let major = number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        Some(Self { dir, major })
    }

    /// A program of this version.
    pub fn program(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.dir.join(name.as_ref())
    }
}
