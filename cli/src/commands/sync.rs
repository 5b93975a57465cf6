//! `sync`: archives records from NCBI.

use std::io::Read;
use std::path::Path;

use serde_json::json;
use shared::config::Config;
use shared::core::access::LOCAL;
use shared::core::{Pmid, clock};
use shared::jobs::{Submission, SubmitOutcome};
use shared::pubmed::eutils::{DateField, Query};
use shared::sources::pubmed_sync::{
    Estimate, IncrementalParams, SyncParams, estimate, submit_incremental, submit_sync,
};
use shared::syncs::{self, RunPlan, StartState, SyncQuery, Watermarks, start_of};

use super::work::{announce, detached, report, work};
use crate::args::Sync;
use crate::data_dir::DataDir;
use crate::failure::{CliError, Exit};
use crate::session::{self, Session};
use crate::{out, waiting};

pub async fn run(session: &Session, args: &Sync, json: bool) -> Result<Exit, CliError> {
    if session.config.pubmed.email.is_none() && !json {
        out::note("BIO_MCP_PUBMED_EMAIL is not set: NCBI asks for a contact e-mail");
    }
    let submitted = submit(session, args).await?;
    session.engine.wake_after_commit().await;
    let job = submitted.job().clone();
    if args.detach {
        return detached(&job, json);
    }
    announce(&submitted, json);
    let job = work(session, &job, session.config.workers).await?;
    report(&job, json)
}

pub async fn submit(session: &Session, args: &Sync) -> Result<SubmitOutcome, CliError> {
    let with = |submission: Submission| Submission {
        idempotency_key: args.idempotency_key.clone(),
        priority: args.priority,
        ttl_hours: session.config.job_ttl_hours,
        ..submission
    };
    if !args.pmids.is_empty() {
        let params = SyncParams::of_pmids(pmids(&args.pmids)?, args.query_key.as_deref())?;
        let most = session.config.pubmed.max_records;
        if params.pmids.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(CliError::usage(format!(
                "too many PMIDs: {} given, the limit is {most} (BIO_MCP_SYNC_MAX_RECORDS): ingest baseline and update \
                 files instead",
                params.pmids.len()
            )));
        }
        return Ok(submit_sync(session.db(), &params, session.limits(), with).await?);
    }
    let known = known(session, args).await?;
    let query = query_of(args, known.as_ref())?;
    if !args.incremental {
        let params = SyncParams::of_query(&query, args.query_key.as_deref(), args.limit)?;
        return Ok(submit_sync(session.db(), &params, session.limits(), with).await?);
    }
    let params = IncrementalParams::new(&query, args.query_key.as_deref(), args.overlap_days, args.limit)?;
    if let Some(day) = args.from {
        if start_of(day) > clock::now() {
            return Err(CliError::usage(format!("--from {day} is in the future")));
        }
        syncs::bind(session.db(), &params.query_key, &params.query, LOCAL).await?;
        if !syncs::set_watermarks_by_hand(session.db(), &params.query_key, start_of(day), LOCAL).await? {
            out::note(format_args!(
                "{} is already being synced: resuming that run without moving its watermarks",
                params.query_key
            ));
        }
    }
    Ok(submit_incremental(session.db(), &params, session.limits(), with).await?)
}

/// The query that a given key is bound to.
async fn known(session: &Session, args: &Sync) -> Result<Option<SyncQuery>, CliError> {
    match &args.query_key {
        Some(key) => Ok(syncs::one(session.db(), key).await?),
        None => Ok(None),
    }
}

fn query_of(args: &Sync, known: Option<&SyncQuery>) -> Result<String, CliError> {
    match (&args.query, known) {
        (Some(query), _) => Ok(query.clone()),
        (None, Some(known)) => Ok(known.query.clone()),
        (None, None) => Err(CliError::usage(format!(
            "query key {} not found: give the query too; `bio-mcp status` lists the keys",
            args.query_key.as_deref().unwrap_or_default()
        ))),
    }
}

/// Parses PMIDs as given; reports each invalid one.
pub fn pmids(given: &[String]) -> Result<Vec<Pmid>, CliError> {
    let mut text = given.join(" ");
    if given == ["-"] {
        text.clear();
        std::io::stdin().read_to_string(&mut text)?;
    }
    pmids_of(&text)
}

/// PMIDs in a text, separated by commas, white space or line ends.
pub fn pmids_of(text: &str) -> Result<Vec<Pmid>, CliError> {
    let words: Vec<&str> = text.split([',', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty()).collect();
    let bad: Vec<&str> = words.iter().filter(|word| Pmid::parse(word).is_err()).copied().collect();
    if !bad.is_empty() {
        let shown = bad.iter().take(5).map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let more = if bad.len() > 5 { format!(" and {} more", bad.len() - 5) } else { String::new() };
        return Err(CliError::usage(format!(
            "not a PMID: {shown}{more}; a PMID is a number from 1 to 999999999 without sign or leading zeros"
        )));
    }
    Ok(words.iter().filter_map(|word| Pmid::parse(word).ok()).collect())
}

/// `--dry-run`: prints an estimate. Writes nothing, and creates no archive.
pub async fn dry_run(args: &Sync, data_dir: Option<&Path>, config: Config, json: bool) -> Result<Exit, CliError> {
    if !args.pmids.is_empty() {
        let hits = pmids(&args.pmids)?.len();
        return Err(CliError::usage(format!(
            "--dry-run works only with queries; {} would take {}",
            out::counted(hits, "PMID"),
            out::counted(hits.div_ceil(200), "request")
        )));
    }
    let found = if let Some(dir) = DataDir::of_search(data_dir, &config)? {
        let session = Session::open(config, dir).await?;
        let found = with_archive(&session, args).await;
        session.close().await;
        found?
    } else {
        let query = query_of(args, None)?;
        let client = session::lone_client(&config);
        let query = Query::parse(&query).map_err(|error| CliError::usage(error.to_string()))?;
        let plan = RunPlan::new(query.as_str().to_owned(), StartState::default(), 0, clock::now());
        waiting::for_ncbi(estimate(&client, &query, &plan, args.limit)).await?
    };
    show(&found, json)
}

async fn with_archive(session: &Session, args: &Sync) -> Result<Estimate, CliError> {
    let known = known(session, args).await?;
    let query = query_of(args, known.as_ref())?;
    let params = IncrementalParams::new(&query, args.query_key.as_deref(), args.overlap_days, args.limit)?;
    let known = syncs::one(session.db(), &params.query_key).await?.filter(|_| args.incremental);
    let (mut watermarks, mut resume) = known.map(|known| (known.watermarks, known.resume)).unwrap_or_default();
    if let Some(day) = args.from {
        watermarks = Watermarks::at(start_of(day));
        resume = None;
    }
    let is_windows = watermarks.entry.is_some();
    let has_creation = is_windows && session.client.lists_field(DateField::Creation).await?;
    let start = StartState { watermarks, resume, is_limited: args.limit.is_some(), has_creation };
    let plan = RunPlan::new(params.query.clone(), start, params.overlap_days, clock::now());
    let query = Query::parse(&params.query).map_err(|error| CliError::usage(error.to_string()))?;
    Ok(waiting::for_ncbi(estimate(&session.impatient_client(), &query, &plan, args.limit)).await?)
}

fn show(estimate: &Estimate, json: bool) -> Result<Exit, CliError> {
    if json {
        out::json(&json!({ "dry_run": true, "estimate": estimate }))?;
        return Ok(Exit::Done);
    }
    let count = |n: u64| out::count(i64::try_from(n).unwrap_or(i64::MAX));
    let megabytes = estimate.storage_bytes / 1e6;
    for (name, value) in [
        ("records", count(estimate.hits)),
        ("requests", count(estimate.requests)),
        ("time", format!("about {:.0} s at NCBI's rate limit", estimate.seconds.max(1.0))),
        ("storage", format!("about {megabytes:.1} MB if all are new")),
        (
            "on S3",
            format!(
                "about ${:.2} to store, ${:.2} a month (list prices, us-east-1)",
                estimate.put_usd, estimate.storage_usd_per_month
            ),
        ),
    ] {
        out::line(&format!("{name:<10} {value}"))?;
    }
    out::line("nothing was written")?;
    Ok(Exit::Done)
}
