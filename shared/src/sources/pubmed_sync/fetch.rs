//! Fetching: units of a few hundred PMIDs, each PMID with exactly one outcome.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::refetch::{self, CONTROLS, Fetched, Set};
use super::{Sources, cancellable, parse};
use crate::archive::Source;
use crate::core::{JobId, Outcome, Pmid, Reason};
use crate::db::clock::ClockReading;
use crate::ingest::{self, BatchRows, CommitError, NewUnit, Plan, RecordOutcome, UnitContext, UnitError};
use crate::pubmed::eutils::Returned;
use crate::records;
use crate::sources::store_records::{self, EFETCH, Origin, RawBatch, RawRecord, SliceKind, StoredBatch};
use crate::syncs::{self, FoundPmid, SlicePosition};

/// The PMIDs that a unit fetches.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Input {
    pmids: Vec<Pmid>,
    /// Whether a search listed them: one that is not returned is tried again by later runs.
    listed: bool,
}

/// Number of PMIDs that have an outcome.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Cursor {
    done: usize,
}

/// Units: first the retries, then the found PMIDs, in order; and the first slice of each unit of found PMIDs, for the
/// watermark.
pub fn plan(retries: &[Pmid], found: &[FoundPmid], unit_records: usize) -> (Plan, Vec<(i32, SlicePosition)>) {
    let again: HashSet<Pmid> = retries.iter().copied().collect();
    let new: Vec<&FoundPmid> = found.iter().filter(|found| !again.contains(&found.pmid)).collect();
    let mut inputs: Vec<Input> =
        retries.chunks(unit_records).map(|pmids| Input { pmids: pmids.to_vec(), listed: true }).collect();
    let mut slices = Vec::new();
    for chunk in new.chunks(unit_records) {
        inputs.push(Input { pmids: chunk.iter().map(|found| found.pmid).collect(), listed: true });
        slices.push((i32::try_from(inputs.len()).unwrap_or(i32::MAX), chunk[0].position));
    }
    (plan_of(&inputs), slices)
}

/// Units of PMIDs that a user named.
pub fn plan_pmids(pmids: &[Pmid], unit_records: usize) -> Plan {
    let inputs = pmids.chunks(unit_records).map(|pmids| Input { pmids: pmids.to_vec(), listed: false });
    plan_of(&inputs.collect::<Vec<_>>())
}

fn plan_of(inputs: &[Input]) -> Plan {
    let total = inputs.iter().map(|input| i64::try_from(input.pmids.len()).unwrap_or(0)).sum();
    Plan {
        units: inputs.iter().map(|input| NewUnit { input: json!(input), ..NewUnit::default() }).collect(),
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
    let clock = ClockReading::take(&context.engine.db).await?;
    let max_record_bytes = context.engine.archive.max_record_bytes();
    let requests = wanted
        .chunks(sources.request_records)
        .map(|pmids| refetch::fetch_once(&sources.client, pmids, max_record_bytes));
    let mut fetched = cancellable(context, try_join_all(requests)).await?;
    context.check().await?;
    // Records that one request returned are controls for the others: they show that the server has records.
    let fresh: Vec<Pmid> = fetched.iter().filter_map(Fetched::a_record).take(CONTROLS).collect();
    let controls = if fresh.len() < CONTROLS && fetched.iter().any(Fetched::is_open) {
        [fresh, refetch::controls(&context.engine.db).await?].concat()
    } else {
        fresh
    };
    let refetched = fetched.iter_mut().map(|one| one.refetch_missing(&sources.client, &controls, max_record_bytes));
    cancellable(context, try_join_all(refetched)).await?;
    context.check().await?;
    cursor.done = input.pmids.len();
    let mut prepared = Vec::new();
    // One batch for the whole unit: one file system sync, one transaction.
    let mut batch = StoredBatch::default();
    for Fetched { sets, absent, .. } in fetched {
        for set in sets {
            let (origin, raw) = raw_of(Set { as_of: clock.of(set.as_of), ..set }, &numbers);
            prepared.push(store_records::prepare(&context.engine, origin, &raw).await?);
        }
        batch.outcomes.extend(absent.iter().map(|pmid| RecordOutcome {
            key: records::key(Some(*pmid)),
            outcome: Outcome::Missing,
            hash: None,
            uri: None,
            reason: Some(Reason::Fault("not_returned".to_owned())),
        }));
    }
    for stored in store_records::store(&context.engine, &context.lease, prepared).await? {
        batch.extend(stored);
    }
    debug_assert_eq!(batch.outcomes.len(), wanted.len(), "each PMID has one outcome");
    crate::core::crash::point("after_put");
    context.commit(batch.into_batch(json!(cursor), count(wanted), rows)).await?;
    crate::core::crash::point("after_commit");
    Ok(())
}

fn count(pmids: &[Pmid]) -> i64 {
    i64::try_from(pmids.len()).unwrap_or(i64::MAX)
}

fn raw_of(set: Set, numbers: &HashMap<Pmid, i64>) -> (Origin, RawBatch) {
    let items = set.returned.into_iter().map(|one| {
        let (range, kind) = match one {
            Returned::Record { range, identity } => (range, SliceKind::Record(identity)),
            Returned::Bad { range, pmid, reason } => (range, SliceKind::Bad(pmid, reason)),
        };
        let pmid = match &kind {
            SliceKind::Bad(pmid, _) => *pmid,
            other => other.archivable(),
        };
        let n = pmid.and_then(|pmid| numbers.get(&pmid)).copied().unwrap_or(0);
        RawRecord { range, n, kind, newest_revision: None }
    });
    let source =
        Source { api: EFETCH.to_owned(), endpoint: "efetch.fcgi".to_owned(), http_status: 200, http_etag: set.etag };
    (
        Origin { source, as_of: set.as_of, file_number: 0, file_id: None },
        RawBatch { items: items.collect(), bytes: set.bytes },
    )
}

/// Memberships and the retry list.
struct SyncRows {
    query_key: String,
    listed: bool,
}

#[async_trait]
impl BatchRows for SyncRows {
    async fn write(&self, db: &mut PgConnection, outcomes: &mut [RecordOutcome]) -> Result<(), CommitError> {
        let of = |wanted: &[Outcome]| -> Vec<Pmid> {
            let wanted = outcomes.iter().filter(|one| wanted.contains(&one.outcome));
            wanted.filter_map(|one| records::pmid(&one.key)).collect()
        };
        let there = of(&[Outcome::Archived, Outcome::Skipped]);
        syncs::add_members(db, &self.query_key, &there).await?;
        let failed: Vec<(Pmid, String)> = outcomes
            .iter()
            .filter(|one| one.outcome == Outcome::Failed)
            .filter_map(|one| {
                let reason = one.reason.as_ref().and_then(Reason::as_str).unwrap_or_default();
                Some((records::pmid(&one.key)?, reason.to_owned()))
            })
            .collect();
        let absent = if self.listed { of(&[Outcome::Missing]) } else { Vec::new() };
        Ok(syncs::update_retry_list(db, &self.query_key, &there, &failed, &absent).await?)
    }
}

/// PMIDs of a job that failed, alone or with their unit, or were not returned.
pub async fn failed_pmids(db: &PgPool, job: JobId) -> Result<Vec<Pmid>, UnitError> {
    let mut pmids = HashSet::new();
    let mut after = 0;
    loop {
        let page = ingest::failures(db, job, after, 1000).await?.rows;
        let Some(last) = page.last() else { break };
        after = last.id;
        pmids.extend(page.iter().filter_map(|failure| Pmid::parse(failure.record_id.as_deref()?).ok()));
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
