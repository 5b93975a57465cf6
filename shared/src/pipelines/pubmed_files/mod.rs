//! `pubmed.ingest_files`: files of PubMed records into the archive, one work unit a file.
//!
//! The way of a unit: `reader` (a thread: inflate, split, identify) → `prepare` (threads: hash,
//! decide, compress) → store → commit. The stages overlap; a batch's objects are on stable storage
//! before the transaction that points at them.

mod local_files;
mod prepare;
mod reader;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

pub use local_files::{RegisterError, Registered, register};

use crate::ingest::{Batch, NewUnit, Pipeline, Plan, UnitContext, UnitError};
use crate::pubmed::bulk_file;
use crate::records::Accepted;
use crate::words::{ErrorCode, Outcome, SkipReason, clock};
use prepare::Prepared;
use reader::{End, RawBatch};

/// The tool's name.
pub const TOOL: &str = "pubmed.ingest_files";

/// Parameters of a job over local files: which files, by content, and the machine that has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The files, in any order.
    pub files: Vec<FileRef>,
    /// The machine whose disk they are on.
    pub hostname: String,
    /// Stands for the files' own as-of time.
    #[serde(default)]
    pub as_of: Option<DateTime<Utc>>,
}

/// A registered file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its name, without its folder.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// Where a unit goes on after a stop.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Cursor {
    /// Items of the file that have an outcome.
    items: i64,
    /// Bytes of the file read for them.
    bytes: u64,
}

/// Limits on what a file may hold.
#[derive(Clone, Copy, Debug)]
pub struct FileLimits {
    /// The most bytes a file may unpack to.
    pub max_file_bytes: u64,
}

/// The pipeline.
#[derive(Clone, Debug)]
pub struct PubmedFiles {
    limits: FileLimits,
}

impl PubmedFiles {
    /// The pipeline with its limits.
    pub fn new(limits: FileLimits) -> Self {
        Self { limits }
    }
}

#[async_trait]
impl Pipeline for PubmedFiles {
    fn tool(&self) -> &'static str {
        TOOL
    }

    fn phases(&self) -> &'static [&'static str] {
        &["files"]
    }

    async fn plan(&self, context: &UnitContext) -> Result<Plan, UnitError> {
        let mut params: Params = parse(&context.lease.params)?;
        // Ascending numbers, so that in the usual case nothing older meets anything newer.
        params.files.sort_by(|a, b| {
            (bulk_file::number(&a.name), &a.name, &a.sha256).cmp(&(bulk_file::number(&b.name), &b.name, &b.sha256))
        });
        let bytes_total: u64 = params.files.iter().map(|file| file.size_bytes).sum();
        let names: Vec<&str> = params.files.iter().map(|file| file.name.as_str()).collect();
        let external_version = names.join(",").chars().take(200).collect();
        let units = params
            .files
            .iter()
            .map(|file| NewUnit { input: json!(file), required_hostname: Some(params.hostname.clone()) });
        Ok(Plan {
            units: units.collect(),
            bytes_total: i64::try_from(bytes_total).unwrap_or(i64::MAX),
            external_version,
        })
    }

    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError> {
        let file: FileRef = parse(&context.lease.input)?;
        let params: Params = parse(&context.lease.params)?;
        let path = local_files::resolve(&context.engine.db, &params.hostname, &file).await?;
        let cursor: Cursor = match &context.lease.cursor {
            Some(cursor) => parse(cursor)?,
            None => Cursor::default(),
        };
        let (raw_sender, raw) = mpsc::channel(1);
        let (prepared_sender, mut prepared) = mpsc::channel(1);
        let (committed_sender, committed) = watch::channel(0i64);
        let (used_sender, used) = std::sync::mpsc::channel();
        let settings = context.engine.settings;
        let reading = reader::Reading {
            path,
            skip_items: cursor.items,
            max_file_bytes: self.limits.max_file_bytes,
            max_record_bytes: context.engine.archive.max_record_bytes(),
            batch_records: settings.batch_records,
            batch_bytes: settings.batch_bytes,
            used,
        };
        let reader = tokio::task::spawn_blocking(move || reading.run(&raw_sender));
        let preparing = prepare::Preparing {
            engine: context.engine.clone(),
            file_name: file.name.clone(),
            file_number: bulk_file::number(&file.name).unwrap_or(0),
            as_of: params.as_of,
            used: used_sender,
        };
        let preparer = tokio::spawn(preparing.run(raw, prepared_sender, committed));
        let outcome = store_and_commit(context, &mut prepared, &committed_sender, cursor, &file.name).await;
        // Nothing goes on behind the unit's back: both end when their channel is closed.
        drop(prepared);
        drop(committed_sender);
        let preparer = preparer.await;
        let reader = reader.await;
        outcome?;
        preparer.map_err(|e| panicked(&e))??;
        reader.map_err(|e| panicked(&e))
    }
}

fn panicked(error: &tokio::task::JoinError) -> UnitError {
    tracing::error!(%error, "a stage of the unit panicked");
    UnitError::Failed {
        code: ErrorCode::Internal,
        message: "a stage of the unit panicked, see the log".into(),
        retry: true,
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, UnitError> {
    serde_json::from_value(value.clone()).map_err(|error| {
        UnitError::permanent(ErrorCode::ValidationError, format!("the job's parameters are not valid: {error}"))
    })
}

/// The last stage: objects first, then the transaction that points at them.
async fn store_and_commit(
    context: &mut UnitContext,
    prepared: &mut mpsc::Receiver<Prepared>,
    committed: &watch::Sender<i64>,
    mut cursor: Cursor,
    file_name: &str,
) -> Result<(), UnitError> {
    while let Some(mut batch) = prepared.recv().await {
        context.check().await?;
        if batch.items_done > cursor.items {
            let batch_to_commit = store(context, &mut batch, cursor, file_name).await?;
            crate::words::crash::point("after_put");
            context.commit(batch_to_commit).await?;
            crate::words::crash::point("after_commit");
            cursor = Cursor { items: batch.items_done, bytes: batch.bytes_done };
        }
        committed.send_replace(batch.number);
        match batch.end {
            End::More => {}
            End::Finished => return Ok(()),
            End::Failed(error) => {
                return Err(UnitError::Failed {
                    code: ErrorCode::ValidationError,
                    message: format!("{file_name}: {}", crate::words::telemetry::chain(&error)),
                    retry: error.is_transient(),
                });
            }
        }
    }
    // The preparer ended early; its own error says why.
    Ok(())
}

/// Stores a batch's objects and answers what is to be committed.
async fn store(
    context: &UnitContext,
    prepared: &mut Prepared,
    cursor: Cursor,
    file_name: &str,
) -> Result<Batch, UnitError> {
    let engine = &context.engine;
    let mut batch = Batch {
        lines: std::mem::take(&mut prepared.lines),
        cursor: json!(Cursor { items: prepared.items_done, bytes: prepared.bytes_done }),
        bytes: i64::try_from(prepared.bytes_done.saturating_sub(cursor.bytes)).unwrap_or(0),
        accepts: Vec::with_capacity(prepared.drafts.len()),
    };
    for bad in &prepared.bad {
        let lease = &context.lease;
        let uri = lease.quarantine(engine, bad.position, bad.pmid, file_name, &bad.reason, &bad.bytes).await?;
        batch.lines[bad.line].uri = Some(uri);
    }
    crate::words::crash::point("before_put");
    let (at, drafts): (Vec<usize>, Vec<_>) = std::mem::take(&mut prepared.drafts).into_iter().unzip();
    let outcomes = engine.archive.put_records(&drafts).await;
    for ((line, draft), outcome) in at.into_iter().zip(&drafts).zip(outcomes) {
        let line = &mut batch.lines[line];
        let accepted = match outcome? {
            crate::archive::PutOutcome::Stored(at) => Accepted {
                pmid: draft.pmid,
                s3_uri: engine.archive.uri(&draft.key, &at.version),
                object_etag: at.etag.0,
                content_hash: draft.content_hash,
                fetched_at: prepared.fetched_at,
                api_etag: None,
                order: draft.order.clone(),
            },
            crate::archive::PutOutcome::Adopted(envelope, at) => {
                let newer = envelope.content_hash() != draft.content_hash
                    || (draft.content_hash.is_none() && !envelope.order.is_same_place(&draft.order));
                if newer {
                    line.outcome = Outcome::Skipped;
                    line.reason = SkipReason::Older.as_str().map(str::to_owned);
                }
                Accepted {
                    pmid: draft.pmid,
                    s3_uri: engine.archive.uri(&draft.key, &at.version),
                    object_etag: at.etag.0,
                    content_hash: envelope.content_hash(),
                    fetched_at: envelope.fetched_at,
                    api_etag: envelope.source.http_etag.clone(),
                    order: envelope.order.clone(),
                }
            }
        };
        line.hash = accepted.content_hash;
        line.uri = Some(accepted.s3_uri.clone());
        batch.accepts.push(accepted);
    }
    Ok(batch)
}

/// What the reader hands to the preparer.
type RawReceiver = mpsc::Receiver<RawBatch>;

/// The time of a batch, written to its envelopes.
fn fetched_at() -> DateTime<Utc> {
    clock::now()
}
