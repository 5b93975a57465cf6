//! The search: lists every PMID that a run fetches, slice by slice, and stores them in rows.
//!
//! One unit. Its cursor is the stage and the rest of its walk, so that a stop during a walk of hundreds of requests
//! repeats only one of them. Counts that a walk cannot reconcile are stored as gaps, which hold watermarks.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::Days;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

use super::{INCREMENTAL, Sources, cancellable, parse, run_of};
use crate::core::{ErrorCode, JobId, Pmid};
use crate::ingest::{Batch, BatchRows, CommitError, NewUnit, RecordOutcome, UnitContext, UnitError};
use crate::jobs::{self, Level};
use crate::pubmed::eutils::{Listing, Query, Slice, Walk, WalkStep};
use crate::syncs::{self, Gap, SlicePosition, Stage};

/// Where the search resumes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Cursor {
    /// Number of the stage; after the last one, all PMIDs are listed.
    stage: i16,
    /// The rest of its walk, once that is started.
    walk: Option<Walk>,
    /// Where a limit stops the search.
    stop: Option<SlicePosition>,
    /// Gaps of earlier stages.
    gaps: Vec<Gap>,
    /// Whether parts of a stage were listed more than once.
    is_repeated: bool,
    /// Number of records of the whole query, if it was walked.
    counted: Option<u64>,
}

/// The only unit of the search.
pub fn unit() -> NewUnit {
    NewUnit { input: json!({}), ..NewUnit::default() }
}

/// Which results are requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// This number of results with the highest PMIDs.
    Newest(i64),
    /// This number of results of the oldest days; a later run continues after them.
    Oldest(i64),
}

/// Lists slice after slice, no further than requested, until the lists match the counts or are known not to.
pub async fn run(context: &mut UnitContext, sources: &Sources, wanted: Selection) -> Result<(), UnitError> {
    let job = context.lease.job;
    let run = run_of(&context.engine.db, job).await?;
    let query = Query::parse(&run.plan.query)
        .map_err(|error| UnitError::permanent(ErrorCode::ValidationError, error.to_string()))?;
    let mut cursor = match &context.lease.cursor {
        Some(cursor) => parse(cursor)?,
        None => Cursor { walk: newest(context, sources, &query, wanted).await?, ..Cursor::default() },
    };
    while let Some(stage) = run.plan.stage(cursor.stage) {
        context.check().await?;
        let walk = cursor.walk.get_or_insert_with(|| walk_of(stage));
        let Some(step) = walk.next(sources.client.settings().cap) else {
            let found = syncs::count_found(&context.engine.db, job).await?;
            cursor.end_stage(stage, context.lease.tool == INCREMENTAL);
            // A whole query is resumed by PMID, windows by stage or day.
            let is_enough = stage.window.is_some() && matches!(wanted, Selection::Oldest(limit) if found >= limit);
            cursor.stop = cursor.stop.or_else(|| run.plan.first_of(cursor.stage).filter(|_| is_enough));
            if cursor.stop.is_some() {
                break;
            }
            continue;
        };
        match step {
            WalkStep::Count(slice) => {
                let count = cancellable(context, sources.client.count(&query, &slice)).await?;
                walk.counted(count);
                if stage.window.is_none() && slice == Slice::all() {
                    cursor.counted = Some(count);
                }
            }
            WalkStep::List(slice) => match cancellable(context, sources.client.list(&query, &slice)).await? {
                Listing::TooMany(count) => {
                    if wanted == Selection::All {
                        refuse_too_many(i64::try_from(count).unwrap_or(i64::MAX), sources.max_records)?;
                    }
                    walk.too_many(count);
                }
                Listing::Short { pmids, counted } if walk.short(counted, pmids.len() as u64) => {}
                listing @ (Listing::Complete { .. } | Listing::Short { .. }) => {
                    let pmids = cursor.take(listing);
                    let position = position_of(cursor.stage, slice);
                    let skip = run.plan.skip(position);
                    let new = pmids.into_iter().filter(|pmid| pmid.get() > skip).collect();
                    let rows = Arc::new(FoundRows { job, position, pmids: new });
                    context.commit(Batch { cursor: json!(cursor), rows: Some(rows), ..Batch::default() }).await?;
                    crate::core::crash::point("after_slice");
                    let found = syncs::count_found(&context.engine.db, job).await?;
                    refuse_too_many(found, sources.max_records)?;
                    if matches!(wanted, Selection::Oldest(limit) if found >= limit) {
                        cursor.cut(stage);
                    }
                    continue;
                }
            },
        }
        // Stores the counts, so that a walk that is interrupted often completes too.
        context.commit(Batch { cursor: json!(cursor), ..Batch::default() }).await?;
    }
    let found = syncs::count_found(&context.engine.db, job).await?;
    let counted = match (cursor.counted, wanted) {
        (Some(counted), _) => Some(counted),
        (None, Selection::Newest(_)) => None,
        (None, _) => Some(cancellable(context, sources.client.count(&query, &Slice::all())).await?),
    };
    let rows = Arc::new(EndRows { job, query_key: run.query_key.clone(), cursor: cursor.clone(), found, counted });
    context.commit(Batch { cursor: json!(cursor), rows: Some(rows), ..Batch::default() }).await
}

impl Cursor {
    /// The records of a slice, which the walk counts as listed. The walk itself reports an incomplete slice.
    fn take(&mut self, listing: Listing) -> BTreeSet<Pmid> {
        match listing {
            Listing::Complete { pmids, counted } => {
                if let Some(walk) = &mut self.walk {
                    walk.listed(counted);
                }
                pmids
            }
            Listing::Short { pmids, .. } => pmids,
            Listing::TooMany(_) => BTreeSet::new(),
        }
    }

    /// Stores the gaps of a stage and continues with the next. `for_watermark`: whether a watermark depends on it.
    fn end_stage(&mut self, stage: &Stage, for_watermark: bool) {
        let walk = self.walk.take().unwrap_or_default();
        let field = stage.window.map(|window| window.field);
        let gap = |from, to, counted, listed| Gap { stage: self.stage, field, from, to, counted, listed };
        let short = walk.shortfalls().iter().map(|short| {
            let (from, to) = short.slice.span().filter(|_| field.is_some()).unzip();
            gap(from, to, short.counted, short.listed)
        });
        let mut gaps: Vec<Gap> = short.collect();
        // Nothing at all is what an outage looks like: no query is taken for complete by that.
        if for_watermark && stage.window.is_none() && walk.total() == 0 && gaps.is_empty() {
            gaps.push(gap(None, None, 0, 0));
        }
        self.gaps.extend(gaps);
        self.is_repeated |= walk.is_repeated();
        self.stage += 1;
    }

    /// Ends a window before the first day that is not listed yet, if it has earlier days.
    fn cut(&mut self, stage: &Stage) {
        let (Some(walk), Some(window)) = (&mut self.walk, stage.window) else { return };
        if let Some(rest) = walk.rest_from().filter(|rest| *rest > window.from) {
            walk.cut(rest - Days::new(1));
            self.stop = Some(SlicePosition { stage: self.stage, day: Some(rest), until: None, field: window.field });
        }
    }
}

/// The slices of a stage: all days together, so that one search lists them if they have few records.
fn walk_of(stage: &Stage) -> Walk {
    let Some(window) = stage.window else { return Walk::over([Slice::all()]) };
    let days = |from, to| (from <= to).then(|| Slice::days(window.field, from, to));
    let rest = window.first_until.map_or(window.from, |until| until + Days::new(1));
    let stopped = window.first_until.and_then(|until| days(window.from, until));
    Walk::over(stopped.into_iter().chain(days(rest, window.to)))
}

fn position_of(stage: i16, slice: Slice) -> SlicePosition {
    let (day, until) = slice.span().unzip();
    SlicePosition { stage, day, until, field: slice.field() }
}

/// The walk over only the part of a query that contains the newest requested records: a few counts instead of a list of
/// all records.
async fn newest(
    context: &UnitContext,
    sources: &Sources,
    query: &Query,
    wanted: Selection,
) -> Result<Option<Walk>, UnitError> {
    let Selection::Newest(limit) = wanted else { return Ok(None) };
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let cap = u64::from(sources.client.settings().cap);
    let mut count = count_from(context, sources, query, 1).await?;
    if count < limit {
        return Ok(None);
    }
    // From `low` on there are enough records, from `high` on too few.
    let (mut low, mut high) = (1, Pmid::MAX);
    while count > cap.max(limit.saturating_mul(2)) && high - low > 1 {
        context.check().await?;
        let middle = low + (high - low) / 2;
        let above = count_from(context, sources, query, middle).await?;
        if above >= limit {
            (low, count) = (middle, above);
        } else {
            high = middle;
        }
    }
    Ok(Some(Walk::over([Slice::from_pmid(low)])))
}

async fn count_from(context: &UnitContext, sources: &Sources, query: &Query, pmid: u32) -> Result<u64, UnitError> {
    cancellable(context, sources.client.count(query, &Slice::from_pmid(pmid))).await
}

fn refuse_too_many(found: i64, max: i64) -> Result<(), UnitError> {
    if found <= max {
        return Ok(());
    }
    Err(UnitError::permanent(
        ErrorCode::ValidationError,
        format!(
            "the query has {found} records, but a sync has a limit of {max} (BIO_MCP_SYNC_MAX_RECORDS): narrow the \
             query, or ingest the baseline and update files"
        ),
    ))
}

/// The PMIDs of a slice.
struct FoundRows {
    job: JobId,
    position: SlicePosition,
    pmids: Vec<Pmid>,
}

#[async_trait]
impl BatchRows for FoundRows {
    async fn write(&self, db: &mut PgConnection, _: &mut [RecordOutcome]) -> Result<(), CommitError> {
        Ok(syncs::insert_found(db, self.job, self.position, &self.pmids).await?)
    }
}

/// The search is complete, or stops because of a limit.
struct EndRows {
    job: JobId,
    query_key: String,
    cursor: Cursor,
    found: i64,
    counted: Option<u64>,
}

#[async_trait]
impl BatchRows for EndRows {
    async fn write(&self, db: &mut PgConnection, _: &mut [RecordOutcome]) -> Result<(), CommitError> {
        let Cursor { stop, gaps, is_repeated, .. } = &self.cursor;
        syncs::save_search_end(db, self.job, *stop, gaps, *is_repeated).await?;
        if let Some(counted) = self.counted {
            syncs::note_upstream_count(db, &self.query_key, counted).await?;
        }
        for gap in gaps {
            jobs::write_log(db, self.job, Level::Warn, message_of(gap), json!(gap)).await?;
        }
        Ok(jobs::write_log(db, self.job, Level::Info, "searched", json!({ "found": self.found })).await?)
    }
}

/// Describes a gap for people.
pub fn message_of(gap: &Gap) -> &'static str {
    if gap.counted == 0 {
        "NCBI found nothing for the whole query, which is implausible: the next run searches again"
    } else {
        "NCBI lists fewer records than it counts: the next run lists them again"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_of_too_many_is_refused_with_their_number_and_the_other_way() {
        let error = refuse_too_many(1_000_001, 1_000_000).expect_err("too many").to_string();
        assert!(error.contains("1000001") && error.contains("baseline and update files"), "{error}");
        assert!(refuse_too_many(1_000_000, 1_000_000).is_ok());
    }
}
