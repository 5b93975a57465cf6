//! Fetching: units of a few hundred PMIDs, each PMID with exactly one outcome.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, try_join_all};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::{Sources, parse};
use crate::archive::Source;
use crate::db::DbError;
use crate::db::clock::Reading;
use crate::ingest::{self, Batch, BatchRows, Line, NewUnit, Plan, UnitContext, UnitError};
use crate::pipelines::archiving::{self, EFETCH, Origin, Raw, RawItem, What};
use crate::pubmed::eutils::{Client, EutilsError, Fault, RecordSet, Returned};
use crate::syncs::{self, Found, Place};
use crate::words::{JobId, Outcome, Pmid, Reason, clock};

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

/// Units of PMIDs that somebody named.
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
    let requests = wanted.chunks(sources.request_records).map(|pmids| fetch(&sources.client, pmids, max_record_bytes));
    let answers = try_join_all(requests).await?;
    context.check().await?;
    cursor.done = input.pmids.len();
    let mut prepared = Vec::new();
    // One batch for the whole unit: one sync of the file system, one transaction.
    let mut batch = Batch { cursor: json!(cursor), work: count(wanted), rows, ..Batch::default() };
    for Answers { sets, absent } in answers {
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

/// The answers for some PMIDs: each is in one of the sets, or absent.
struct Answers {
    sets: Vec<Set>,
    absent: Vec<Pmid>,
}

/// Records with the bytes they stand in.
struct Set {
    bytes: Vec<u8>,
    returned: Vec<Returned>,
    as_of: DateTime<Utc>,
    etag: Option<String>,
}

/// Fetches PMIDs until each is returned, or was asked for twice without coming.
fn fetch<'a>(
    client: &'a Client,
    pmids: &'a [Pmid],
    max_record_bytes: usize,
) -> BoxFuture<'a, Result<Answers, EutilsError>> {
    Box::pin(async move {
        match client.fetch(pmids, max_record_bytes).await {
            Ok(answer) => second_look(client, pmids, answer, max_record_bytes).await,
            // A few very large records: in smaller portions.
            Err(
                EutilsError::TooLarge { .. }
                | EutilsError::Unavailable { fault: Fault::Timeout | Fault::Truncated, .. }
                | EutilsError::Deadline { fault: Fault::Timeout | Fault::Truncated, .. },
            ) if pmids.len() > 1 => {
                let (left, right) = pmids.split_at(pmids.len() / 2);
                let mut answers = fetch(client, left, max_record_bytes).await?;
                let others = fetch(client, right, max_record_bytes).await?;
                answers.sets.extend(others.sets);
                answers.absent.extend(others.absent);
                Ok(answers)
            }
            Err(EutilsError::TooLarge { limit_bytes }) => {
                let reason = format!("larger than {limit_bytes} bytes");
                let returned = vec![Returned::Bad { range: 0..0, pmid: Some(pmids[0]), reason }];
                let set = Set { bytes: Vec::new(), returned, as_of: clock::now(), etag: None };
                Ok(Answers { sets: vec![set], absent: Vec::new() })
            }
            Err(error) => Err(error),
        }
    })
}

/// An answer may leave records out for no reason: those are asked for once more, and alone where a
/// record without a readable PMID may be the one.
async fn second_look(
    client: &Client,
    pmids: &[Pmid],
    first: RecordSet,
    max_record_bytes: usize,
) -> Result<Answers, EutilsError> {
    let nameless = |set: &RecordSet| set.returned.iter().any(|one| matches!(one, Returned::Bad { pmid: None, .. }));
    let mut absent = first.absent.clone();
    let mut was_nameless = nameless(&first);
    let mut sets = Vec::new();
    if pmids.len() == 1 && was_nameless {
        sets.push(named(first, pmids[0]));
        return Ok(Answers { sets, absent: Vec::new() });
    }
    sets.push(with_names(first));
    if !absent.is_empty() {
        let again = client.fetch(&absent, max_record_bytes).await?;
        was_nameless |= nameless(&again);
        absent.clone_from(&again.absent);
        sets.push(with_names(again));
    }
    if was_nameless {
        let mut still = Vec::new();
        for pmid in absent {
            let alone = client.fetch(&[pmid], max_record_bytes).await?;
            if alone.returned.is_empty() {
                still.push(pmid);
            } else {
                sets.push(named(alone, pmid));
            }
        }
        absent = still;
    }
    Ok(Answers { sets, absent })
}

/// A set without what cannot be told apart.
fn with_names(mut set: RecordSet) -> Set {
    set.returned.retain(|one| !matches!(one, Returned::Bad { pmid: None, .. }));
    Set { bytes: set.bytes, returned: set.returned, as_of: set.as_of, etag: set.etag }
}

/// The set of one PMID: its record if that came, else whatever came is its.
fn named(mut set: RecordSet, asked: Pmid) -> Set {
    if set.returned.iter().any(|one| matches!(one, Returned::Record { .. })) {
        set.returned.retain(|one| matches!(one, Returned::Record { .. }));
    }
    set.returned.truncate(1);
    for one in &mut set.returned {
        if let Returned::Bad { pmid, .. } = one {
            *pmid = Some(asked);
        }
    }
    Set { bytes: set.bytes, returned: set.returned, as_of: set.as_of, etag: set.etag }
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
        let page = ingest::failures(db, job, after, 1000).await?;
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
