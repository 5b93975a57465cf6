//! Fetching: units of a few hundred PMIDs, each PMID with exactly one outcome.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::looks::{self, Answers, CONTROLS, Set};
use super::{Sources, parse};
use crate::archive::Source;
use crate::db::DbError;
use crate::db::clock::Reading;
use crate::ingest::{self, Batch, BatchRows, Line, NewUnit, Plan, UnitContext, UnitError};
use crate::pipelines::archiving::{self, EFETCH, Origin, Raw, RawItem, What};
use crate::pubmed::eutils::Returned;
use crate::syncs::{self, Found, Place};
use crate::words::{JobId, Outcome, Pmid, Reason};

/// What a unit is to fetch.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Input {
    pmids: Vec<Pmid>,
    /// The slice of the first, for the watermark; none for records without one.
    first: Option<Place>,
    /// Whether a search lists them: one that is not returned is tried again by later runs.
    listed: bool,
}

/// How many of them have an outcome.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Cursor {
    done: usize,
}

/// Units: first what is tried again, then what was found, in order.
pub fn plan(retries: &[Pmid], found: &[Found], unit_records: usize) -> Plan {
    let again: HashSet<Pmid> = retries.iter().copied().collect();
    let new: Vec<&Found> = found.iter().filter(|found| !again.contains(&found.pmid)).collect();
    let retried = retries.chunks(unit_records).map(|pmids| Input { pmids: pmids.to_vec(), first: None, listed: true });
    let fetched = new.chunks(unit_records).map(|chunk| Input {
        pmids: chunk.iter().map(|found| found.pmid).collect(),
        first: Some(chunk[0].place),
        listed: true,
    });
    plan_of(&retried.chain(fetched).collect::<Vec<_>>())
}

/// Units of PMIDs that were named by a user.
pub fn plan_pmids(pmids: &[Pmid], unit_records: usize) -> Plan {
    let inputs = pmids.chunks(unit_records).map(|pmids| Input { pmids: pmids.to_vec(), first: None, listed: false });
    plan_of(&inputs.collect::<Vec<_>>())
}

fn plan_of(inputs: &[Input]) -> Plan {
    let total = inputs.iter().map(|input| i64::try_from(input.pmids.len()).unwrap_or(0)).sum();
    Plan {
        units: inputs.iter().map(|input| NewUnit { input: json!(input), required_hostname: None }).collect(),
        work_total: total,
        records_total: Some(total),
        ..Plan::default()
    }
}

/// Fetches and archives the records of a unit.
pub async fn run(context: &mut UnitContext, sources: &Sources, query_key: Option<&str>) -> Result<(), UnitError> {
    let input: Input = parse(&context.lease.input)?;
    let mut cursor: Cursor = match &context.lease.cursor {
        Some(cursor) => parse(cursor)?,
        None => Cursor::default(),
    };
    let numbers: HashMap<Pmid, i64> = input.pmids.iter().copied().zip(1..).collect();
    let rows: Option<Arc<dyn BatchRows>> = query_key
        .map(|key| Arc::new(SyncRows { query_key: key.to_owned(), listed: input.listed }) as Arc<dyn BatchRows>);
    let wanted = &input.pmids[cursor.done.min(input.pmids.len())..];
    if wanted.is_empty() {
        return Ok(());
    }
    context.check().await?;
    let clock = Reading::take(&context.engine.db).await?;
    let max_record_bytes = context.engine.archive.max_record_bytes();
    let requests =
        wanted.chunks(sources.request_records).map(|pmids| looks::first(&sources.client, pmids, max_record_bytes));
    let mut answers = try_join_all(requests).await?;
    context.check().await?;
    // What came with one request shows that the records missing in another are asked for of a server that has some.
    let fresh: Vec<Pmid> = answers.iter().filter_map(Answers::a_record).take(CONTROLS).collect();
    let controls = if fresh.len() < CONTROLS && answers.iter().any(Answers::is_open) {
        [fresh, looks::controls(&context.engine.db).await?].concat()
    } else {
        fresh
    };
    try_join_all(answers.iter_mut().map(|one| one.settle(&sources.client, &controls, max_record_bytes))).await?;
    context.check().await?;
    cursor.done = input.pmids.len();
    let mut prepared = Vec::new();
    // One batch for the whole unit: one sync of the file system, one transaction.
    let mut batch = Batch { cursor: json!(cursor), work: count(wanted), rows, ..Batch::default() };
    for Answers { sets, absent, .. } in answers {
        for set in sets {
            let (origin, raw) = raw_of(Set { as_of: clock.of(set.as_of), ..set }, &numbers);
            prepared.push(archiving::prepare(&context.engine, origin, &raw).await?);
        }
        batch.lines.extend(absent.iter().map(|pmid| Line {
            pmid: Some(*pmid),
            outcome: Outcome::Missing,
            hash: None,
            uri: None,
            reason: Some(Reason::Fault("not_returned".to_owned())),
        }));
    }
    for stored in archiving::store(context, prepared).await? {
        batch.accepts.extend(stored.accepts);
        batch.lines.extend(stored.lines);
        batch.found_again.extend(stored.found_again);
        batch.advances.extend(stored.advances);
        batch.versions.extend(stored.versions);
        batch.whole.extend(stored.whole);
        batch.intents.extend(stored.intents);
        batch.superseded.extend(stored.superseded);
    }
    debug_assert_eq!(batch.lines.len(), wanted.len(), "each PMID has one outcome");
    crate::words::crash::point("after_put");
    context.commit(batch).await?;
    crate::words::crash::point("after_commit");
    Ok(())
}

fn count(pmids: &[Pmid]) -> i64 {
    i64::try_from(pmids.len()).unwrap_or(i64::MAX)
}

fn raw_of(set: Set, numbers: &HashMap<Pmid, i64>) -> (Origin, Raw) {
    let items = set.returned.into_iter().map(|one| {
        let (range, what) = match one {
            Returned::Record { range, identity } => (range, What::Record(identity)),
            Returned::Bad { range, pmid, reason } => (range, What::Bad(pmid, reason)),
        };
        let pmid = match &what {
            What::Bad(pmid, _) => *pmid,
            other => other.archivable(),
        };
        let n = pmid.and_then(|pmid| numbers.get(&pmid)).copied().unwrap_or(0);
        RawItem { range, n, what, newest_revision: None }
    });
    let source =
        Source { api: EFETCH.to_owned(), endpoint: "efetch.fcgi".to_owned(), http_status: 200, http_etag: set.etag };
    (
        Origin { source, as_of: set.as_of, file_number: 0, file_id: None },
        Raw { items: items.collect(), bytes: set.bytes },
    )
}

/// Membership and the list of what is tried again.
struct SyncRows {
    query_key: String,
    listed: bool,
}

#[async_trait]
impl BatchRows for SyncRows {
    async fn write(&self, db: &mut PgConnection, lines: &[Line]) -> Result<(), DbError> {
        let of = |wanted: &[Outcome]| -> Vec<Pmid> {
            lines.iter().filter(|line| wanted.contains(&line.outcome)).filter_map(|line| line.pmid).collect()
        };
        let there = of(&[Outcome::Archived, Outcome::Skipped]);
        syncs::add_members(db, &self.query_key, &there).await?;
        let failed: Vec<(Pmid, String)> = lines
            .iter()
            .filter(|line| line.outcome == Outcome::Failed)
            .filter_map(|line| {
                Some((line.pmid?, line.reason.as_ref().and_then(Reason::as_str).unwrap_or_default().to_owned()))
            })
            .collect();
        let absent = if self.listed { of(&[Outcome::Missing]) } else { Vec::new() };
        syncs::settle_retries(db, &self.query_key, &there, &failed, &absent).await
    }
}

/// PMIDs of a job that failed, alone or with their unit, or that were not returned.
pub async fn failed_pmids(db: &PgPool, job: JobId) -> Result<Vec<Pmid>, UnitError> {
    let mut pmids = HashSet::new();
    let mut after = 0;
    loop {
        let page = ingest::failures(db, job, after, 1000).await?.rows;
        let Some(last) = page.last() else { break };
        after = last.id;
        pmids.extend(page.iter().filter_map(|failure| Pmid::parse(failure.pmid.as_deref()?).ok()));
    }
    for input in ingest::unfinished_inputs(db, job).await? {
        if let Ok(input) = serde_json::from_value::<Input>(input) {
            pmids.extend(input.pmids);
        }
    }
    let mut pmids: Vec<Pmid> = pmids.into_iter().collect();
    pmids.sort_unstable();
    Ok(pmids)
}
