//! `verify`: checks every pointer, object, hash and history row.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::json;
use shared::archive::DiskStore;
use shared::db::clock;
use shared::ingest::LivingWorkers;
use shared::verify::{self, Report, VerifyProgress, VerifyRun};

use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::{Session, archive_dir};

/// Maximum number of problems printed for people; scripts get all that were kept.
const SHOWN: usize = 20;

pub async fn run(session: &Session, repair: bool, from_objects: bool, json: bool) -> Result<Exit, CliError> {
    let reporter = Reporter::new();
    let on_progress = |progress: VerifyProgress| reporter.show(progress);
    let mut run = VerifyRun { on_progress: &on_progress, from_objects, ..VerifyRun::default() };
    if repair {
        // A worker that died while a clock was ahead must not count as alive.
        clock::pull_back_jobs(session.db()).await?;
        let workers = session.living_workers().await?;
        if workers.count() > 0 {
            return Err(CliError::usage(still_running(&workers, session.config.stale)));
        }
        let repaired = verify::repair(session.db(), &session.engine.archive, &mut run).await?;
        let swept = match archive_dir(&session.config, &session.data_dir) {
            Some(dir) => DiskStore::new(&dir).remove_temporary_files()?,
            None => 0,
        };
        if !json {
            out::line(&format!(
                "repaired: {}, {}, {} and {} written from {}; {} stored again; {} removed",
                out::counted(repaired.pointers, "pointer"),
                out::counted(repaired.versions, "version"),
                out::counted(repaired.history, "history row"),
                out::counted(repaired.events, "event"),
                out::counted(repaired.objects, "record"),
                out::counted(repaired.objects_written, "object"),
                out::counted(swept, "temporary file")
            ))?;
            if repaired.digests > 0 {
                out::line(&format!("{} corrected", out::counted(repaired.digests, "corpus digest")))?;
            }
            if repaired.set_aside > 0 {
                out::line(&format!(
                    "{} set aside: not written by this archive",
                    out::counted(repaired.set_aside, "object version")
                ))?;
            }
            if repaired.from_objects > 0 {
                out::line(&format!(
                    "{} restored from their objects alone: no row described them",
                    out::counted(repaired.from_objects, "record")
                ))?;
            }
            if repaired.lost > 0 {
                out::line(&format!(
                    "{} without a readable object: ingest their files again",
                    out::counted(repaired.lost, "record")
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

/// Names the workers that block a repair, and what to do.
fn still_running(workers: &LivingWorkers, stale: Duration) -> String {
    let (are, them) = if workers.count() == 1 { ("worker is", "it") } else { ("workers are", "them") };
    let mut text = format!("{} {are} running", workers.count());
    if workers.elsewhere.is_empty() {
        return format!("{text}: stop {them} before a repair");
    }
    let here = (workers.here > 0).then(|| format!("{} here", workers.here));
    let elsewhere = workers.elsewhere.iter().map(|(host, workers)| format!("{workers} on {}", out::plain(host)));
    // Writing to a `String` cannot fail.
    let _ = write!(
        text,
        " ({}): stop {them} before a repair; one of another data directory that was killed counts for {} s more",
        here.into_iter().chain(elsewhere).collect::<Vec<_>>().join(", "),
        stale.as_secs()
    );
    text
}

/// How often a line of progress is printed if there is no terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Shows progress on standard error: on a terminal a line that is replaced, otherwise a line at intervals.
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

    fn show(&self, progress: VerifyProgress) {
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
pub fn show(report: &Report) -> Result<(), CliError> {
    out::line(&format!(
        "checked {}, {} and {}: {}",
        out::counted(report.pointers, "pointer"),
        out::counted(report.history_rows, "history row"),
        out::counted(report.objects, "object"),
        if report.is_clean() { "no problems".to_owned() } else { out::counted(report.problem_count, "problem") }
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
            "unfinished: {} stored but not committed yet (job {job}: rerun its command, or wait for it)",
            out::counted(*objects, "object")
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
            "{} known only from their objects until they are ingested or synced again: {}{}",
            out::counted(report.from_objects_count, "record"),
            pmids.join(", "),
            if report.from_objects_count > i64::try_from(pmids.len()).unwrap_or(0) { ", …" } else { "" }
        ))?;
    }
    if !report.is_clean() {
        out::line(
            "`bio-mcp verify --repair` rebuilds pointers from the objects; to restore a record whose object is \
             damaged, ingest its file again",
        )?;
    }
    Ok(())
}
