//! `pubmed.sync` and `pubmed.sync.incremental`: records from NCBI into the archive.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use super::error::{FieldError, ToolError};
use super::tool::{Annotations, JobTool, Limit, ToolSpec, Toolbox};
use crate::core::Pmid;
use crate::ingest::Engine;
use crate::jobs::{Submission, SubmitOutcome};
use crate::sources::pubmed_sync::{
    INCREMENTAL, IncrementalParams, SYNC, SubmitSyncError, SyncParams, bind, incremental_submission, submit_bound,
    sync_submission,
};

/// The tool `pubmed.sync`.
pub struct Sync;

/// The tool `pubmed.sync.incremental`.
pub struct SyncIncremental;

/// Parameters of `pubmed.sync`: a query, or PMIDs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncInput {
    /// A PubMed query; not with pmids.
    #[serde(default)]
    #[schemars(length(min = 1, max = 20_000), regex(pattern = r"\S"))]
    query: Option<String>,
    /// PMIDs; not with query or limit.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Pmid>>", length(min = 1, max = 10_000))]
    pmids: Option<Vec<Pmid>>,
    /// Key under which the records become members; for a query, derived from it if omitted.
    #[serde(default)]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"\S"))]
    query_key: Option<String>,
    /// Maximum number of records of the query, the newest.
    #[serde(default)]
    #[schemars(range(min = 1))]
    limit: Option<i64>,
}

/// Parameters of `pubmed.sync.incremental`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncIncrementalInput {
    /// A PubMed query.
    #[schemars(length(min = 1, max = 20_000), regex(pattern = r"\S"))]
    query: String,
    /// Permanent key of the query; derived from the query if omitted.
    #[serde(default)]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"\S"))]
    query_key: Option<String>,
    /// Number of days before the last run's watermark to list again, for what NCBI indexed late.
    #[serde(default = "five")]
    #[schemars(range(min = 0, max = 30))]
    overlap_days: u32,
    /// Maximum number of records; the next run continues after them.
    #[serde(default)]
    #[schemars(range(min = 1))]
    limit: Option<i64>,
}

fn five() -> u32 {
    crate::sources::pubmed_sync::OVERLAP_DAYS
}

/// What came of a sync: the five outcomes sum to `requested`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SyncOutput {
    /// Number of requested records.
    requested: i64,
    /// Number of new or changed records.
    archived: i64,
    /// Number of unchanged or older records.
    skipped: i64,
    /// Number of records that could not be archived.
    failed: i64,
    /// Number of records that were deleted upstream.
    deleted: i64,
    /// Number of records that NCBI did not return.
    missing: i64,
    /// Number of skipped records whose payload is already archived.
    unchanged: i64,
    /// Number of skipped records that differ from the archived XML only in formatting.
    format_only: i64,
    /// Number of skipped records of which the archive has a newer payload.
    older: i64,
    /// The first hundred records that failed.
    pmids_failed: Vec<String>,
    /// Address of the manifest.
    manifest: Option<String>,
    /// Other fields of an incremental sync: `query_key`, `windows`, `watermarks` before and after.
    #[serde(flatten)]
    more: serde_json::Map<String, Value>,
}

impl ToolSpec for Sync {
    const NAME: &'static str = SYNC;
    const TITLE: &'static str = "Sync from PubMed";
    const DESCRIPTION: &'static str = "Archives the results of a PubMed query, or the given PMIDs: exactly one of \
                                       query and pmids is required. A job: unchanged records are skipped.";
    const ANNOTATIONS: Annotations = Annotations::ADDS_FROM_NCBI;
    const LIMIT: Option<Limit> = Some(Limit { variable: "BIO_MCP_TOOL_LIMIT_PUBMED_SYNC", default: 8 });
    type Params = SyncInput;
    type Output = SyncOutput;
}

#[async_trait]
impl JobTool for Sync {
    fn submission(_: &Engine, params: SyncInput) -> Result<Submission, ToolError> {
        let key = params.query_key.as_deref();
        let checked = match (params.query, params.pmids) {
            (Some(query), None) => SyncParams::of_query(&query, key, params.limit)?,
            (None, Some(_)) if params.limit.is_some() => {
                return Err(ToolError::invalid_field("limit", "cannot be combined with pmids"));
            }
            (None, Some(pmids)) => SyncParams::of_pmids(pmids, key)?,
            (None, None) => {
                return Err(ToolError::invalid_field("query", "is required unless pmids is given"));
            }
            (Some(_), Some(_)) => {
                let either = |name: &str| FieldError {
                    pointer: format!("/{name}"),
                    reason: "give a query or pmids, not both".to_owned(),
                };
                return Err(ToolError::invalid(vec![either("query"), either("pmids")]));
            }
        };
        Ok(sync_submission(&checked))
    }

    async fn prepare(db: &mut PgConnection, submission: &Submission) -> Result<(), ToolError> {
        Ok(bind(db, submission).await.map(drop).map_err(SubmitSyncError::from)?)
    }

    async fn submit(toolbox: &Toolbox, submission: &Submission) -> Result<SubmitOutcome, ToolError> {
        Ok(submit_bound(&toolbox.engine.db, submission, toolbox.limits).await?)
    }
}

impl ToolSpec for SyncIncremental {
    const NAME: &'static str = INCREMENTAL;
    const TITLE: &'static str = "Keep a PubMed query up to date";
    const DESCRIPTION: &'static str = "Archives what was added to or changed in the results of a PubMed query since \
                                       its last run, without gaps. A job; only one per query runs at a time.";
    const ANNOTATIONS: Annotations = Annotations::ADDS_FROM_NCBI;
    const LIMIT: Option<Limit> = Some(Limit { variable: "BIO_MCP_TOOL_LIMIT_PUBMED_SYNC_INCREMENTAL", default: 8 });
    type Params = SyncIncrementalInput;
    type Output = SyncOutput;
}

#[async_trait]
impl JobTool for SyncIncremental {
    fn submission(_: &Engine, params: SyncIncrementalInput) -> Result<Submission, ToolError> {
        let SyncIncrementalInput { query, query_key, overlap_days, limit } = params;
        let checked = IncrementalParams::new(&query, query_key.as_deref(), Some(overlap_days), limit)?;
        Ok(incremental_submission(&checked))
    }

    async fn prepare(db: &mut PgConnection, submission: &Submission) -> Result<(), ToolError> {
        Ok(bind(db, submission).await.map(drop).map_err(SubmitSyncError::from)?)
    }

    async fn submit(toolbox: &Toolbox, submission: &Submission) -> Result<SubmitOutcome, ToolError> {
        Ok(submit_bound(&toolbox.engine.db, submission, toolbox.limits).await?)
    }
}
