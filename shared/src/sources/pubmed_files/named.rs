//! Files named by their job: bulk files of NCBI's server, downloaded by the worker that reads them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::PubmedFiles;
use crate::core::{ErrorCode, UnitId};
use crate::ingest::{NewUnit, Plan, UnitError};
use crate::pubmed::bulk_file;
use crate::pubmed::download::{DownloadError, Downloaded, make_folder};

/// Maximum number of files of one job, for which its time limit is sufficient. Submit more as several jobs.
pub const MAX_FILES: usize = 100;

/// Parameters of a job over files of NCBI's server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedParams {
    /// Names of the files, ascending and distinct.
    pub files: Vec<String>,
}

/// The file that a unit downloads and reads. Its MD5 is downloaded too, and stored in the unit's cursor: a unit that
/// resumes must read the same bytes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NamedFile {
    pub name: String,
}

/// Approximate size of a file whose size is unknown: those of a baseline have 15 to 25 megabytes.
const USUAL_FILE_BYTES: u64 = 20 << 20;

/// A list of names is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// No name, or too many.
    #[error("must be 1 to {MAX_FILES} files: submit more as several jobs, one after another, oldest first")]
    Count,
    /// Not the name of a bulk file.
    #[error("must be the name of a bulk file such as pubmed26n0001.xml.gz")]
    Name(usize),
}

impl NamedParams {
    /// Checks names.
    pub fn new(mut files: Vec<String>) -> Result<Self, NamesError> {
        if files.is_empty() || files.len() > MAX_FILES {
            return Err(NamesError::Count);
        }
        let is_other = |name: &String| bulk_file::number(name).is_none() || !name.ends_with(".xml.gz");
        if let Some(n) = files.iter().position(is_other) {
            return Err(NamesError::Name(n));
        }
        files.sort();
        files.dedup();
        Ok(Self { files })
    }
}

/// One unit per file; if the server lists its folders, all files must be in them.
pub(super) async fn plan(pipeline: &PubmedFiles, params: &NamedParams) -> Result<Plan, UnitError> {
    let listing = pipeline.server.list(&params.files).await.map_err(|error| unit_error(&error))?;
    let mut bytes_total = 0;
    let mut units = Vec::with_capacity(params.files.len());
    for name in &params.files {
        bytes_total += match &listing {
            None => USUAL_FILE_BYTES,
            Some(listing) => match listing.size_of(name) {
                None => return Err(unit_error(&DownloadError::NotThere(name.clone()))),
                Some(0) => USUAL_FILE_BYTES,
                Some(size) => size,
            },
        };
        let input = json!(NamedFile { name: name.clone() });
        units.push(NewUnit { input, label: Some(name.clone()), required_hostname: None });
    }
    Ok(Plan {
        units,
        work_total: i64::try_from(bytes_total).unwrap_or(i64::MAX),
        external_version: params.files.join(",").chars().take(200).collect(),
        is_whole: true,
        ..Plan::default()
    })
}

/// A downloaded file; removed when it is dropped.
pub(super) struct Fetched {
    dir: PathBuf,
    pub file: Downloaded,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Downloads the file of a unit into a separate folder. `expected` is the MD5 of the file that an earlier attempt read.
pub(super) async fn fetch(
    pipeline: &PubmedFiles,
    unit: UnitId,
    file: &NamedFile,
    expected: Option<&str>,
) -> Result<Fetched, UnitError> {
    let dir = pipeline.settings.downloads.join(unit.to_string());
    let made = |dir: &Path| {
        make_folder(&pipeline.settings.downloads)?;
        // Files of an attempt that was killed.
        let _ = std::fs::remove_dir_all(dir);
        std::fs::create_dir_all(dir)
    };
    made(&dir)
        .map_err(|source| unit_error(&DownloadError::Disk { path: "the folder for downloads".to_owned(), source }))?;
    match pipeline.server.download(&file.name, &dir).await {
        Ok(downloaded) if expected.is_none_or(|sum| downloaded.md5 == sum) => Ok(Fetched { dir, file: downloaded }),
        Ok(_) => {
            let _ = std::fs::remove_dir_all(&dir);
            let message = format!("{} has changed at NCBI since the job began: submit it again", file.name);
            Err(UnitError::permanent(ErrorCode::ValidationError, message))
        }
        Err(error) => {
            let _ = std::fs::remove_dir_all(&dir);
            Err(unit_error(&error))
        }
    }
}

/// The unit error of a failed download.
fn unit_error(error: &DownloadError) -> UnitError {
    let message = crate::observability::chain(error);
    match error {
        DownloadError::Name(_) | DownloadError::NotThere(_) => {
            UnitError::permanent(ErrorCode::ValidationError, message)
        }
        DownloadError::Disk { .. } => UnitError::Blocked { code: ErrorCode::ArchiveError, message },
        DownloadError::Server { .. } | DownloadError::WrongMd5 { .. } | DownloadError::SideFile { .. } => {
            UnitError::Failed { code: ErrorCode::PubmedError, message, retry: true }
        }
    }
}
