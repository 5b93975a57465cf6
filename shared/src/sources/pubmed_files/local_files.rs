//! Files on this machine's disk: registered by name, size and hash before a job names them, and checked again before a
//! worker reads them.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::FileRef;
use crate::core::ErrorCode;
use crate::db::DbError;
use crate::ingest::UnitError;
use crate::pubmed::bulk_file;
use crate::pubmed::source::{FileError, FileSource, checked_fingerprint, fingerprint};

/// A registered file.
#[derive(Clone, Debug)]
pub struct Registered {
    /// How jobs name it.
    pub file: FileRef,
    /// Whether an `.md5` file next to it existed and matched.
    pub md5_verified: bool,
}

/// A file cannot be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        path: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// It is not a file of records.
    #[error("{path}")]
    NotRecords { path: String, source: FileError },
    /// It is damaged at an unknown position.
    #[error("{path}: no record of the file is archived")]
    Damaged { path: String, source: FileError },
    /// Its sum is not the one in its `.md5` file.
    #[error("{path} has the MD5 {found}, but its .md5 file says {expected}: fetch it again")]
    WrongMd5 {
        path: String,
        /// From the `.md5` file.
        expected: String,
        /// Of the bytes.
        found: String,
    },
    /// The `.md5` file is invalid.
    #[error("{path}.md5 cannot be used")]
    SideFile { path: String, source: bulk_file::SideFileError },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Reads a file once and registers it. It must match its `.md5` file; without one, gzip data must match their own
/// checksums, to the end: damaged files are refused before any record is archived.
pub async fn register(
    db: &PgPool,
    hostname: &str,
    path: &Path,
    max_file_bytes: u64,
) -> Result<Registered, RegisterError> {
    let shown = path.display().to_string();
    let unreadable = |source| RegisterError::Unreadable { path: shown.clone(), source };
    let path = std::fs::canonicalize(path).map_err(unreadable)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Reports immediately that a file is not gzip although its name says so.
    FileSource::open(&path, max_file_bytes).map_err(|source| match source {
        FileError::Io(source) => RegisterError::Unreadable { path: shown.clone(), source },
        source => RegisterError::NotRecords { path: shown.clone(), source },
    })?;
    let side_path = PathBuf::from(format!("{}.md5", path.display()));
    let expected = match std::fs::read_to_string(&side_path) {
        Ok(text) => Some(
            bulk_file::side_file_md5(&text, &name)
                .map_err(|source| RegisterError::SideFile { path: shown.clone(), source })?,
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(RegisterError::Unreadable { path: side_path.display().to_string(), source }),
    };
    let modified_at = modified_at(&path).map_err(unreadable)?;
    let (read, with_md5) = (path.clone(), expected.is_some());
    let reading = tokio::task::spawn_blocking(move || {
        if with_md5 {
            fingerprint(&read, true).map_err(FileError::Io)
        } else {
            checked_fingerprint(&read, max_file_bytes)
        }
    });
    let print = reading.await.map_err(|error| unreadable(std::io::Error::other(error)))?;
    let print = print.map_err(|source| match source {
        FileError::Io(source) => unreadable(source),
        source => RegisterError::Damaged { path: shown.clone(), source },
    })?;
    if let (Some(expected), Some(found)) = (&expected, &print.md5)
        && expected != found
    {
        return Err(RegisterError::WrongMd5 { path: shown, expected: expected.clone(), found: found.clone() });
    }
    let file = FileRef { name, size_bytes: print.size_bytes, sha256: print.sha256, as_of: None };
    sqlx::query(
        "insert into local_files (hostname, sha256, name, size_bytes, path, modified_at, md5_verified) \
         values ($1, $2, $3, $4, $5, $6, $7) \
         on conflict (hostname, sha256, name) do update \
         set path = excluded.path, modified_at = excluded.modified_at, md5_verified = excluded.md5_verified",
    )
    .bind(hostname)
    .bind(&file.sha256)
    .bind(&file.name)
    .bind(i64::try_from(file.size_bytes).unwrap_or(i64::MAX))
    .bind(path.display().to_string())
    .bind(modified_at)
    .bind(expected.is_some())
    .execute(db)
    .await
    .map_err(DbError::from)?;
    Ok(Registered { file, md5_verified: expected.is_some() })
}

/// Path of a registered file, after checking that it is still that file.
pub async fn resolve(db: &PgPool, hostname: &str, file: &FileRef) -> Result<PathBuf, UnitError> {
    let found: Option<(String, DateTime<Utc>)> =
        sqlx::query_as("select path, modified_at from local_files where hostname = $1 and sha256 = $2 and name = $3")
            .bind(hostname)
            .bind(&file.sha256)
            .bind(&file.name)
            .fetch_optional(db)
            .await?;
    let gone =
        |why: &str| UnitError::permanent(ErrorCode::ValidationError, format!("{}: {why}: submit it again", file.name));
    let Some((path, registered_at)) = found else { return Err(gone("the file is not registered on this machine")) };
    let path = PathBuf::from(path);
    let metadata = std::fs::metadata(&path).map_err(|_| gone("the file is no longer where it was"))?;
    let same_time = modified_at(&path).is_ok_and(|at| at == registered_at);
    if metadata.len() == file.size_bytes && same_time {
        return Ok(path);
    }
    let print =
        tokio::task::block_in_place(|| fingerprint(&path, false)).map_err(|_| gone("the file cannot be read"))?;
    if print.sha256 == file.sha256 { Ok(path) } else { Err(gone("the file has changed since it was submitted")) }
}

/// Only to detect a change of the file; never part of a record's order. In microseconds, the precision of the database.
fn modified_at(path: &Path) -> std::io::Result<DateTime<Utc>> {
    let modified = DateTime::<Utc>::from(std::fs::metadata(path)?.modified()?);
    Ok(DateTime::from_timestamp_micros(modified.timestamp_micros()).unwrap_or_default())
}
