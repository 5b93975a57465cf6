//! Finds Postgres' programs: in directories that are configured, or that no other user can change. The content of a
//! data directory never decides what is run.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use shared::config::Config;

use super::identity::RunAs;
use crate::failure::CliError;
use crate::ownership::{self, Untrusted, Use};
use crate::users;

/// The oldest version with all the features that are used.
const OLDEST: u32 = 14;

/// The programs that are used.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Directory of initdb, `pg_ctl` and postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    pub dir: PathBuf,
    /// Major version of the programs.
    pub major: u32,
}

/// A directory that may contain the programs.
struct Candidate {
    dir: PathBuf,
    /// Whether the caller named it, and so decided to run its programs.
    is_named: bool,
}

impl Binaries {
    /// Finds programs of one version, or of any: configured, fetched by the project, or installed in the system.
    pub fn find(config: &Config, identity: &RunAs, major: Option<u32>) -> Result<Self, CliError> {
        let mut refused = Vec::new();
        for candidate in candidates(config) {
            match Self::at(&candidate, identity) {
                Ok(Some(found)) if major.map_or(found.major >= OLDEST, |major| found.major == major) => {
                    return Ok(found);
                }
                Ok(_) => {}
                Err(untrusted) => refused.push((candidate.dir, untrusted)),
            }
        }
        let version = major.map_or_else(
            || format!("{OLDEST} or newer"),
            |major| format!("{major}, which created this data directory,"),
        );
        let mut message = format!(
            "no PostgreSQL {version} found: run `make setup`, install PostgreSQL, set BIO_MCP_POSTGRES_BIN to its bin \
             directory, or use a server with BIO_MCP_DATABASE_URL"
        );
        for (dir, untrusted) in refused {
            // Writing to a `String` cannot fail.
            let _ = write!(message, "; {} is not used: {untrusted}", dir.display());
        }
        Err(CliError::database(message))
    }

    /// The programs of a directory, if they exist and their version can be read.
    fn at(candidate: &Candidate, identity: &RunAs) -> Result<Option<Self>, Untrusted> {
        let dir = &candidate.dir;
        if !dir.is_absolute() || !PROGRAMS.iter().all(|program| dir.join(program).is_file()) {
            return Ok(None);
        }
        // Resolves links: Debian links some programs into /usr/local/bin, but initdb needs its sibling programs.
        let dir = if candidate.is_named {
            std::fs::canonicalize(dir.join(PROGRAMS[0])).map_err(|reason| Untrusted::Io { path: dir.clone(), reason })
        } else {
            ownership::resolve(&dir.join(PROGRAMS[0]), Use::Content)
        }?;
        let Some(dir) = dir.parent().map(Path::to_owned) else { return Ok(None) };
        for program in PROGRAMS {
            if !dir.join(program).is_file() {
                return Ok(None);
            }
            if !candidate.is_named {
                ownership::resolve(&dir.join(program), Use::Content)?;
            }
        }
        Ok(major(identity, &dir.join("postgres")).map(|major| Self { dir, major }))
    }

    /// A program of this version.
    pub fn program(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.dir.join(name.as_ref())
    }
}

fn candidates(config: &Config) -> Vec<Candidate> {
    let candidate = |is_named: bool| move |dir: PathBuf| Candidate { dir, is_named };
    let beside_program = std::env::current_exe().ok();
    let beside_program: Vec<PathBuf> = beside_program
        .iter()
        .flat_map(|program| program.ancestors().skip(1).map(|dir| dir.join(".tools/postgres/bin")))
        .collect();
    let mut installed: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    installed.sort();
    let path = config.path.as_deref().into_iter().flat_map(std::env::split_paths);
    let named = config.postgres_bin.iter().filter_map(|dir| std::path::absolute(dir).ok()).map(candidate(true));
    named
        .chain(beside_program.into_iter().map(candidate(false)))
        .chain(installed.into_iter().rev().map(candidate(false)))
        // Users trust the programs in their PATH; root may have the PATH of another user.
        .chain(path.map(candidate(!users::is_root())))
        .chain(["/usr/local/bin".into()].map(candidate(false)))
        .collect()
}

/// The version that a program reports, run without this process's environment.
fn major(identity: &RunAs, postgres: &Path) -> Option<u32> {
    let version = identity.command(postgres).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&version.stdout).into_owned();
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
