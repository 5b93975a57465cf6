//! Runs a job in the foreground, and reports how it ended.

use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::{Value, json};
use shared::archive::Address;
use shared::core::ErrorCode;
use shared::ingest::{self, Worker};
use shared::jobs::{self, Job, JobResult, JobState, SubmitOutcome};
use shared::sources;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{interrupted, projections};
use crate::failure::{CliError, Exit};
use crate::session::Session;
use crate::{out, progress};

/// Reports a job that was submitted for another process to run.
pub fn detached(job: &Job, json: bool) -> Result<Exit, CliError> {
    if json {
        out::json(&json!({ "job_id": job.id, "state": job.state }))?;
    } else {
        out::line(&format!(
            "job {} is {}; `bio-mcp worker` runs it, `bio-mcp jobs watch {}` follows it",
            job.id, job.state, job.id
        ))?;
    }
    Ok(Exit::Done)
}

/// Prints the id of the job that is run.
pub fn announce(submitted: &SubmitOutcome, json: bool) {
    if json {
        return;
    }
    let job = submitted.job();
    let is_old = matches!(submitted, SubmitOutcome::Replayed(_)) && !job.state.is_terminal();
    out::note(format_args!("job {}{}", job.id, if is_old { " (resumed)" } else { "" }));
}

/// Runs a job with `workers` units at a time and follows it until it ends, then lets the projections process its
/// events. Ctrl-C stops it at the next batch; the job is kept.
pub async fn work(session: &Session, job: &Job, workers: usize) -> Result<Job, CliError> {
    let _keeper = session.keep_database_alive();
    let (id, began) = (job.job_id(), Instant::now());
    // The user waits for this job: jobs without a worker must not keep it from starting through a tool's limit.
    let mut engine = session.engine.clone();
    engine.settings.tool_limits.clear();
    // The projections catch up here, without a separate job that may find no worker.
    engine.upkeep = sources::upkeep();
    // Before the first worker takes over units of the last command: that one may have been killed, more than once.
    ingest::restart(&engine, id, &session.data_dir.workers()).await?;
    let mut working = JoinSet::new();
    let mut shutdowns = Vec::new();
    for _ in 0..workers {
        let worker = Worker::new(engine.clone(), Some(session.data_dir.workers()))?;
        shutdowns.push(worker.shutdown_flag());
        working.spawn(async move { worker.run_job(id).await });
    }
    let (is_done, done) = watch::channel(false);
    let catching_up = tokio::spawn(projections::alongside(session.engine.clone(), done));
    let stop = || shutdowns.iter().for_each(|flag| flag.store(true, Ordering::Relaxed));
    let following = progress::follow(session.db(), id);
    tokio::pin!(following);
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    let followed = loop {
        tokio::select! {
            followed = &mut following => break followed,
            Some(result) = working.join_next() => {
                let result = result.map_err(|error| CliError::internal(format!("the worker panicked: {error}")));
                if let Err(failure) = result.and_then(|ended| ended.map_err(CliError::from)) {
                    break Err(failure);
                }
                if let Ok(Some(ended)) = jobs::get(session.db(), id).await && ended.state.is_terminal() {
                    break Ok(ended);
                }
            }
            () = &mut interrupted => {
                break Err(CliError::new(
                    Exit::Interrupted,
                    ErrorCode::Internal,
                    format!("interrupted; nothing is lost: rerun the same command, or run `bio-mcp worker`, to resume \
                             job {id}"),
                ));
            }
        }
    };
    stop();
    // The workers end at their next batch and release their units.
    while working.join_next().await.is_some() {}
    is_done.send_replace(true);
    // It ends at its next batch too: no transaction is dropped halfway.
    let _ = catching_up.await;
    if followed.is_ok() {
        projections::after(session, began.elapsed()).await;
    }
    followed
}

/// Prints how a job ended.
pub fn report(job: &Job, json: bool) -> Result<Exit, CliError> {
    let result = job.result.clone().unwrap_or_default();
    let older = result.counts.older;
    if older > 0 {
        out::note(format_args!(
            "warning: {} skipped as older than the archive: a later file or fetch was archived before",
            out::counted(older, "record")
        ));
    }
    if json {
        let mut output = json!({ "job_id": job.id, "state": job.state, "error": job.error });
        if let (Some(output), Some(Value::Object(result))) =
            (output.as_object_mut(), job.result.as_ref().map(|one| json!(one)))
        {
            output.extend(result);
        }
        out::json(&output)?;
    } else {
        report_result(job, &result)?;
    }
    Ok(match job.state {
        JobState::Succeeded if job.completed_with_failures() || result["complete"] == false => Exit::Partial,
        JobState::Succeeded => Exit::Done,
        _ => failed_exit(job.error.as_ref()),
    })
}

fn report_result(job: &Job, result: &JobResult) -> Result<(), CliError> {
    let took = job.completed_at.zip(job.started_at).map_or(0, |(end, start)| (end - start).num_milliseconds());
    let counts = progress::counts(&result.counts).map_or_else(String::new, |counts| format!(": {counts}"));
    out::line(&format!(
        "{}: {} in {}.{} s{counts}",
        job.state,
        out::counted(result.counts.requested, "record"),
        took / 1000,
        took % 1000 / 100,
    ))?;
    let files = result["files"].as_array().into_iter().flatten();
    let mut errors: Vec<&str> = files.filter_map(|file| file["error"].as_str()).collect();
    if errors.is_empty() {
        errors.extend(job.error.as_ref().and_then(|error| error["message"].as_str()));
    }
    for error in errors {
        out::line(&format!("  {}", out::plain(error)))?;
    }
    if let Some(watermark) = result["watermarks"]["after"]["entry"].as_str() {
        let key = result["query_key"].as_str().unwrap_or_default();
        out::line(&format!("{} is up to date until {watermark}", out::plain(key)))?;
    }
    for gap in result["gaps"].as_array().into_iter().flatten() {
        out::line(&format!("  {}", out::plain(&gap_line(gap))))?;
    }
    if result["more"] == true {
        let key = out::plain(result["query_key"].as_str().unwrap_or_default());
        out::line(&format!(
            "the limit was reached: `bio-mcp sync --incremental --query-key {key}` continues after it"
        ))?;
    }
    if let Some(manifest) = job.result_ref.as_deref() {
        let address = Address::parse(manifest).ok();
        let path = address.as_ref().and_then(Address::file_path).unwrap_or(manifest);
        out::line(&format!("manifest: {path}"))?;
    }
    if result.counts.failed > 0 {
        out::line(&format!("see `bio-mcp jobs failures {}` and `bio-mcp quarantine list --job {}`", job.id, job.id))?;
    }
    Ok(())
}

/// Describes what does not add up in one range of days.
fn gap_line(gap: &Value) -> String {
    let text = |name: &str| gap[name].as_str().unwrap_or_default();
    let days = match (text("date"), text("from"), text("to")) {
        ("", ..) => "the whole query".to_owned(),
        (date, from, to) if from == to => format!("{date} date {from}"),
        (date, from, to) => format!("{date} dates {from} to {to}"),
    };
    format!("{days}: {} counted, {} listed: {}", gap["counted"], gap["listed"], text("message"))
}

/// The exit code of a failed job, from its error.
fn failed_exit(error: Option<&Value>) -> Exit {
    match error.and_then(|error| error["error_code"].as_str()) {
        Some("VALIDATION_ERROR" | "QUERY_REJECTED") => Exit::Usage,
        Some("ARCHIVE_ERROR" | "DATABASE_ERROR" | "DATABASE_TIMEOUT" | "PUBMED_TIMEOUT" | "PUBMED_RATE_LIMIT") => {
            Exit::Unavailable
        }
        _ => Exit::Failed,
    }
}
