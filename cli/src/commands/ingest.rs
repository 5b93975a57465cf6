//! `ingest`: submit a job over files and work on it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::jobs::{self, FirstUnit, Job, Submission, Submitted};
use shared::pipelines::pubmed_files::{self, Params};
use shared::words::host;

use super::work::{announce, detached, report, work};
use crate::args::Ingest;
use crate::failure::{Exit, Failure};
use crate::session::Session;

/// Refuses what is not a file before anything is made.
pub fn check_files(files: &[PathBuf]) -> Result<(), Failure> {
    for file in files {
        let metadata = std::fs::metadata(file)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
        if !metadata.is_file() {
            return Err(Failure::usage(format!("{} is not a file", file.display())));
        }
    }
    Ok(())
}

/// Runs the command.
pub async fn run(session: &Session, args: &Ingest, json: bool) -> Result<Exit, Failure> {
    let key = args.idempotency_key.clone();
    let submitted = submit(session, &args.files, args.as_of, args.priority, key).await?;
    let job = submitted.job().clone();
    if args.detach {
        return detached(&job, json);
    }
    announce(&submitted, json);
    // One unit a file, and its stages use every core.
    let job = work(session, &job, 1).await?;
    report(&job, json)
}

/// Registers files and submits a job over them.
pub async fn submit(
    session: &Session,
    files: &[PathBuf],
    as_of: Option<DateTime<Utc>>,
    priority: i16,
    idempotency_key: Option<String>,
) -> Result<Submitted, Failure> {
    let hostname = host::name();
    let mut registered = Vec::new();
    for file in files {
        let one = pubmed_files::register(session.db(), &hostname, file, session.config.max_file_bytes).await?;
        if !registered.contains(&one.file) {
            registered.push(one.file);
        }
    }
    registered.sort_by(|a, b| (&a.name, &a.sha256).cmp(&(&b.name, &b.sha256)));
    let params = Params { files: registered, hostname: hostname.clone(), as_of };
    let submission = Submission::new(pubmed_files::TOOL, json!(params), "files");
    let submission = Submission {
        idempotency_key,
        priority,
        ttl_hours: session.config.job_ttl_hours,
        first_unit: FirstUnit { required_hostname: Some(hostname), ..submission.first_unit },
        ..submission
    };
    Ok(jobs::submit(session.db(), &submission, session.limits()).await?)
}

/// Submits and works on one file; for the demo.
pub async fn one_file(session: &Session, file: &Path) -> Result<Job, Failure> {
    let submitted = submit(session, &[file.to_owned()], None, 0, None).await?;
    work(session, submitted.job(), 1).await
}
