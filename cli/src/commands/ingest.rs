//! `ingest`: submits a job over files and runs it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use serde_json::json;
use shared::core::host;
use shared::jobs::{self, FirstUnit, Job, Submission, SubmitOutcome};
use shared::observability;
use shared::pubmed::bulk_file;
use shared::pubmed::download::{Downloaded, FilesServer, make_folder};
use shared::sources::pubmed_files::{self, FileRef, Params, RegisterError};

use super::work::{announce, detached, report, work};
use crate::args::Ingest;
use crate::failure::{CliError, Exit};
use crate::session::Session;
use crate::{input_files, out};

/// Whether it is the name of a bulk file that does not exist locally: NCBI has it.
fn is_remote(file: &Path) -> bool {
    !file.exists() && file.to_str().is_some_and(|name| bulk_file::number(name).is_some())
}

/// The record files that the arguments name. Refuses a path that is not a file before anything is created.
pub fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    for file in given.iter().filter(|file| !is_remote(file) && !file.is_dir()) {
        let metadata = std::fs::metadata(file)
            .map_err(|error| CliError::usage(format!("cannot read {}: {error}", file.display())))?;
        if !metadata.is_file() {
            return Err(CliError::usage(format!("{} is not a file", file.display())));
        }
    }
    input_files::expand(given)
}

pub async fn run(session: &Session, args: &Ingest, json: bool) -> Result<Exit, CliError> {
    let key = args.idempotency_key.clone();
    let Registration { submitted, refused } = submit(session, &args.files, args.as_of, args.priority, key).await?;
    for failure in &refused {
        failure.show(json);
    }
    // The other files are archived nevertheless.
    let exit =
        |exit| if refused.is_empty() || !matches!(exit, Exit::Done | Exit::Partial) { exit } else { Exit::Usage };
    session.engine.wake_after_commit().await;
    let job = submitted.job().clone();
    if args.detach {
        return detached(&job, json).map(exit);
    }
    announce(&submitted, json);
    // One unit per file; its stages use every core.
    let job = work(session, &job, 1).await?;
    report(&job, json).map(exit)
}

/// A job over files, and the files that were refused.
pub struct Registration {
    pub submitted: SubmitOutcome,
    /// Why files were refused, each with its name.
    pub refused: Vec<CliError>,
}

/// Registers files and submits a job over those that can be read; it fails when none can.
pub async fn submit(
    session: &Session,
    files: &[PathBuf],
    as_of: Option<DateTime<Utc>>,
    priority: i16,
    idempotency_key: Option<String>,
) -> Result<Registration, CliError> {
    let hostname = host::name();
    let mut found = Vec::with_capacity(files.len());
    for file in files {
        found.push(if is_remote(file) {
            let fetched = fetch(session, file).await?;
            (fetched.path, fetched.last_modified)
        } else {
            (file.clone(), None)
        });
    }
    // Gzip files without a checksum file are decompressed once to verify them: on every core.
    let reading = found.iter().map(|(path, last_modified)| register(session, &hostname, path, *last_modified));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut reading = stream::iter(reading).buffered(cores);
    let (mut registered, mut refused) = (Vec::new(), Vec::new());
    while let Some(read) = reading.next().await {
        match read {
            Ok(file) if registered.contains(&file) => {}
            Ok(file) => registered.push(file),
            Err(RegisterError::Db(error)) => return Err(error.into()),
            Err(error) => refused.push(CliError::usage(observability::chain(&error))),
        }
    }
    if registered.is_empty() {
        let messages: Vec<String> = refused.into_iter().map(|failure| failure.message).collect();
        return Err(CliError::usage(messages.join("; ")));
    }
    registered.sort_by(|a, b| (&a.name, &a.sha256).cmp(&(&b.name, &b.sha256)));
    let params = Params { files: registered, hostname: hostname.clone(), as_of };
    let submission = Submission::new(pubmed_files::TOOL, json!(params), "files");
    let submission = Submission {
        idempotency_key,
        priority,
        ttl_hours: session.config.job_ttl_hours,
        first_unit: FirstUnit { required_hostname: Some(hostname.clone()), ..submission.first_unit },
        ..submission
    };
    let pipeline = session.engine.pipeline(&submission.tool);
    let times = pipeline.map_or(1, |pipeline| pipeline.time_limits(&submission.params));
    let limits = session.limits().times(times);
    let submitted = jobs::submit(session.db(), &submission, limits).await?;
    Ok(Registration { submitted, refused })
}

/// Registers a local file; its records are as of the time at which a download was last modified.
async fn register(
    session: &Session,
    hostname: &str,
    path: &Path,
    as_of: Option<DateTime<Utc>>,
) -> Result<FileRef, RegisterError> {
    let registered = pubmed_files::register(session.db(), hostname, path, session.config.max_file_bytes).await?;
    Ok(FileRef { as_of, ..registered.file })
}

/// Downloads a bulk file of NCBI into the data directory.
async fn fetch(session: &Session, name: &Path) -> Result<Downloaded, CliError> {
    let dir = session.data_dir.downloads();
    make_folder(&dir)?;
    let name = name.display().to_string();
    out::note(format_args!("{name} not found locally: fetching it from NCBI"));
    Ok(FilesServer::new(&session.config.pubmed.files_url).download(&name, &dir).await?)
}

/// Submits one file and runs the job; for the demo.
pub async fn one_file(session: &Session, file: &Path) -> Result<Job, CliError> {
    let registration = submit(session, &[file.to_owned()], None, 0, None).await?;
    work(session, registration.submitted.job(), 1).await
}
