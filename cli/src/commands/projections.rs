//! `projections`: projections of the event log.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::projections::{self, Done, Lag, catch_up, changes, lag};
use shared::words::{Caller, ErrorCode};

use super::interrupted;
use crate::args::Projections;
use crate::failure::{Exit, Failure};
use crate::out;
use crate::session::Session;

/// The minimum time that a command gives the projections at its end.
const LEAST: Duration = Duration::from_secs(10);

/// Runs the command.
pub async fn run(session: &Session, action: Projections, json: bool) -> Result<Exit, Failure> {
    match action {
        Projections::Status => status(session, json).await,
        Projections::CatchUp => read_on(session, json).await,
        Projections::Rebuild { name } => {
            let projections = projections::all();
            projections::rebuild(session.db(), &projections, &name).await.map_err(|error| match error {
                projections::RebuildError::Unknown => {
                    let names: Vec<&str> = projections.iter().map(|one| one.name()).collect();
                    Failure::not_found(format!("unknown projection {name}: must be one of {}", names.join(", ")))
                }
                projections::RebuildError::Db(error) => error.into(),
            })?;
            Caller::command_line().audit("projection.rebuild", &name);
            read_on(session, json).await
        }
    }
}

async fn status(session: &Session, json: bool) -> Result<Exit, Failure> {
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
            "{} with an unreadable payload: run `bio-mcp verify --repair`, then `bio-mcp projections rebuild changes`",
            out::counted(unknown, "change")
        ))?;
    }
    Ok(Exit::Done)
}

/// Catches up until every projection is current, or the command is stopped; committed rows remain.
async fn read_on(session: &Session, json: bool) -> Result<Exit, Failure> {
    let projections = projections::all();
    let stopped = interrupted();
    let reading = catch_up(&session.engine, &projections, |_| true);
    tokio::select! {
        done = reading => {
            let done = done?;
            if json {
                out::json(&json!({ "events": done.events }))?;
            } else {
                out::line(&format!("{} processed; every projection is current", out::counted(done.events, "event")))?;
            }
            Ok(Exit::Done)
        }
        () = stopped => Err(Failure::new(
            Exit::Interrupted,
            ErrorCode::Internal,
            "interrupted; committed changes remain: rerun the same command to resume",
        )),
    }
}

/// Catches up at the end of a command that wrote events, for a quarter of the command's duration, or [`LEAST`]: the next
/// command or `up` processes the rest. A failure here is logged, and is none of the command.
pub async fn after(session: &Session, took: Duration) {
    let began = Instant::now();
    let longest = LEAST.max(took / 4);
    let projections = projections::all();
    let read = tokio::select! {
        read = catch_up(&session.engine, &projections, |_| began.elapsed() < longest) => read,
        () = interrupted() => Ok(Done::default()),
    };
    let left: i64 = match read {
        Ok(done) if done.is_current => return,
        Ok(_) => lag(session.db(), &projections).await.map_or(0, |lags| lags.iter().map(Lag::work).sum()),
        Err(error) => {
            tracing::warn!(%error, "the projections could not catch up");
            out::note(format_args!("the change feed is behind: {}", out::plain(&error.to_string())));
            return;
        }
    };
    out::note(format_args!(
        "the change feed is {} behind: run `bio-mcp projections catch-up` or `bio-mcp up`",
        out::counted(left, "event")
    ));
}
