//! The part of the demo that syncs: from a simulated NCBI on this machine, or from the real one.

use std::path::PathBuf;

use chrono::{Days, TimeDelta};
use samples::files::{FIRST, size_of};
use shared::core::{Tally, clock};
use shared::pubmed::eutils::{Query, SearchRequest};
use shared::sources::pubmed_sync::{IncrementalParams, SyncParams, submit_incremental, submit_sync};
use shared::syncs::ncbi_day;
use simulator::{Corpus, Entry, Options, Simulator};

use super::steps::{Tried, note, say, verified};
use crate::commands::ingest;
use crate::commands::work::{report, work};
use crate::failure::CliError;
use crate::out;
use crate::session::Session;

/// Key of the query.
const TOPIC: &str = "demo";

/// Upstream records that are also in the sample files.
const KNOWN: std::ops::RangeInclusive<u32> = FIRST + 101..=FIRST + 400;

/// Upstream records that are not in the sample files.
const UNKNOWN: std::ops::RangeInclusive<u32> = FIRST + 5001..=FIRST + 5200;

/// Records that change upstream between the two syncs.
const REVISED: std::ops::RangeInclusive<u32> = FIRST + 5001..=FIRST + 5005;
const RETRACTED: u32 = FIRST + 5050;
const ADDED: std::ops::RangeInclusive<u32> = FIRST + 5201..=FIRST + 5203;

/// The record that the update file deletes.
const DELETED: u32 = FIRST + 5100;

const UPDATE: &str = "pubmed26n0003.xml.gz";

/// The query of the demo on the real NCBI, and how many records it takes.
const LIVE_QUERY: &str = "\"retraction of publication\"[pt] AND 2025[dp]";
const LIVE_LIMIT: i64 = 20;

/// A simulated NCBI with the records of the query, all added some time ago.
pub async fn simulator() -> Result<Simulator, CliError> {
    let today = ncbi_day(clock::now());
    let mut corpus = Corpus::new(today);
    let topics = corpus.topic(TOPIC);
    for pmid in KNOWN.chain(UNKNOWN) {
        let days = 100 + u64::from(pmid % 300);
        corpus.put(pmid, Entry { topics, bytes: size_of(pmid), ..Entry::on(today - Days::new(days)) });
    }
    Ok(Simulator::start(corpus, Options::default()).await?)
}

/// Syncs, changes upstream, syncs again, applies an update file; checks the counts that the demo claims.
pub async fn syncs(session: &Session, upstream: &Simulator, steps: &mut Vec<(String, Tally)>) -> Result<(), CliError> {
    let params = IncrementalParams::new(TOPIC, Some(TOPIC), None, None)?;
    let sync = async |name: &str, steps: &mut Vec<(String, Tally)>| {
        say(name)?;
        let submitted = submit_incremental(session.db(), &params, session.limits(), |submission| submission).await?;
        let job = work(session, submitted.job(), session.config.workers).await?;
        note(name, &job, steps)
    };
    out::line(&format!("\nNCBI is simulated on this machine: {}", upstream.eutils_url()))?;
    sync("6. Sync a query from NCBI: records from the files are not stored again", steps).await?;
    {
        let mut corpus = upstream.corpus();
        REVISED.for_each(|pmid| corpus.revise(pmid));
        corpus.retract(RETRACTED);
        for pmid in ADDED {
            corpus.add(pmid, TOPIC).bytes = size_of(pmid);
        }
    }
    sync("7. Sync it again: exactly what changed upstream", steps).await?;

    let name = "8. Fetch and ingest the update file that deletes a record";
    say(name)?;
    // NCBI would publish the file on a later day than the records were fetched.
    let published = clock::now() + TimeDelta::seconds(1);
    upstream.publish_update(UPDATE, &[RETRACTED], &[DELETED], published.timestamp());
    let job = ingest::one_file(session, &PathBuf::from(UPDATE)).await?;
    note(name, &job, steps)?;
    check(steps)
}

/// Fails unless the counts match what the demo claims.
fn check(steps: &[(String, Tally)]) -> Result<(), CliError> {
    let n = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let (known, unknown) = (n(KNOWN.count()), n(UNKNOWN.count()));
    let changed = n(REVISED.count() + ADDED.count()) + 1;
    let expected = [
        Tally { requested: known + unknown, archived: unknown, skipped: known, unchanged: known, ..Tally::default() },
        Tally { requested: changed, archived: changed, ..Tally::default() },
        Tally { requested: 2, skipped: 1, unchanged: 1, deleted: 1, ..Tally::default() },
    ];
    for ((name, found), expected) in steps.iter().rev().take(3).rev().zip(expected) {
        if *found != expected {
            return Err(CliError::internal(format!("{name}: expected {expected:?}, found {found:?}")));
        }
    }
    Ok(())
}

/// Search, sync and rerun against the configured NCBI.
pub async fn live(session: &Session) -> Result<Tried, CliError> {
    say(&format!("1. Search PubMed for {LIVE_QUERY}"))?;
    let query = Query::parse(LIVE_QUERY).map_err(|error| CliError::internal(error.to_string()))?;
    let request = SearchRequest { query: &query, slice: None, start: 0, limit: 5, sort: None };
    let page = session.client.search(&request).await?;
    out::line(&format!("{} at {}", out::counted(page.count, "record"), session.config.pubmed.base_url))?;
    let mut steps = Vec::new();
    let params = SyncParams::of_query(LIVE_QUERY, None, Some(LIVE_LIMIT))?;
    for name in ["2. Sync the newest of them", "3. Sync them again: nothing is written"] {
        say(name)?;
        let submitted = submit_sync(session.db(), &params, session.limits(), |submission| submission).await?;
        let job = work(session, submitted.job(), session.config.workers).await?;
        if job.result.is_none() {
            report(&job, false)?;
            return Err(CliError::internal("the sync failed"));
        }
        note(name, &job, &mut steps)?;
    }
    say("4. Verify every pointer, object, hash and history row")?;
    verified(session).await?;
    Ok(Tried { steps, look_at: page.pmids.first().map(|pmid| pmid.get()) })
}
