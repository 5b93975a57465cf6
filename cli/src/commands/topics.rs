//! `topics`: queries that are synced on a schedule.

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::core::{Caller, ErrorCode};
use shared::sources::topics;
use shared::syncs::{self, RunFailure, Unbound};

use crate::args::Topics;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;

pub async fn run(session: &Session, action: Topics, json: bool) -> Result<Exit, CliError> {
    match action {
        Topics::Add { query, query_key, every, priority } => {
            let (key, every) = topics::add(session.db(), &query, query_key.as_deref(), every, priority).await?;
            Caller::command_line().audit("topic.add", &key);
            if json {
                out::json(&json!({ "query_key": key }))?;
            } else {
                out::line(&format!(
                    "{} is synced every {} while `bio-mcp up` runs",
                    out::plain(&key),
                    interval(every)
                ))?;
            }
            Ok(Exit::Done)
        }
        Topics::List => list(session, json).await,
        Topics::Rm { query_key } => {
            if !syncs::remove_topic(session.db(), &query_key).await? {
                return Err(CliError::not_found(format!("topic {query_key} not found: see `bio-mcp topics list`")));
            }
            Caller::command_line().audit("topic.remove", &query_key);
            if json {
                out::json(&json!({ "query_key": query_key, "removed": true }))?;
            } else {
                out::line(&format!(
                    "{} is no longer synced on a schedule; archived records remain",
                    out::plain(&query_key)
                ))?;
            }
            Ok(Exit::Done)
        }
        Topics::Unbind { query_key } => unbind(session, &query_key, json).await,
    }
}

async fn unbind(session: &Session, query_key: &str, json: bool) -> Result<Exit, CliError> {
    let key = out::plain(query_key);
    let refused = |message: String| Err(CliError::new(Exit::Usage, ErrorCode::ValidationError, message));
    match syncs::unbind(session.db(), query_key).await? {
        Unbound::Done { query, members } => {
            Caller::command_line().audit("topic.unbind", query_key);
            if json {
                out::json(&json!({ "query_key": query_key, "query": query, "members": members, "unbound": true }))?;
            } else {
                out::line(&format!(
                    "{key} is free; its {} remain in the archive",
                    out::counted(members, "member record")
                ))?;
            }
            Ok(Exit::Done)
        }
        Unbound::NotBound => Err(CliError::not_found(format!("query key {key} not found: see `bio-mcp status`"))),
        Unbound::Busy => refused(format!("a job of {key} is queued or running: cancel it first, or wait")),
        Unbound::Checkpoints(ids) => refused(format!(
            "checkpoints contain the records of {key}: delete them first ({})",
            ids.iter().map(|id| out::plain(id)).collect::<Vec<_>>().join(", ")
        )),
    }
}

async fn list(session: &Session, json: bool) -> Result<Exit, CliError> {
    let topics = syncs::topics(session.db()).await?;
    if json {
        out::json(&json!({ "topics": topics }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = topics
        .iter()
        .map(|topic| {
            let minute = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M").to_string();
            let next = match (topic.failed_runs, topic.next_try_at) {
                (1.., Some(at)) => format!("again at {}", minute(at)),
                _ => "-".to_owned(),
            };
            vec![
                out::plain(&topic.query_key),
                interval(topic.every_secs),
                topic.last_success_at.map_or("never".to_owned(), minute),
                topic.last_failure.as_ref().map_or("-".to_owned(), |failure| failure_text(failure, topic.failed_runs)),
                next,
                out::plain(&topic.query),
            ]
        })
        .collect();
    out::table(&["key", "every", "last success", "last failure", "next attempt", "query"], &rows)?;
    Ok(Exit::Done)
}

/// A failure in one line.
pub fn failure_text(failure: &RunFailure, runs: i32) -> String {
    let at = failure.at.format("%Y-%m-%d %H:%M");
    let message: String = failure.message.chars().take(120).collect();
    let times = if runs > 1 { format!(", {runs} runs in a row") } else { String::new() };
    out::plain(&format!("{at} {}: {message}{times}", failure.error_code))
}

fn interval(secs: i32) -> String {
    match secs {
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}
