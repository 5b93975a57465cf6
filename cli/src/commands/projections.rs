//! `projections`: shows, runs and rebuilds projections of the event log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use shared::core::{Caller, ErrorCode};
use shared::ingest::Engine;
use shared::projections::{self, Lag, catch_up, changes, lag};
use tokio::sync::watch;

use super::interrupted;
use crate::args::Projections;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;

/// Minimum time for catching up at the end of a command.
const LEAST: Duration = Duration::from_secs(10);

/// How often the projections catch up while a command writes events.
const INTERVAL: Duration = Duration::from_millis(500);

pub async fn run(session: &Session, action: Projections, json: bool) -> Result<Exit, CliError> {
    match action {
        Projections::Status => status(session, json).await,
        Projections::CatchUp => read_on(session, json).await,
        Projections::Rebuild { name } => {
            let projections = projections::all();
            projections::rebuild(session.db(), &projections, &name).await.map_err(|error| match error {
                projections::RebuildError::Unknown => {
                    let names: Vec<&str> = projections.iter().map(|one| one.name()).collect();
                    CliError::not_found(format!("unknown projection {name}: must be one of {}", names.join(", ")))
                }
                projections::RebuildError::Db(error) => error.into(),
            })?;
            Caller::command_line().audit("projection.rebuild", &name);
            read_on(session, json).await
        }
    }
}

async fn status(session: &Session, json: bool) -> Result<Exit, CliError> {
    let lags = lag(session.db(), &projections::all()).await?;
    let unknown = changes::unknown(session.db()).await?;
    if json {
        out::json(&json!({ "projections": lags, "integrity_unknown": unknown }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = lags
        .iter()
        .map(|lag| {
            vec![
                lag.name.clone(),
                lag.seq.to_string(),
                out::count(lag.events_behind),
                format!("{:.0} s", lag.seconds_behind),
                lag.rebuilt_seq.map_or("-".to_owned(), |seq| format!("up to {seq}")),
                lag.updated_at.map_or("never".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S").to_string()),
            ]
        })
        .collect();
    out::table(&["projection", "event", "behind", "lag", "rebuilt", "last update"], &rows)?;
    if unknown > 0 {
        out::line(&format!(
            "{} with an unreadable last payload: run `bio-mcp verify --repair`, then `bio-mcp projections rebuild \
             changes`",
            out::counted(unknown, "record")
        ))?;
    }
    Ok(Exit::Done)
}

/// Catches up until every projection is current, or the command is stopped between batches; committed rows remain.
async fn read_on(session: &Session, json: bool) -> Result<Exit, CliError> {
    let stopped = set_when_interrupted();
    let done = catch_up(&session.engine, &projections::all(), |_| !stopped.load(Ordering::Relaxed)).await?;
    if !done.is_current {
        return Err(CliError::new(
            Exit::Interrupted,
            ErrorCode::Internal,
            "interrupted; committed changes remain: rerun the same command to resume",
        ));
    }
    if json {
        out::json(&json!({ "events": done.events }))?;
    } else {
        out::line(&format!("{} processed; every projection is current", out::counted(done.events, "event")))?;
    }
    Ok(Exit::Done)
}

/// Returns a flag that is set when the command must stop. It stops between batches: no transaction is dropped halfway.
fn set_when_interrupted() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let (set, interrupted) = (flag.clone(), interrupted());
    tokio::spawn(async move {
        interrupted.await;
        set.store(true, Ordering::Relaxed);
    });
    flag
}

/// Catches up every [`INTERVAL`] while a command writes events, so that little is left for its end. A failure here is
/// only noted: [`after`] tries again. Ends between batches once `is_done` is set.
pub async fn alongside(engine: Engine, mut is_done: watch::Receiver<bool>) {
    let projections = projections::all();
    let may_continue = {
        let is_done = is_done.clone();
        move |_: i64| !*is_done.borrow()
    };
    loop {
        tokio::select! {
            _ = is_done.wait_for(|is_done| *is_done) => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        if let Err(error) = catch_up(&engine, &projections, &may_continue).await {
            tracing::debug!(%error, "the projections could not catch up while the command runs; retrying");
        }
    }
}

/// Catches up at the end of a command that wrote events, for a quarter of the command's duration, or [`LEAST`]: the
/// next command or `up` processes the rest. A failure here is logged, and does not fail the command.
pub async fn after(session: &Session, took: Duration) {
    let began = Instant::now();
    let longest = LEAST.max(took / 4);
    let projections = projections::all();
    let stopped = set_when_interrupted();
    let goes_on = |_: i64| !stopped.load(Ordering::Relaxed) && began.elapsed() < longest;
    let left: i64 = match catch_up(&session.engine, &projections, goes_on).await {
        Ok(done) if done.is_current => return,
        Ok(_) => lag(session.db(), &projections).await.map_or(0, |lags| lags.iter().map(Lag::work).sum()),
        Err(error) => {
            tracing::warn!(%error, "the projections could not catch up");
            out::note(format_args!("the change feed is behind: {}", out::plain(&error.to_string())));
            return;
        }
    };
    if left == 0 {
        return;
    }
    out::note(format_args!(
        "the change feed is {} behind: run `bio-mcp projections catch-up` or `bio-mcp up`",
        out::counted(left, "event")
    ));
}
