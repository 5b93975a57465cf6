//! `pubmed.ingest_files`: files of PubMed records into the archive, one work unit per file.
//!
//! Stages of a unit: `reader` (a thread: inflate, split, identify) → `stages` (threads: hash, decide, compress, commit
//! intents; see `store_records`) → `storing` (store; commit). All overlap: while a batch is committed, the next is stored.

mod local_files;
mod named;
mod reader;
mod stages;
mod storing;

use std::path::PathBuf;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::{PgConnection, PgPool};
use tokio::sync::{mpsc, watch};

pub use local_files::{RegisterError, Registered, register};
pub use named::{MAX_FILES, NamedParams, NamesError};

use named::NamedFile;

use super::store_records::{self, Ahead};
use crate::core::{ErrorCode, Sha256};
use crate::ingest::{Ended, EndedUnit, NewUnit, Pipeline, Plan, UnitContext, UnitError};
use crate::jobs::{self, Job};
use crate::pubmed::bulk_file;
use crate::pubmed::download::FilesServer;

pub const TOOL: &str = "pubmed.ingest_files";

/// Parameters of a job over local files: the files, by content, and the machine that has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The files, in any order.
    pub files: Vec<FileRef>,
    /// The machine whose disk they are on.
    pub hostname: String,
    /// Overrides the files' own as-of time.
    #[serde(default)]
    pub as_of: Option<DateTime<Utc>>,
}

/// A registered file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its name, without its folder.
    pub name: String,
    pub size_bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// As-of time of the records of a downloaded file: its Last-Modified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<DateTime<Utc>>,
}

/// Where a unit resumes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Cursor {
    /// Items of the file that have an outcome.
    items: i64,
    /// Bytes of the file read for them.
    bytes: u64,
    /// The MD5 of a downloaded file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
}

/// Multiple of a job's time limit for this number of files: a job over local files has all of them, because it ingests
/// them in the order of their numbers.
fn time_limits(files: usize) -> u32 {
    u32::try_from(files.div_ceil(MAX_FILES)).unwrap_or(u32::MAX).max(1)
}

/// Parameters of a job: files on a machine's disk, or on NCBI's server.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum FileSelection {
    Local(Params),
    Named(NamedParams),
}

/// The file that a unit reads.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Local(FileRef),
    Named(NamedFile),
}

/// Settings of the pipeline.
#[derive(Clone, Debug)]
pub struct FileSettings {
    /// Maximum unpacked size of a file, in bytes.
    pub max_file_bytes: u64,
    /// URL of the folders of bulk files.
    pub files_url: String,
    /// Directory of downloaded files while they are read.
    pub downloads: PathBuf,
}

#[derive(Clone, Debug)]
pub struct PubmedFiles {
    settings: FileSettings,
    server: FilesServer,
}

impl PubmedFiles {
    pub fn new(settings: FileSettings) -> Self {
        Self { server: FilesServer::new(&settings.files_url), settings }
    }
}

/// Records in a bulk file of NCBI: 30,000; fewer in the last files of a year.
const MOST_RECORDS_IN_A_FILE: i64 = 30_000;

#[async_trait]
impl Pipeline for PubmedFiles {
    fn tool(&self) -> &'static str {
        TOOL
    }

    fn phases(&self) -> &'static [&'static str] {
        &["files"]
    }

    fn records_at_most(&self, params: &Value) -> Option<i64> {
        let files = params["files"].as_array()?.len();
        i64::try_from(files).ok()?.checked_mul(MOST_RECORDS_IN_A_FILE)
    }

    fn time_limits(&self, params: &Value) -> u32 {
        params["files"].as_array().map_or(1, |files| time_limits(files.len()))
    }

    async fn plan(&self, context: &UnitContext) -> Result<Plan, UnitError> {
        let mut params = match parse(&context.lease.params)? {
            FileSelection::Local(params) => params,
            FileSelection::Named(params) => return context.unless_stopped(named::plan(self, &params)).await,
        };
        // Ascending numbers, so that usually no older record arrives after a newer one.
        params.files.sort_by(|a, b| {
            (bulk_file::number(&a.name), &a.name, &a.sha256).cmp(&(bulk_file::number(&b.name), &b.name, &b.sha256))
        });
        let bytes_total: u64 = params.files.iter().map(|file| file.size_bytes).sum();
        let names: Vec<&str> = params.files.iter().map(|file| file.name.as_str()).collect();
        let external_version = names.join(",").chars().take(200).collect();
        let source_digest = Some(digest_of(&params.files));
        let units = params.files.iter().map(|file| NewUnit {
            input: json!(file),
            label: Some(file.name.clone()),
            required_hostname: Some(params.hostname.clone()),
        });
        Ok(Plan {
            units: units.collect(),
            work_total: i64::try_from(bytes_total).unwrap_or(i64::MAX),
            external_version,
            source_digest,
            is_whole: true,
            ..Plan::default()
        })
    }

    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError> {
        let mut cursor: Cursor = match &context.lease.cursor {
            Some(cursor) => parse(cursor)?,
            None => Cursor::default(),
        };
        let (name, path, as_of, sha256, _fetched) = match parse(&context.lease.input)? {
            Input::Local(file) => {
                let params: Params = parse(&context.lease.params)?;
                let path = local_files::resolve(&context.engine.db, &params.hostname, &file).await?;
                (file.name, path, params.as_of.or(file.as_of), Some(file.sha256), None)
            }
            Input::Named(file) => {
                let fetch = named::fetch(self, context.lease.unit, &file, cursor.md5.as_deref());
                let fetched = context.unless_stopped(fetch).await?;
                cursor.md5 = Some(fetched.file.md5.clone());
                (file.name, fetched.file.path.clone(), fetched.file.last_modified, None, Some(fetched))
            }
        };
        let (raw_sender, raw) = mpsc::channel(1);
        let (prepared_sender, mut prepared) = mpsc::channel(1);
        let (committed_sender, committed) = watch::channel(0i64);
        let (used_sender, used) = std::sync::mpsc::channel();
        let ahead = Ahead::default();
        let settings = &context.engine.settings;
        let reading = reader::Reading {
            path,
            skip_items: cursor.items,
            max_file_bytes: self.settings.max_file_bytes,
            max_record_bytes: context.engine.archive.max_record_bytes(),
            batch_records: settings.batch_records,
            batch_bytes: settings.batch_bytes,
            used,
        };
        let reader = tokio::task::spawn_blocking(move || reading.run(&raw_sender));
        let preparing = stages::Preparing {
            engine: context.engine.clone(),
            unit: context.lease.unit,
            ahead: ahead.clone(),
            file_name: name.clone(),
            file_number: bulk_file::number(&name).unwrap_or(0),
            file_id: sha256.filter(|_| bulk_file::number(&name).is_none()).map(|sum| sum.chars().take(16).collect()),
            as_of,
            used: used_sender,
        };
        let preparer = tokio::spawn(preparing.run(raw, prepared_sender, committed));
        let storing = storing::Storing {
            engine: context.engine.clone(),
            lease: context.lease.clone(),
            prepared: &mut prepared,
            ahead: &ahead,
            committed: &committed_sender,
        };
        let outcome = storing.run(context, cursor, &name).await;
        // Both tasks end when their channel is closed, so none continues after the unit.
        drop(prepared);
        drop(committed_sender);
        let preparer = preparer.await;
        let reader = reader.await;
        // Otherwise a unit that is blocked, and claimed again every few seconds, would add intents each time.
        if outcome.is_err()
            && let Err(error) = ahead.take_back(&context.engine).await
        {
            tracing::debug!(%error, "intents of batches that were not stored stay");
        }
        outcome?;
        preparer.map_err(|e| panicked(&e))??;
        reader.map_err(|e| panicked(&e))
    }

    async fn ended(&self, db: &mut PgConnection, ended: &Ended<'_>) -> Result<Map<String, Value>, UnitError> {
        let mut result = store_records::result(db, ended.job.job_id()).await?;
        let files: Vec<Value> = ended.units.iter().filter_map(file).collect();
        if !files.is_empty() {
            result.insert("files".to_owned(), Value::Array(files));
        }
        Ok(result)
    }

    /// The files whose unit failed, or that had records that failed: archived records are skipped.
    async fn retry(&self, _db: &PgPool, job: &Job) -> Result<Option<Value>, UnitError> {
        let ended = job.result.as_ref().and_then(|result| result["files"].as_array());
        let went_well = |name: &str| {
            ended
                .into_iter()
                .flatten()
                .any(|one| one["name"] == name && one["status"] == "completed" && one["failed"].as_i64() == Some(0))
        };
        Ok(match parse(&job.params)? {
            FileSelection::Local(mut params) => {
                params.files.retain(|file| !went_well(&file.name));
                (!params.files.is_empty()).then(|| json!(params))
            }
            FileSelection::Named(mut params) => {
                params.files.retain(|name| !went_well(name));
                (!params.files.is_empty()).then(|| json!(params))
            }
        })
    }
}

/// SHA-256 of the output of `sha256sum` for the files, in the order in which they are ingested.
fn digest_of(files: &[FileRef]) -> String {
    let lines: Vec<String> = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect();
    Sha256::of(lines.concat().as_bytes()).to_hex()
}

/// The result of a file, if the unit is one: name, state, counts, errors.
fn file(unit: &EndedUnit) -> Option<Value> {
    let name = unit.label.as_deref()?;
    let mut file = json!(unit.counts);
    file["name"] = json!(name);
    file["status"] = json!(unit.status);
    if let Some(message) = &unit.error_message {
        file["error"] = json!(message);
    }
    Some(file)
}

/// Warns about a file: in the log of its job, and on the command line.
async fn warn(context: &UnitContext, message: &str) -> Result<(), UnitError> {
    tracing::warn!(target: "bio_mcp::input", "{message}");
    let mut connection = context.engine.db.acquire().await?;
    jobs::write_log(&mut connection, context.lease.job, jobs::Level::Warn, message, json!({})).await?;
    Ok(())
}

fn panicked(error: &tokio::task::JoinError) -> UnitError {
    tracing::error!(%error, "a stage of the unit panicked");
    UnitError::Failed {
        code: ErrorCode::Internal,
        message: "a stage of the unit panicked: see the log".into(),
        retry: true,
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, UnitError> {
    serde_json::from_value(value.clone()).map_err(|error| {
        UnitError::permanent(ErrorCode::ValidationError, format!("the job's parameters are not valid: {error}"))
    })
}
