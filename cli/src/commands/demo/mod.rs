//! `demo`: the main commands on constructed sample files and a simulated NCBI, on your own file, or on the real NCBI.

mod ncbi;
mod steps;

use std::path::{Path, PathBuf};
use std::time::Instant;

use samples::files::{Sample, write_sample};
use shared::config::{ArchiveLocation, Config};
use shared::core::{Pmid, Tally, clock};
use simulator::Simulator;

use super::{diff, history, ingest};
use crate::data_dir::{self, DataDir};
use crate::failure::{CliError, Exit};
use crate::ownership::{self, Use};
use crate::session::{Session, archive_location};
use crate::{out, users};
use steps::{Tried, note, say, verified};

/// Marks a directory that the demo created and may delete and create again.
const MARK: &str = "made-by-demo";

/// Ordinary records in the sample baseline.
const ORDINARY: u32 = 2000;

pub async fn run(
    data_dir: Option<&Path>,
    file: Option<&Path>,
    live: bool,
    mut config: Config,
) -> Result<Exit, CliError> {
    if let Some(file) = file {
        ingest::files(&[file.to_owned()])?;
    }
    let dir = data_dir.map_or_else(default_dir, |dir| Ok(dir.to_owned()))?;
    let is_named = data_dir.is_some();
    prepare(&dir, is_named, &config)?;
    let began = Instant::now();
    let made = if is_named { DataDir::find_or_create(Some(&dir), &config) } else { DataDir::create(&dir, &config) }?;
    std::fs::write(made.path().join(MARK), "")?;
    if matches!(config.archive, Some(ArchiveLocation::Bucket(_))) {
        // Objects that an earlier demo left in the bucket must not count as this one's.
        config.archive_prefix = format!("{}/demo-{}", config.archive_prefix, clock::now().format("%Y%m%dT%H%M%S"));
    }
    // The simulator runs on this machine: requests are not rate-limited.
    let upstream = if file.is_none() && !live { Some(ncbi::simulator().await?) } else { None };
    if let Some(upstream) = &upstream {
        config.pubmed.base_url = upstream.eutils_url();
        config.pubmed.files_url = upstream.files_url();
        config.pubmed.api_key = None;
        config.pubmed.requests_per_second = Some(1000);
    }
    let session = Session::open(config, made).await?;
    let result = match (file, &upstream) {
        (Some(file), _) => with_file(&session, file).await,
        (None, Some(upstream)) => with_sample(&session, upstream).await,
        (None, None) => ncbi::live(&session).await,
    };
    let outcome = match result {
        Ok(tried) => finish(&session, &dir, &tried, began),
        Err(failure) => Err(failure),
    };
    session.close().await;
    outcome
}

/// In the current directory, or, if another user could replace it there, in the temporary directory.
fn default_dir() -> std::io::Result<PathBuf> {
    let here = std::env::current_dir()?;
    Ok(match ownership::resolve(&here, Use::Parent) {
        Ok(_) => here.join(data_dir::DEMO),
        Err(_) => std::env::temp_dir().join(format!("bio-mcp-demo-{}", users::caller())),
    })
}

/// Removes an earlier demo; refuses any other directory.
fn prepare(dir: &Path, is_named: bool, config: &Config) -> Result<(), CliError> {
    if !dir.exists() {
        return Ok(());
    }
    if !dir.join(MARK).exists() {
        return Err(CliError::usage(format!(
            "{} exists and was not created by the demo: choose another --data-dir",
            dir.display()
        )));
    }
    let found = if is_named { DataDir::named(dir, config) } else { DataDir::found(dir, config) }?;
    tokio::task::block_in_place(|| crate::postgres::stop(&found.postgres(), config))?;
    std::fs::remove_dir_all(found.path())?;
    Ok(())
}

async fn step(session: &Session, name: &str, file: &Path, steps: &mut Vec<(String, Tally)>) -> Result<(), CliError> {
    say(name)?;
    let job = ingest::one_file(session, file).await?;
    note(name, &job, steps)
}

async fn with_sample(session: &Session, upstream: &Simulator) -> Result<Tried, CliError> {
    say("Writing sample files")?;
    let sample = write_sample(&session.data_dir.path().join("samples"), ORDINARY)?;
    out::line(&format!(
        "{} ({}) and {}",
        sample.baseline.display(),
        out::counted(sample.baseline_records, "generated record"),
        sample.update.display()
    ))?;

    let mut steps = Vec::new();
    step(session, "1. Ingest the baseline file", &sample.baseline, &mut steps).await?;
    step(session, "2. Ingest it again: nothing is written", &sample.baseline, &mut steps).await?;
    step(session, "3. Ingest the update file: exactly what changed", &sample.update, &mut steps).await?;
    check(&sample, &steps)?;

    let revised = pmid(sample.changes.revised[0])?;
    say(&format!("4. The history of a revised record, PMID {revised}"))?;
    history::run(session, revised, false).await?;
    say("5. What the revision changed, field by field")?;
    diff::run(session, revised, None, None, false).await?;
    ncbi::syncs(session, upstream, &mut steps).await?;
    say("9. Verify every pointer, object, hash and history row")?;
    verified(session).await?;
    Ok(Tried { steps, look_at: Some(sample.changes.retracted) })
}

async fn with_file(session: &Session, file: &Path) -> Result<Tried, CliError> {
    let mut steps = Vec::new();
    step(session, &format!("1. Ingest {}", file.display()), file, &mut steps).await?;
    step(session, "2. Ingest it again: nothing is written", file, &mut steps).await?;
    say("3. Verify every pointer, object, hash and history row")?;
    verified(session).await?;
    let some = shared::records::page(session.db(), None, 1).await?;
    Ok(Tried { steps, look_at: some.first().map(|pointer| pointer.pmid.get()) })
}

fn pmid(number: u32) -> Result<Pmid, CliError> {
    Pmid::new(number).map_err(|error| CliError::internal(error.to_string()))
}

/// Fails unless the counts match what the demo claims.
fn check(sample: &Sample, steps: &[(String, Tally)]) -> Result<(), CliError> {
    let n = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let changes = &sample.changes;
    let baseline = n(sample.baseline_records);
    let changed = n(changes.added.len() + changes.revised.len() + 1);
    let expected = [
        Tally { requested: baseline, archived: baseline, ..Tally::default() },
        Tally { requested: baseline, skipped: baseline, unchanged: baseline, ..Tally::default() },
        Tally {
            requested: changed + n(changes.repeated.len()) + 1,
            archived: changed,
            skipped: n(changes.repeated.len()),
            unchanged: n(changes.repeated.len()),
            deleted: 1,
            ..Tally::default()
        },
    ];
    for ((name, found), expected) in steps.iter().zip(expected) {
        if *found != expected {
            return Err(CliError::internal(format!("{name}: expected {expected:?}, found {found:?}")));
        }
    }
    Ok(())
}

fn finish(session: &Session, dir: &Path, tried: &Tried, began: Instant) -> Result<Exit, CliError> {
    say(&format!("Summary, after {:.1} s", began.elapsed().as_secs_f64()))?;
    let rows: Vec<Vec<String>> = tried
        .steps
        .iter()
        .map(|(name, tally)| {
            let numbers = [tally.requested, tally.archived, tally.skipped, tally.deleted, tally.failed];
            std::iter::once(name.clone()).chain(numbers.map(out::count)).collect()
        })
        .collect();
    out::table(&["step", "records", "archived", "skipped", "deleted", "failed"], &rows)?;
    let archive = archive_location(&session.config, &session.data_dir);
    let prefix = &session.config.archive_prefix;
    out::line(&format!("\nobjects    {archive}/{prefix}/raw"))?;
    out::line(&format!("manifests  {archive}/{prefix}/manifests"))?;
    let program = std::env::current_exe().map_or_else(
        |_| "bio-mcp".to_owned(),
        |path| {
            let here = std::env::current_dir().unwrap_or_default();
            let near = path.strip_prefix(here).unwrap_or(&path);
            // A name without a slash would be searched in PATH.
            if near.components().count() == 1 { format!("./{}", near.display()) } else { near.display().to_string() }
        },
    );
    let look_at = tried.look_at.unwrap_or(1);
    say("Try next")?;
    for command in [format!("get {look_at}"), "export --out records.ndjson.zst".to_owned(), "status".to_owned()] {
        out::line(&format!("  {program} --data-dir {} {command}", dir.display()))?;
    }
    Ok(Exit::Done)
}
