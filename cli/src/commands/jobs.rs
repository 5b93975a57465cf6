//! `jobs`: lists, shows, follows, cancels and retries jobs.

use serde_json::json;
use shared::core::{Caller, ErrorCode, JobId};
use shared::ingest::{self, sweep};
use shared::jobs::{self, Cancelled, Filter, Job, JobDetails, JobState};
use shared::sources::pubmed_files::TOOL;
use shared::tools::FailureView;

use super::work::{announce, detached, report, work};
use crate::args::Jobs;
use crate::failure::{CliError, Exit};
use crate::session::Session;
use crate::{out, progress};

pub async fn run(session: &Session, action: Jobs, json: bool) -> Result<Exit, CliError> {
    match action {
        Jobs::List { state, limit } => list(session, state.as_deref(), limit, json).await,
        Jobs::Show { job } => show(session, job, json).await,
        Jobs::Watch { job } => {
            one(session, job).await?;
            let ended = progress::follow(session.db(), job).await?;
            report(&ended, json)
        }
        Jobs::Cancel { job } => cancel(session, job, json).await,
        Jobs::Logs { job, limit } => logs(session, job, limit, json).await,
        Jobs::Failures { job, limit } => failures(session, job, limit, json).await,
        Jobs::Retry { job, detach } => retry(session, job, detach, json).await,
    }
}

async fn one(session: &Session, job: JobId) -> Result<JobDetails, CliError> {
    let found = jobs::details(session.db(), job).await?;
    found.ok_or_else(|| {
        CliError::new(Exit::NotFound, ErrorCode::JobNotFound, format!("job {job} not found: see `bio-mcp jobs list`"))
    })
}

async fn list(session: &Session, state: Option<&str>, limit: i64, json: bool) -> Result<Exit, CliError> {
    let state = match state {
        None => None,
        Some(text) => Some(
            JobState::parse(text)
                .ok_or_else(|| CliError::usage("--state must be queued, running, succeeded, failed or cancelled"))?,
        ),
    };
    let (listed, total) = jobs::list(session.db(), &Filter { state, limit, ..Filter::default() }).await?;
    let listed: Vec<Job> = listed.rows.into_iter().map(|details| details.job).collect();
    if json {
        out::json(&json!({ "jobs": listed, "total": total }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|job| {
            vec![
                job.id.to_string(),
                job.tool.clone(),
                job.state.to_string(),
                job.created_at.format("%Y-%m-%d %H:%M:%S").to_string(),
                progress::summary(job),
            ]
        })
        .collect();
    out::table(&["job", "tool", "state", "created", "records"], &rows)?;
    if total > i64::try_from(rows.len()).unwrap_or(i64::MAX) {
        out::line(&format!("{} of {total}", rows.len()))?;
    }
    Ok(Exit::Done)
}

async fn show(session: &Session, job: JobId, json: bool) -> Result<Exit, CliError> {
    let details = one(session, job).await?;
    let JobDetails { job, position_in_queue: position, estimated_duration_secs: estimate, previous_job_id: previous } =
        details;
    let logs = jobs::logs(session.db(), job.job_id(), 20).await?;
    if json {
        let mut output = serde_json::to_value(&job).map_err(|error| CliError::internal(error.to_string()))?;
        output["completed_with_failures"] = json!(job.completed_with_failures());
        output["position_in_queue"] = json!(position);
        output["estimated_duration_secs"] = json!(estimate);
        output["previous_job_id"] = json!(previous);
        output["logs"] = json!(logs);
        // Attempts that were followed by another one, or that were the last, with their errors.
        output["troubled_attempts"] = json!(ingest::troubled_attempts(session.db(), job.job_id(), 100).await?);
        out::json(&output)?;
        return Ok(Exit::Done);
    }
    let percent = (job.progress.fraction * 100.0).round();
    for (name, value) in [
        ("job", job.id.to_string()),
        ("tool", job.tool.clone()),
        ("state", job.state.to_string()),
        ("progress", format!("{percent}%, {}", progress::summary(&job))),
        ("units", format!("{} of {} done, {} failed", job.units_done, job.units_total, job.units_failed)),
        ("priority", format!("{}, {position} ahead of it in the queue", job.priority)),
        ("time left", time_left(&job, estimate)),
        ("waiting", job.progress.waiting.as_deref().map_or("-".to_owned(), out::plain)),
        ("retries", job.parent_job_id.map_or("-".to_owned(), |parent| parent.to_string())),
        ("chain", chain(&job)),
        ("created", job.created_at.to_string()),
        ("ended", job.completed_at.map_or("-".to_owned(), |at| at.to_string())),
        ("manifest", job.result_ref.clone().unwrap_or_else(|| "-".to_owned())),
        ("error", job.error.as_ref().and_then(|e| e["message"].as_str()).map_or("-".to_owned(), out::plain)),
        ("trace", job.trace_id.clone()),
    ] {
        out::line(&format!("{name:<10} {value}"))?;
    }
    for log in logs {
        out::line(&format!("{} {} {}", log.at.format("%H:%M:%S"), log.level, out::plain(&log.message)))?;
    }
    Ok(Exit::Done)
}

/// The position of a job in its chain, and the next step.
fn chain(job: &Job) -> String {
    let Some((step, id)) = job.chain_step.zip(job.chain_id) else { return "-".to_owned() };
    let steps = job.then();
    let tools: Vec<&str> = steps.iter().map(|step| step.tool.as_str()).collect();
    let then = match (job.chain.is_some(), job.next_job_id) {
        (false, _) => "the last step".to_owned(),
        (true, Some(next)) => format!("then {next}"),
        (true, None) => format!("then {}", tools.join(", ")),
    };
    format!("step {step} of {id}, {then}")
}

fn time_left(job: &Job, estimate: Option<f64>) -> String {
    if job.state.is_terminal() {
        return "-".to_owned();
    }
    estimate.map_or("unknown".to_owned(), |secs| format!("about {secs:.0} s"))
}

async fn logs(session: &Session, job: JobId, limit: i64, json: bool) -> Result<Exit, CliError> {
    one(session, job).await?;
    let logs = jobs::logs(session.db(), job, limit).await?;
    if json {
        out::json(&json!({ "logs": logs }))?;
        return Ok(Exit::Done);
    }
    for log in logs {
        let at = log.at.format("%Y-%m-%d %H:%M:%S");
        out::line(&format!(
            "{at} {:<5} {} {}",
            log.level,
            out::plain(&log.message),
            out::plain(&log.fields.to_string())
        ))?;
    }
    Ok(Exit::Done)
}

async fn failures(session: &Session, job: JobId, limit: i64, json: bool) -> Result<Exit, CliError> {
    one(session, job).await?;
    let listed = ingest::failures(session.db(), job, 0, limit).await?.rows;
    let listed: Vec<FailureView> = listed.into_iter().map(FailureView::from).collect();
    let total = ingest::failures_count(session.db(), job).await?;
    if json {
        out::json(&json!({ "failures": listed, "total": total }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|failure| {
            let reason = failure.reason.as_deref().map_or("-".to_owned(), out::plain);
            vec![failure.record_id.clone().unwrap_or_else(|| "-".to_owned()), failure.outcome.clone(), reason]
        })
        .collect();
    out::table(&["pmid", "outcome", "reason"], &rows)?;
    if total > limit {
        out::line(&format!("{limit} of {total}"))?;
    }
    Ok(Exit::Done)
}

async fn retry(session: &Session, job: JobId, detach: bool, json: bool) -> Result<Exit, CliError> {
    let ended = jobs::to_retry(session.db(), one(session, job).await?.job).await?;
    let job = ended.job_id();
    if !ended.state.is_terminal() {
        return Err(CliError::usage(format!(
            "only finished jobs can be retried; job {job} is {}: wait for it, or cancel it",
            ended.state
        )));
    }
    let caller = Caller::command_line();
    let again = ingest::retry(&session.engine, &ended, session.limits(), &caller, |submission| submission).await?;
    let Some(again) = again else {
        return Err(CliError::usage(format!("nothing failed in job {job}: there is nothing to retry")));
    };
    if detach {
        return detached(again.job(), json);
    }
    announce(&again, json);
    let workers = if ended.tool == TOOL { 1 } else { session.config.workers };
    let done = work(session, again.job(), workers).await?;
    report(&done, json)
}

async fn cancel(session: &Session, job: JobId, json: bool) -> Result<Exit, CliError> {
    let found = one(session, job).await?.job;
    // Units of a killed worker must not delay the cancellation.
    sweep(&session.engine, Some(&session.data_dir.workers())).await?;
    let done = ingest::cancel(&session.engine, found.job_id()).await?;
    let gone = Cancelled { state: found.state, cancelled: false, stopping: false, next_job: None };
    let Cancelled { state: now, cancelled, next_job, .. } = done.unwrap_or(gone);
    if cancelled {
        Caller::command_line().audit("job.cancel", &job.to_string());
    }
    if json {
        let mut output = json!({ "job_id": job, "state": now, "cancelled": cancelled });
        if let Some(next) = next_job {
            output["next_job_id"] = json!(next);
        }
        out::json(&output)?;
    } else {
        out::line(&match (cancelled, now, next_job) {
            (true, JobState::Cancelled, _) => format!("job {job} is cancelled"),
            (true, JobState::Queued | JobState::Running, _) => {
                format!("job {job} is being cancelled: running units stop after their current batch")
            }
            (true, ended, _) => format!("job {job} has ended as {ended}: the steps after it are cancelled"),
            (false, ended, None) => format!("job {job} has already ended as {ended}: nothing changed"),
            (false, ended, Some(next)) => format!(
                "job {job} has already ended as {ended}: nothing changed; to cancel the rest of its chain: `bio-mcp \
                 jobs cancel {next}`"
            ),
        })?;
    }
    Ok(Exit::Done)
}
