//! `status`: what is in the archive and what is going on.

use serde_json::json;
use shared::records::summary;

use crate::failure::{Exit, Failure};
use crate::out;
use crate::session::{Session, archive_dir};

/// Runs the command.
pub async fn run(session: &Session, json: bool) -> Result<Exit, Failure> {
    let summary = summary(session.db()).await?;
    let archive = archive_dir(&session.config, &session.data_dir);
    if json {
        let mut answer = json!({ "data_dir": session.data_dir.path(), "archive_dir": archive });
        if let (Some(answer), Ok(serde_json::Value::Object(fields))) =
            (answer.as_object_mut(), serde_json::to_value(&summary))
        {
            answer.extend(fields);
        }
        out::json(&answer)?;
        return Ok(Exit::Done);
    }
    let database = if session.postgres().is_some() { "private Postgres" } else { "BIO_MCP_DATABASE_URL" };
    let when = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or("never".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
    };
    for (name, value) in [
        ("archive", archive.display().to_string()),
        ("database", database.to_owned()),
        ("records", format!("{} live, {} deleted", out::count(summary.live), out::count(summary.deleted))),
        ("payloads", format!("{} distinct, {} changes", out::count(summary.payloads), out::count(summary.events))),
        ("last change", when(summary.last_change_at)),
        ("jobs", format!("{} queued, {} running", summary.jobs_queued, summary.jobs_running)),
        ("workers", summary.workers.to_string()),
        ("quarantine", format!("{} records", out::count(summary.quarantined))),
    ] {
        out::line(&format!("{name:<12} {value}"))?;
    }
    Ok(Exit::Done)
}
