//! The search: every PMID that a run is to fetch, slice by slice, kept in rows.
//!
//! One unit. Its cursor is the slice and what is left of it, so that a stop in the middle of a walk of
//! hundreds of requests costs one of them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

use super::{Sources, parse, run_of};
use crate::db::DbError;
use crate::ingest::{Batch, BatchRows, Line, NewUnit, UnitContext, UnitError};
use crate::jobs::{self, Level};
use crate::pubmed::eutils::{Listing, Query, SearchRequest, Slice, Walk};
use crate::syncs::{self, Place};
use crate::words::{ErrorCode, JobId, Pmid};

/// Where the search goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cursor {
    /// The slice of the run; none when all are listed.
    place: Option<Place>,
    /// What is left of it, when it had to be halved.
    left: Option<Walk>,
    /// How many results the whole query was counted to have, when that was too many to list at once.
    #[serde(default)]
    counted: Option<u64>,
}

/// The unit.
pub fn unit() -> NewUnit {
    NewUnit { input: json!({}), required_hostname: None }
}

/// Which of the results are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every one.
    All,
    /// So many with the highest PMIDs.
    Newest(i64),
    /// So many of the oldest days; a later run goes on behind them.
    Oldest(i64),
}

/// Lists slice after slice, no further than wanted.
pub async fn run(context: &mut UnitContext, sources: &Sources, wanted: Wanted) -> Result<(), UnitError> {
    let job = context.lease.job;
    let run = run_of(&context.engine.db, job).await?;
    let query = Query::parse(&run.plan.query)
        .map_err(|error| UnitError::permanent(ErrorCode::ValidationError, error.to_string()))?;
    let cap = sources.client.settings().cap;
    let mut cursor = match &context.lease.cursor {
        Some(cursor) => parse(cursor)?,
        None => {
            Cursor { place: run.plan.next(None), left: newest(context, sources, &query, wanted).await?, counted: None }
        }
    };
    while let Some(place) = cursor.place {
        context.check().await?;
        let mut walk = cursor.left.take().unwrap_or_else(|| Walk::over([slice_of(place)]));
        let Some(slice) = walk.next(cap) else {
            cursor.place = run.plan.next(Some(place));
            continue;
        };
        let pmids = match sources.client.list(&query, &slice).await? {
            Listing::TooMany(count) => {
                if wanted == Wanted::All {
                    refuse_too_many(i64::try_from(count).unwrap_or(i64::MAX), sources.max_records)?;
                    cursor.counted = cursor.counted.or_else(|| place.day.is_none().then_some(count));
                }
                if !walk.too_many(count) {
                    return Err(UnitError::permanent(ErrorCode::PubmedError, "NCBI lists one PMID more than once"));
                }
                cursor.left = Some(walk);
                continue;
            }
            Listing::Complete(pmids) => pmids,
        };
        walk.listed(pmids.len() as u64);
        let skip = run.plan.skip(place);
        let new: Vec<Pmid> = pmids.into_iter().filter(|pmid| pmid.get() > skip).collect();
        let is_over = walk.is_done();
        let (place_after, left) = if is_over { (run.plan.next(Some(place)), None) } else { (Some(place), Some(walk)) };
        cursor = Cursor { place: place_after, left, ..cursor };
        let rows = Arc::new(FoundRows { job, place, pmids: new });
        context.commit(Batch { cursor: json!(cursor), rows: Some(rows), ..Batch::default() }).await?;
        crate::words::crash::point("after_slice");
        let found = syncs::count_found(&context.engine.db, job).await?;
        refuse_too_many(found, sources.max_records)?;
        if is_over && skip == 0 && place.day.is_none() {
            refuse_too_few(found, cursor.counted)?;
        }
        // A whole query is resumed by PMID, so all of it must be known; days are resumed by day.
        if is_over && place.day.is_some() && matches!(wanted, Wanted::Oldest(limit) if found >= limit) {
            break;
        }
    }
    let found = syncs::count_found(&context.engine.db, job).await?;
    let rows = Arc::new(StopRows { job, place: cursor.place, found });
    context.commit(Batch { cursor: json!(cursor), rows: Some(rows), ..Batch::default() }).await
}

/// The walk over only as much of the top of a query as holds the newest records wanted: a few counts
/// instead of a list of everything.
async fn newest(
    context: &UnitContext,
    sources: &Sources,
    query: &Query,
    wanted: Wanted,
) -> Result<Option<Walk>, UnitError> {
    let Wanted::Newest(limit) = wanted else { return Ok(None) };
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let cap = u64::from(sources.client.settings().cap);
    let mut count = count_from(sources, query, 1).await?;
    if count < limit {
        return Ok(None);
    }
    // From `low` on there are enough, from `high` on too few.
    let (mut low, mut high) = (1, Pmid::MAX);
    while count > cap.max(limit.saturating_mul(2)) && high - low > 1 {
        context.check().await?;
        let middle = low + (high - low) / 2;
        let above = count_from(sources, query, middle).await?;
        if above >= limit {
            (low, count) = (middle, above);
        } else {
            high = middle;
        }
    }
    Ok(Some(Walk::over([Slice::from_pmid(low)])))
}

async fn count_from(sources: &Sources, query: &Query, pmid: u32) -> Result<u64, UnitError> {
    let slice = Slice::from_pmid(pmid);
    let request = SearchRequest { query, slice: Some(&slice), start: 0, limit: 0, sort: None };
    Ok(sources.client.search(&request).await?.count)
}

fn slice_of(place: Place) -> Slice {
    place.day.map_or_else(Slice::all, |day| Slice::days(place.field, day, day))
}

fn refuse_too_many(found: i64, max: i64) -> Result<(), UnitError> {
    if found <= max {
        return Ok(());
    }
    Err(UnitError::permanent(
        ErrorCode::ValidationError,
        format!(
            "the query has {found} records, a sync takes at most {max} (BIO_MCP_SYNC_MAX_RECORDS): narrow it, or ingest \
             the baseline and update files"
        ),
    ))
}

/// The parts of a walk must have what the whole was counted to have; a few may come and go meanwhile.
fn refuse_too_few(found: i64, counted: Option<u64>) -> Result<(), UnitError> {
    let counted = i64::try_from(counted.unwrap_or(0)).unwrap_or(i64::MAX);
    if found + 10 + counted / 1000 >= counted {
        return Ok(());
    }
    let message =
        format!("NCBI counts {counted} records, but its days have only {found}: nothing is taken for complete");
    Err(UnitError::permanent(ErrorCode::PubmedError, message))
}

/// What a slice has.
struct FoundRows {
    job: JobId,
    place: Place,
    pmids: Vec<Pmid>,
}

#[async_trait]
impl BatchRows for FoundRows {
    async fn write(&self, db: &mut PgConnection, _: &[Line]) -> Result<(), DbError> {
        syncs::insert_found(db, self.job, self.place, &self.pmids).await
    }
}

/// The search is over, or stops here because of a limit.
struct StopRows {
    job: JobId,
    place: Option<Place>,
    found: i64,
}

#[async_trait]
impl BatchRows for StopRows {
    async fn write(&self, db: &mut PgConnection, _: &[Line]) -> Result<(), DbError> {
        syncs::save_search_stop(db, self.job, self.place).await?;
        jobs::write_log(db, self.job, Level::Info, "searched", json!({ "found": self.found })).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_with_far_fewer_records_than_the_whole_are_not_taken_for_complete() {
        let check = |found, counted, is_fine| {
            assert_eq!(refuse_too_few(found, counted).is_ok(), is_fine, "{found} of {counted:?}");
        };
        check(0, None, true);
        check(9_995, Some(10_000), true);
        check(10_020, Some(10_000), true);
        check(9_900, Some(10_000), false);
        check(265_000, Some(266_421), false);
        check(266_200, Some(266_421), true);
    }

    #[test]
    fn a_sync_of_too_many_is_refused_with_their_number_and_the_other_way() {
        let error = refuse_too_many(1_000_001, 1_000_000).expect_err("too many").to_string();
        assert!(error.contains("1000001") && error.contains("baseline and update files"), "{error}");
        assert!(refuse_too_many(1_000_000, 1_000_000).is_ok());
    }
}
