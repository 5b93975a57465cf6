//! `pubmed.sync` and `pubmed.sync.incremental`: records from NCBI's E-utilities into the archive.
//!
//! Two phases. `search` lists every PMID that is due, slice by slice; `fetch` gets them in units of a few hundred. A
//! watermark moves in the transaction of the unit that completes the last open record before it.

mod estimate;
mod fetch;
mod params;
mod refetch;
mod search;
mod submit;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use sqlx::{PgConnection, PgPool};

pub use estimate::{Estimate, estimate};
pub use params::{IncrementalParams, OVERLAP_DAYS, ParamError, SyncParams};
pub use refetch::controls;
use search::Selection;
pub use submit::{
    SubmitSyncError, bind, incremental_submission, submit_bound, submit_incremental, submit_sync, sync_submission,
};

use super::store_records;
use crate::core::{ErrorCode, JobId, Pmid, clock};
use crate::db::DbError;
use crate::ingest::{
    BatchRows, CommitError, Ended, Engine, Lease, Pipeline, Plan, RecordOutcome, UnitContext, UnitError, Upkeep,
};
use crate::jobs::{Job, JobState};
use crate::observability;
use crate::pubmed::eutils::{Client, DateField, EutilsError};
use crate::syncs::{
    self, FoundPmid, Gap, RunPlan, SlicePosition, StartState, StopPoint, UnfinishedWalk, pull_back_syncs,
};

/// The tool that syncs a query or PMIDs once.
pub const SYNC: &str = "pubmed.sync";

/// The tool that keeps a query up to date.
pub const INCREMENTAL: &str = "pubmed.sync.incremental";

/// The first phase of both tools.
pub const SEARCH: &str = "search";

const FETCH: &str = "fetch";

/// Client and limits of both tools.
#[derive(Clone, Debug)]
pub struct Sources {
    pub client: Client,
    /// A sync of more records is refused.
    pub max_records: i64,
    /// Maximum number of records per unit of the fetch.
    pub unit_records: usize,
    /// Maximum number of records per request.
    pub request_records: usize,
}

impl Sources {
    /// With sizes of units and requests that suit NCBI: it suggests requests of two hundred records, which are about a
    /// megabyte of XML.
    pub fn new(client: Client, max_records: i64) -> Self {
        Self { client, max_records, unit_records: 600, request_records: 200 }
    }
}

/// `pubmed.sync`
pub struct PubmedSync(pub Sources);

/// `pubmed.sync.incremental`
pub struct PubmedSyncIncremental(pub Sources);

/// Corrects watermarks, slots and retries that are in the future.
pub struct SyncClocks;

#[async_trait]
impl Upkeep for SyncClocks {
    async fn sweep(&self, engine: &Engine) -> Result<usize, DbError> {
        Ok(pull_back_syncs(&engine.db).await?.len())
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, UnitError> {
    serde_json::from_value(value.clone()).map_err(|error| {
        UnitError::permanent(ErrorCode::ValidationError, format!("the job's parameters are not valid: {error}"))
    })
}

/// Plans the only unit of the search; the run is fixed from then on.
async fn plan_search(context: &UnitContext, key: &str, plan: &RunPlan) -> Result<Plan, UnitError> {
    let run = syncs::start_run(&context.engine.db, context.lease.job, key, plan).await?;
    let external_version = run.plan.query.chars().take(200).collect();
    Ok(Plan { units: vec![search::unit()], external_version, ..Plan::default() })
}

#[async_trait]
impl Pipeline for PubmedSync {
    fn tool(&self) -> &'static str {
        SYNC
    }

    fn phases(&self) -> &'static [&'static str] {
        &[SEARCH, FETCH]
    }

    fn records_at_most(&self, params: &Value) -> Option<i64> {
        serde_json::from_value::<SyncParams>(params.clone()).ok()?.records_at_most()
    }

    async fn plan(&self, context: &UnitContext) -> Result<Plan, UnitError> {
        let params: SyncParams = parse(&context.lease.params)?;
        let wanted = || -> Result<(&str, &str), UnitError> {
            params
                .query
                .as_deref()
                .zip(params.query_key.as_deref())
                .ok_or_else(|| UnitError::permanent(ErrorCode::ValidationError, "a sync needs a query or PMIDs"))
        };
        match (context.lease.phase.as_str(), params.pmids.is_empty()) {
            (SEARCH, true) => {
                let (query, key) = wanted()?;
                let plan = RunPlan::new(query.to_owned(), StartState::default(), 0, clock::now());
                plan_search(context, key, &plan).await
            }
            (SEARCH, false) => Ok(Plan { external_version: "PMIDs".to_owned(), ..Plan::default() }),
            (_, true) => {
                wanted()?;
                let mut pmids = syncs::take_found(&context.engine.db, context.lease.job, i64::MAX).await?;
                // The newest, which a search lists first.
                pmids.sort_by_key(|found| std::cmp::Reverse(found.pmid));
                pmids.truncate(usize::try_from(params.limit.unwrap_or(i64::MAX)).unwrap_or(usize::MAX));
                pmids.reverse();
                Ok(fetch::plan(&[], &pmids, self.0.unit_records).0)
            }
            (_, false) => Ok(fetch::plan_pmids(&params.pmids, self.0.unit_records)),
        }
    }

    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError> {
        let params: SyncParams = parse(&context.lease.params)?;
        if context.lease.phase == SEARCH {
            let wanted = params.limit.map_or(Selection::All, Selection::Newest);
            return search::run(context, &self.0, wanted).await;
        }
        fetch::run(context, &self.0, params.query_key.as_deref()).await
    }

    async fn ended(&self, db: &mut PgConnection, ended: &Ended<'_>) -> Result<Map<String, Value>, UnitError> {
        let job = ended.job.job_id();
        syncs::forget_found(db, job).await?;
        let mut result = store_records::result(db, job).await?;
        result.insert("query_key".to_owned(), json!(ended.job.query_key));
        // PMIDs that a user named are not searched for.
        if let Some(run) = syncs::run(&mut *db, job).await? {
            result.insert("complete".to_owned(), json!(run.gaps.is_empty()));
            result.insert("gaps".to_owned(), gaps(&run.gaps));
        }
        Ok(result)
    }

    /// The records that failed, and those of units that failed; if the search failed, all of them.
    async fn retry(&self, db: &PgPool, job: &Job) -> Result<Option<Value>, UnitError> {
        let params: SyncParams = parse(&job.params)?;
        let pmids = fetch::failed_pmids(db, job.job_id()).await?;
        if !pmids.is_empty() {
            let again = SyncParams { query: None, limit: None, pmids, query_key: params.query_key };
            return Ok(Some(json!(again)));
        }
        Ok((job.state != JobState::Succeeded).then(|| job.params.clone()))
    }
}

#[async_trait]
impl Pipeline for PubmedSyncIncremental {
    fn tool(&self) -> &'static str {
        INCREMENTAL
    }

    fn phases(&self) -> &'static [&'static str] {
        &[SEARCH, FETCH]
    }

    fn records_at_most(&self, params: &Value) -> Option<i64> {
        params["limit"].as_i64()
    }

    async fn plan(&self, context: &UnitContext) -> Result<Plan, UnitError> {
        let params: IncrementalParams = parse(&context.lease.params)?;
        let (db, job) = (&context.engine.db, context.lease.job);
        if context.lease.phase == SEARCH {
            // With a watermark in the future, no day would be walked.
            pull_back_syncs(db).await?;
            let known = syncs::one(db, &params.query_key).await?.filter(|known| known.query == params.query);
            let known = known.ok_or_else(|| {
                let message = format!("query_key {} is no longer bound to this query", params.query_key);
                UnitError::permanent(ErrorCode::ValidationError, message)
            })?;
            // The run starts when its job does, not when a worker plans it.
            let now = crate::jobs::get(db, job).await?.and_then(|job| job.started_at).unwrap_or_else(clock::now);
            let start = StartState {
                watermarks: known.watermarks,
                resume: known.resume,
                is_limited: params.limit.is_some(),
                has_creation: cancellable(context, self.0.client.lists_field(DateField::Creation)).await?,
            };
            let plan = RunPlan::new(params.query, start, params.overlap_days, now);
            return plan_search(context, &params.query_key, &plan).await;
        }
        let run = run_of(db, job).await?;
        let limit = params.limit.unwrap_or(i64::MAX);
        // One more than requested: it determines where the next run resumes.
        let mut found = syncs::take_found(db, job, limit.saturating_add(1)).await?;
        let mut retries = syncs::retries_of(db, &run.query_key).await?;
        let limit = share_limit(limit, &mut retries, &mut found);
        let left = usize::try_from(limit).ok().filter(|limit| found.len() > *limit).and_then(|_| found.pop());
        let stop = match left {
            Some(left) => {
                // If slices overlap, PMIDs do not distinguish them: that slice is started again.
                let last = found.last().filter(|last| last.position == left.position && !run.is_repeated);
                Some(StopPoint { position: left.position, after: last.map_or(0, |last| last.pmid.get()) })
            }
            None => run.stopped_at.map(|position| StopPoint { position, after: 0 }),
        };
        let (plan, slices) = fetch::plan(&retries, &found, self.0.unit_records);
        Ok(Plan { rows: Some(Arc::new(RunRows { job, stop, slices })), ..plan })
    }

    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError> {
        let params: IncrementalParams = parse(&context.lease.params)?;
        if context.lease.phase == SEARCH {
            let wanted = params.limit.map_or(Selection::All, Selection::Oldest);
            return search::run(context, &self.0, wanted).await;
        }
        fetch::run(context, &self.0, Some(&params.query_key)).await
    }

    async fn completed(&self, db: &mut PgConnection, lease: &Lease) -> Result<(), UnitError> {
        if lease.phase != FETCH {
            return Ok(());
        }
        let Some(run) = syncs::run(&mut *db, lease.job).await? else { return Ok(()) };
        if let Some(open) = syncs::close_slice(db, lease.job, lease.seq).await? {
            syncs::advance(db, &run.query_key, lease.job, run.plan.reached(Some(open), &run.gaps)).await?;
        }
        Ok(())
    }

    async fn ended(&self, db: &mut PgConnection, ended: &Ended<'_>) -> Result<Map<String, Value>, UnitError> {
        let (id, state) = (ended.job.job_id(), ended.state);
        syncs::forget_found(db, id).await?;
        let mut result = store_records::result(db, id).await?;
        if let (JobState::Failed, Some(key)) = (state, &ended.job.query_key) {
            let failure = ended.failure();
            let code = failure.and_then(|unit| unit.error_code.as_deref());
            let message = failure.and_then(|unit| unit.error_message.as_deref());
            syncs::note_failure(db, key, id, code, message).await?;
        }
        let Some(run) = syncs::run(&mut *db, id).await? else { return Ok(result) };
        let mut left = None;
        if state == JobState::Succeeded {
            let resume = run.stop.and_then(|stop| run.plan.resume_at(stop, &run.gaps));
            let reached = run.plan.reached(run.stop.map(|stop| stop.position), &run.gaps);
            syncs::advance(db, &run.query_key, id, reached).await?;
            left = Some(UnfinishedWalk { resume, gaps: run.gaps.clone() });
        }
        syncs::finish_run(db, &run.query_key, id, left).await?;
        if state == JobState::Succeeded {
            syncs::note_success(db, &run.query_key).await?;
        }
        let after = syncs::one(&mut *db, &run.query_key).await?;
        result.extend([
            ("query_key".to_owned(), json!(run.query_key)),
            ("windows".to_owned(), windows(&run.plan)),
            (
                "watermarks".to_owned(),
                json!({ "before": run.plan.before, "after": after.as_ref().map(|known| known.watermarks) }),
            ),
            ("upstream_count".to_owned(), json!(after.and_then(|known| known.upstream_count))),
            ("complete".to_owned(), json!(run.gaps.is_empty())),
            ("gaps".to_owned(), gaps(&run.gaps)),
            ("more".to_owned(), json!(run.stop.is_some() && state == JobState::Succeeded)),
        ]);
        Ok(result)
    }

    async fn windows(&self, db: &PgPool, job: &Job) -> Result<Value, UnitError> {
        Ok(syncs::run(db, job.job_id()).await?.map_or(Value::Null, |run| windows(&run.plan)))
    }

    /// The same sync again, if something failed: its watermarks contain its progress, its retry list the first records
    /// to try.
    async fn retry(&self, db: &PgPool, job: &Job) -> Result<Option<Value>, UnitError> {
        let failed = !fetch::failed_pmids(db, job.job_id()).await?.is_empty();
        Ok((failed || job.state != JobState::Succeeded).then(|| job.params.clone()))
    }
}

/// Where a run stops, and its slices that are open until their units complete.
struct RunRows {
    job: JobId,
    stop: Option<StopPoint>,
    slices: Vec<(i32, SlicePosition)>,
}

#[async_trait]
impl BatchRows for RunRows {
    async fn write(&self, tx: &mut PgConnection, _: &mut [RecordOutcome]) -> Result<(), CommitError> {
        syncs::save_stop(tx, self.job, self.stop).await?;
        Ok(syncs::open_slices(tx, self.job, &self.slices).await?)
    }
}

/// The unit error of a failed request to NCBI. An unavailable NCBI is no failure of the unit; a refusal is.
fn of_ncbi(error: &EutilsError) -> UnitError {
    let (code, message) = (error.code(), observability::chain(error));
    match error.retry_after() {
        // A list that never adds up must not be retried forever.
        _ if matches!(error, EutilsError::Incomplete) => UnitError::Failed { code, message, retry: true },
        Some(pause) => UnitError::Snooze { pause, why: message },
        None => UnitError::permanent(code, message),
    }
}

/// Waits for a response of NCBI, with all its attempts, unless the unit is to stop.
async fn cancellable<T>(
    context: &UnitContext,
    request: impl Future<Output = Result<T, EutilsError>>,
) -> Result<T, UnitError> {
    context.unless_stopped(async { request.await.map_err(|error| of_ncbi(&error)) }).await
}

/// Limits retries and found PMIDs together, and returns how many of the latter may be fetched; one more of them is
/// kept, to determine where the next run resumes. If there are too many of both, what is tried again has
/// half of the places: it comes first, and yet does not keep the run from getting on.
fn share_limit(limit: i64, retries: &mut Vec<Pmid>, found: &mut Vec<FoundPmid>) -> i64 {
    let room = usize::try_from(limit).unwrap_or(usize::MAX);
    retries.truncate(room.div_ceil(2).max(room.saturating_sub(found.len())));
    let left = room - retries.len();
    found.truncate(left.saturating_add(1));
    i64::try_from(left).unwrap_or(i64::MAX)
}

async fn run_of(db: &PgPool, job: JobId) -> Result<syncs::SyncRun, UnitError> {
    let run = syncs::run(db, job).await?;
    run.ok_or_else(|| UnitError::permanent(ErrorCode::Internal, "the run of this job no longer exists"))
}

/// Gaps, for people and manifests.
fn gaps(gaps: &[Gap]) -> Value {
    let shown = gaps.iter().map(|gap| {
        json!({
            "date": gap.field, "from": gap.from, "to": gap.to, "counted": gap.counted, "listed": gap.listed,
            "message": search::message_of(gap),
        })
    });
    Value::Array(shown.collect())
}

/// The day ranges of a run, for people and manifests, grouped by their end.
fn windows(plan: &RunPlan) -> Value {
    let mut shown: Vec<Map<String, Value>> = Vec::new();
    for stage in &plan.stages {
        let end = json!(clock::rfc3339(stage.end));
        let Some(window) = stage.window else {
            shown.push(Map::from_iter([("whole_query".to_owned(), json!(true)), ("end".to_owned(), end)]));
            continue;
        };
        let name = match window.field {
            DateField::Entry => "entry",
            DateField::Modification => "modification",
            DateField::Creation => "creation",
        };
        let days = json!([window.from, window.to]);
        match shown.last_mut().filter(|last| last.get("end") == Some(&end) && !last.contains_key("whole_query")) {
            Some(last) => _ = last.insert(name.to_owned(), days),
            None => shown.push(Map::from_iter([(name.to_owned(), days), ("end".to_owned(), end)])),
        }
    }
    json!(shown)
}
