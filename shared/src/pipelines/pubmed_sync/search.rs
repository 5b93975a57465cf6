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
use crate::pubmed::eutils::{Listing, Query, Slice, Walk};
use crate::syncs::{self, Place};
use crate::words::{ErrorCode, JobId, Pmid};

/// Where the search goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cursor {
    /// The slice of the run; none when all are listed.
    place: Option<Place>,
    /// What is left of it, when it had to be halved.
    left: Option<Walk>,
}

/// The unit.
pub fn unit() -> NewUnit {
    NewUnit { input: json!({}), required_hostname: None }
}

/// Lists slice after slice. With a limit, windows of days are listed no further than needed.
pub async fn run(context: &mut UnitContext, sources: &Sources, limit: Option<i64>) -> Result<(), UnitError> {
    let job = context.lease.job;
    let run = run_of(&context.engine.db, job).await?;
    let query = Query::parse(&run.plan.query)
        .map_err(|error| UnitError::permanent(ErrorCode::ValidationError, error.to_string()))?;
    let cap = sources.client.settings().cap;
    let mut cursor = match &context.lease.cursor {
        Some(cursor) => parse(cursor)?,
        None => Cursor { place: run.plan.next(None), left: None },
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
                refuse_too_many(i64::try_from(count).unwrap_or(i64::MAX), sources.max_records)?;
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
        cursor = if is_over {
            Cursor { place: run.plan.next(Some(place)), left: None }
        } else {
            Cursor { place: Some(place), left: Some(walk) }
        };
        let rows = Arc::new(FoundRows { job, place, pmids: new });
        context.commit(Batch { cursor: json!(cursor), rows: Some(rows), ..Batch::default() }).await?;
        crate::words::crash::point("after_slice");
        let found = syncs::count_found(&context.engine.db, job).await?;
        refuse_too_many(found, sources.max_records)?;
        // A whole query is resumed by PMID, so all of it must be known; days are resumed by day.
        if is_over && place.day.is_some() && limit.is_some_and(|limit| found >= limit) {
            break;
        }
    }
    let found = syncs::count_found(&context.engine.db, job).await?;
    let rows = Arc::new(StopRows { job, place: cursor.place, found });
    context.commit(Batch { cursor: json!(cursor), rows: Some(rows), ..Batch::default() }).await
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
