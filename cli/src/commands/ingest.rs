//! `ingest`: submit a job over files and work on it.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::ingest::Worker;
use shared::jobs::{self, FirstUnit, Job, JobState, Limits, Submission, Submitted};
use shared::pipelines::pubmed_files::{self, Params};
use shared::words::{ErrorCode, host};

use super::interrupted;
use crate::args::Ingest;
use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{out, progress};

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
        if json {
            out::json(&json!({ "job_id": job.id, "state": job.state }))?;
        } else {
            out::line(&format!(
                "job {} is {}; `bio-mcp worker` works on it, `bio-mcp jobs watch {}` follows it",
                job.id, job.state, job.id
            ))?;
        }
        return Ok(Exit::Done);
    }
    if !json {
        let how = if matches!(submitted, Submitted::Replayed(_)) && !job.state.is_terminal() {
            " (going on with it)"
        } else {
            ""
        };
        eprintln!("job {}{how}", job.id);
    }
    let job = work(session, &job).await?;
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
    let submission = Submission {
        tool: pubmed_files::TOOL.to_owned(),
        params: json!(params),
        idempotency_key,
        principal: "local".to_owned(),
        priority,
        ttl_hours: session.config.job_ttl_hours,
        trace_id: uuid::Uuid::new_v4().simple().to_string(),
        parent_job_id: None,
        first_unit: FirstUnit { phase: "files".to_owned(), required_hostname: Some(hostname) },
    };
    let limits = Limits {
        max_queued_jobs: session.config.max_queued_jobs,
        job_timeout_secs: session.config.job_timeout.as_secs_f64(),
    };
    Ok(jobs::submit(session.db(), &submission, limits).await?)
}

/// Works on a job while following it, until it has ended. Stopped by Ctrl-C at the next batch; the
/// job is kept.
pub async fn work(session: &Session, job: &Job) -> Result<Job, Failure> {
    let worker = Worker::new(session.engine.clone(), Some(session.data_dir.workers()))?;
    let shutdown = worker.shutdown_flag();
    let _keeper = session.keep_database_alive();
    let id = job.job_id();
    let mut working = tokio::spawn(async move { worker.run_job(id).await });
    let following = progress::follow(session.db(), id);
    tokio::pin!(following);
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    let mut worked = false;
    let followed = loop {
        tokio::select! {
            followed = &mut following => break followed,
            result = &mut working, if !worked => {
                worked = true;
                result.map_err(|error| Failure::internal(format!("the worker panicked: {error}")))??;
                if let Ok(Some(ended)) = jobs::get(session.db(), id).await && ended.state.is_terminal() {
                    break Ok(ended);
                }
            }
            () = &mut interrupted => {
                shutdown.store(true, Ordering::Relaxed);
                if !worked {
                    // It ends at its next batch and hands the unit back.
                    let _ = working.await;
                }
                return Err(Failure::new(
                    Exit::Interrupted,
                    ErrorCode::Internal,
                    format!("stopped; nothing is lost: the same command, or `bio-mcp worker`, goes on with job {id}"),
                ));
            }
        }
    };
    shutdown.store(true, Ordering::Relaxed);
    if !worked {
        let _ = working.await;
    }
    followed
}

/// Prints how a job ended.
pub fn report(job: &Job, json: bool) -> Result<Exit, Failure> {
    let result = job.result.clone().unwrap_or_else(|| json!({}));
    if json {
        let mut answer = json!({ "job_id": job.id, "state": job.state, "error": job.error });
        for key in ["requested", "archived", "skipped", "failed", "deleted", "missing", "manifest", "files"] {
            answer[key] = result[key].clone();
        }
        out::json(&answer)?;
    } else {
        let took = job.completed_at.zip(job.started_at).map_or(0, |(end, start)| (end - start).num_milliseconds());
        let requested = result["requested"].as_i64().unwrap_or(0);
        out::line(&format!(
            "{}: {} records in {}.{} s: {}",
            job.state,
            out::count(requested),
            took / 1000,
            took % 1000 / 100,
            progress::counts(&result)
        ))?;
        for file in result["files"].as_array().into_iter().flatten() {
            if let Some(error) = file["error"].as_str() {
                out::line(&format!("  {}", out::plain(error)))?;
            }
        }
        if let Some(manifest) = job.result_ref.as_deref() {
            let path = shared::archive::uri::path_of(manifest).unwrap_or_else(|| manifest.to_owned());
            out::line(&format!("manifest: {path}"))?;
        }
        if result["failed"].as_i64().unwrap_or(0) > 0 {
            out::line(&format!("see `bio-mcp quarantine list --job {}`", job.id))?;
        }
    }
    Ok(match job.state {
        JobState::Succeeded if job.completed_with_failures() => Exit::Partial,
        JobState::Succeeded => Exit::Done,
        _ => failed_exit(job.error.as_ref()),
    })
}

/// The exit code of a failed job, from its error.
fn failed_exit(error: Option<&Value>) -> Exit {
    match error.and_then(|error| error["error_code"].as_str()) {
        Some("VALIDATION_ERROR") => Exit::Usage,
        Some("ARCHIVE_ERROR" | "DATABASE_ERROR" | "DATABASE_TIMEOUT") => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

/// Submits and works on one file; for the demo.
pub async fn one_file(session: &Session, file: &Path) -> Result<Job, Failure> {
    let submitted = submit(session, &[file.to_owned()], None, 0, None).await?;
    work(session, submitted.job()).await
}
