//! `verify`: every pointer, object, hash and history row.

use serde_json::json;
use shared::archive::DiskStore;
use shared::records::summary;
use shared::verify::{self, Report};

use crate::failure::{Exit, Failure};
use crate::out;
use crate::session::{Session, archive_dir};

/// How many problems are listed for a person; scripts get all that were kept.
const SHOWN: usize = 20;

/// Runs the command.
pub async fn run(session: &Session, repair: bool, json: bool) -> Result<Exit, Failure> {
    let mut report = verify::check(session.db(), &session.engine.archive).await?;
    if repair && summary(session.db()).await?.workers > 0 {
        return Err(Failure::usage("workers are running: stop them before a repair"));
    }
    if repair {
        let repaired = verify::repair(session.db(), &session.engine.archive).await?;
        let swept = match archive_dir(&session.config, &session.data_dir) {
            Some(dir) => DiskStore::new(&dir).remove_temporary_files()?,
            None => 0,
        };
        if !json {
            out::line(&format!(
                "repaired: {} pointers, {} history rows and {} events written from {} objects; {swept} temporary files removed",
                repaired.pointers, repaired.history, repaired.events, repaired.objects
            ))?;
            if repaired.digests > 0 {
                out::line(&format!("{} digests of the corpus put right", repaired.digests))?;
            }
            if repaired.lost > 0 {
                out::line(&format!(
                    "{} records have no readable object left: ingest their files again",
                    out::count(i64::try_from(repaired.lost).unwrap_or(i64::MAX))
                ))?;
            }
        }
        report = verify::check(session.db(), &session.engine.archive).await?;
    }
    if json {
        out::json(&json!({ "ok": report.is_clean(), "report": report }))?;
    } else {
        show(&report)?;
    }
    Ok(if report.is_clean() { Exit::Done } else { Exit::Failed })
}

/// Prints a report for a person.
pub fn show(report: &Report) -> Result<(), Failure> {
    out::line(&format!(
        "checked {} pointers, {} history rows and {} objects: {}",
        out::count(report.pointers),
        out::count(report.history_rows),
        out::count(report.objects),
        if report.is_clean() {
            "all is well".to_owned()
        } else {
            format!("{} problems", out::count(report.problem_count))
        }
    ))?;
    for problem in report.problems.iter().take(SHOWN) {
        out::line(&format!(
            "  {} {}: {}",
            problem.kind,
            problem.pmid.as_deref().unwrap_or("-"),
            out::plain(&problem.detail)
        ))?;
    }
    if !report.is_clean() {
        out::line(
            "`bio-mcp verify --repair` rebuilds pointers from the objects; a record whose object is damaged comes back by ingesting its file again",
        )?;
    }
    Ok(())
}
