//! `verify`: every pointer, object, hash and history row.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::json;
use shared::archive::DiskStore;
use shared::verify::{self, Progress, Report, Run};

use crate::failure::{Exit, Failure};
use crate::out;
use crate::session::{Session, archive_dir};

/// How many problems are listed for a person; scripts get all that were kept.
const SHOWN: usize = 20;

/// Runs the command.
pub async fn run(session: &Session, repair: bool, from_objects: bool, json: bool) -> Result<Exit, Failure> {
    let reporter = Reporter::new();
    let on_progress = |progress: Progress| reporter.show(progress);
    let mut run = Run { on_progress: &on_progress, from_objects, ..Run::default() };
    if repair {
        let workers = session.living_workers().await?;
        if workers > 0 {
            let (workers, them) = if workers == 1 { ("1 worker is", "it") } else { ("workers are", "them") };
            return Err(Failure::usage(format!("{workers} running: stop {them} before a repair")));
        }
        let repaired = verify::repair(session.db(), &session.engine.archive, &mut run).await?;
        let swept = match archive_dir(&session.config, &session.data_dir) {
            Some(dir) => DiskStore::new(&dir).remove_temporary_files()?,
            None => 0,
        };
        if !json {
            out::line(&format!(
                "repaired: {} pointers, {} versions, {} history rows and {} events written from {} records; \
                 {} objects stored again; {swept} temporary files removed",
                repaired.pointers,
                repaired.versions,
                repaired.history,
                repaired.events,
                repaired.objects,
                repaired.objects_written
            ))?;
            if repaired.digests > 0 {
                out::line(&format!("{} digests of the corpus put right", repaired.digests))?;
            }
            if repaired.set_aside > 0 {
                out::line(&format!(
                    "{} versions of objects set aside: this archive did not write them",
                    repaired.set_aside
                ))?;
            }
            if repaired.from_objects > 0 {
                out::line(&format!(
                    "{} records are what their objects say of themselves: no row knew of them",
                    repaired.from_objects
                ))?;
            }
            if repaired.lost > 0 {
                out::line(&format!(
                    "{} records have no readable object left: ingest their files again",
                    out::count(i64::try_from(repaired.lost).unwrap_or(i64::MAX))
                ))?;
            }
        }
    }
    let report = verify::check(session.db(), &session.engine.archive, &run).await?;
    reporter.clear();
    if json {
        out::json(&json!({ "ok": report.is_clean(), "report": report }))?;
    } else {
        show(&report)?;
    }
    Ok(if report.is_clean() { Exit::Done } else { Exit::Failed })
}

/// How often a line of progress is printed where no bar can be shown.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Shows progress on standard error: a line that is replaced on a terminal, else a line now and then.
struct Reporter {
    bar: ProgressBar,
    is_terminal: bool,
    last: Mutex<Instant>,
}

impl Reporter {
    fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { bar, is_terminal, last: Mutex::new(Instant::now()) }
    }

    fn show(&self, progress: Progress) {
        let text = format!("{}: {}", progress.phase, out::count(i64::try_from(progress.done).unwrap_or(i64::MAX)));
        self.bar.set_message(text.clone());
        self.bar.tick();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_terminal && last.elapsed() >= PROGRESS_INTERVAL {
            *last = Instant::now();
            out::note(text);
        }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
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
            let problems = if report.problem_count == 1 { "problem" } else { "problems" };
            format!("{} {problems}", out::count(report.problem_count))
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
    for (job, objects) in &report.unfinished {
        out::line(&format!(
            "unfinished: {} {} stored and not committed yet (job {job}: run its command again, or wait for it)",
            out::count(*objects),
            if *objects == 1 { "object is" } else { "objects are" }
        ))?;
    }
    for aside in report.set_aside.iter().take(SHOWN) {
        out::line(&format!("  set aside {}: {}", out::plain(&aside.s3_uri), out::plain(&aside.reason)))?;
    }
    let more = report.set_aside_count - i64::try_from(report.set_aside.len().min(SHOWN)).unwrap_or(0);
    if more > 0 {
        out::line(&format!("  set aside: {} more (`--output json` lists them)", out::count(more)))?;
    }
    if report.from_objects_count > 0 {
        let pmids: Vec<String> = report.from_objects.iter().take(SHOWN).map(ToString::to_string).collect();
        out::line(&format!(
            "{} records rest on the word of their objects until they arrive again: {}{}",
            out::count(report.from_objects_count),
            pmids.join(", "),
            if report.from_objects_count > i64::try_from(pmids.len()).unwrap_or(0) { ", …" } else { "" }
        ))?;
    }
    if !report.is_clean() {
        out::line(
            "`bio-mcp verify --repair` rebuilds pointers from the objects; a record whose object is damaged comes back by ingesting its file again",
        )?;
    }
    Ok(())
}
