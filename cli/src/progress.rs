//! Follows a job on standard error: a bar on a terminal, otherwise two lines.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use shared::core::{JobId, Tally, clock};
use shared::db::DbError;
use shared::jobs::{self, Job};
use sqlx::PgPool;

use crate::failure::CliError;
use crate::out;

/// How often the job row is read.
const POLL_INTERVAL: Duration = Duration::from_millis(120);

/// Follows a job until it ends. Tolerates a database that is unavailable for a while.
pub async fn follow(db: &PgPool, job: JobId) -> Result<Job, CliError> {
    let terminal = std::io::stderr().is_terminal();
    let bar = if terminal { ProgressBar::new(1000) } else { ProgressBar::hidden() };
    bar.set_style(
        ProgressStyle::with_template("{bar:30.cyan/blue} {percent:>3}%  {msg}  {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut unreachable_polls = 0;
    let mut shown = String::new();
    loop {
        match jobs::get(db, job).await {
            Ok(Some(row)) => {
                unreachable_polls = 0;
                bar.set_position(thousandths(&row));
                bar.set_message(message(&row));
                // Without a bar, at least the reason for waiting is shown.
                let waiting = row.progress.waiting.as_deref().unwrap_or_default();
                if !terminal && waiting != shown {
                    waiting.clone_into(&mut shown);
                    if !shown.is_empty() {
                        out::note(format_args!("waiting: {}", out::plain(&shown)));
                    }
                }
                if row.state.is_terminal() {
                    bar.finish_and_clear();
                    return Ok(row);
                }
            }
            Ok(None) => {
                return Err(CliError::not_found(format!("job {job} not found; jobs are deleted when they expire")));
            }
            Err(DbError::Unreachable(_)) if unreachable_polls < 600 => {
                unreachable_polls += 1;
                bar.set_message("waiting for the database");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a position on a bar")]
fn thousandths(job: &Job) -> u64 {
    (job.progress.fraction.clamp(0.0, 1.0) * 1000.0) as u64
}

/// Counts, rate and time left; or what the job waits for.
fn message(job: &Job) -> String {
    if let Some(waiting) = job.progress.waiting.as_deref() {
        return format!("{}, waiting: {}", summary(job), out::plain(waiting));
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let done = job.progress.done as f64;
    let fraction = job.progress.fraction;
    let elapsed = job.started_at.map_or(0.0, |start| (clock::now() - start).as_seconds_f64());
    if done < 1.0 || elapsed < 0.5 || fraction <= 0.0 {
        return summary(job);
    }
    format!("{}, {:.0}/s, {:.0} s left", summary(job), done / elapsed, elapsed * (1.0 - fraction) / fraction)
}

/// `1,000 archived, 20 skipped` of a job's counts.
pub fn summary(job: &Job) -> String {
    counts(&job.progress.counts)
        .unwrap_or_else(|| if job.state.is_terminal() { "no records" } else { "no records yet" }.to_owned())
}

/// Counts of a progress or result as text; none if all are zero.
pub fn counts(counts: &Tally) -> Option<String> {
    let named = [
        (counts.archived, "archived"),
        (counts.skipped, "skipped"),
        (counts.deleted, "deleted"),
        (counts.failed, "failed"),
        (counts.missing, "missing"),
    ];
    let parts = named.iter().filter(|(n, _)| *n > 0).map(|(n, name)| {
        let why = if *name == "skipped" { reasons(counts) } else { String::new() };
        format!("{} {name}{why}", out::count(*n))
    });
    let text = parts.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}

/// Why records were skipped, unless all of them were unchanged.
fn reasons(counts: &Tally) -> String {
    if counts.format_only + counts.older == 0 {
        return String::new();
    }
    let named =
        [(counts.unchanged, "unchanged"), (counts.format_only, "with reformatted XML"), (counts.older, "older")];
    let parts: Vec<String> =
        named.iter().filter(|(n, _)| *n > 0).map(|(n, text)| format!("{} {text}", out::count(*n))).collect();
    format!(" ({})", parts.join(", "))
}
