//! `corpus.checkpoint.*`: the corpus as it was, stored by name and compared.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{FieldError, ToolError};
use super::tool::{Annotations, FastTool, Limit, ToolSpec, Toolbox};
use crate::checkpoints::{self, ChangedRecords, Checkpoint, CreateError, NewCheckpoint};
use crate::core::{Caller, ErrorCode, Pmid, Role};

/// The tool `corpus.checkpoint.create`.
pub struct CheckpointCreate;

/// The tool `corpus.checkpoint.get`.
pub struct CheckpointGet;

/// The tool `corpus.checkpoint.list`.
pub struct CheckpointList;

/// The tool `corpus.checkpoint.delete`.
pub struct CheckpointDelete;

/// The tool `corpus.checkpoint.diff`.
pub struct CheckpointDiff;

const MAX_ID_CHARS: usize = 128;
const MAX_NAME_CHARS: usize = 200;
const MAX_DESCRIPTION_CHARS: usize = 2000;

/// Maximum number of concurrent calls of a tool that can keep a database connection busy for long.
const KEEPS_A_CONNECTION: u16 = 3;

/// The checkpoint to create.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointCreateParams {
    /// Id of the checkpoint: letters, digits, `.`, `_`, `-`; generated if omitted.
    #[serde(default)]
    #[schemars(with = "Option<String>", regex(pattern = r"^[A-Za-z0-9._-]{1,128}$"))]
    checkpoint_id: Option<String>,
    /// Name of the checkpoint for people.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"\S"))]
    name: String,
    /// Purpose of the checkpoint.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    description: Option<String>,
    /// Keys of the queries whose records it contains; empty for the whole archive.
    #[serde(default)]
    #[schemars(length(max = 100))]
    primary_queries: Vec<String>,
    /// Id of the checkpoint that this one follows.
    #[serde(default)]
    #[schemars(with = "Option<String>", regex(pattern = r"^[A-Za-z0-9._-]{1,128}$"))]
    parent_checkpoint_id: Option<String>,
}

/// A checkpoint.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CheckpointView {
    /// Id of the checkpoint.
    pub checkpoint_id: String,
    /// Name of the checkpoint for people.
    pub name: String,
    /// Purpose of the checkpoint.
    pub description: Option<String>,
    /// Keys of the queries whose records it contains; empty for the whole archive.
    pub primary_queries: Vec<String>,
    /// Id of the checkpoint that this one follows.
    pub parent_checkpoint_id: Option<String>,
    /// Last event of the archive's log that the checkpoint includes.
    pub seq: i64,
    /// Number of live records in the checkpoint.
    pub total_documents: i64,
    /// Hash over PMIDs and content hashes, whatever their order: the same corpus has the same digest.
    pub digest: String,
    /// When the checkpoint was created.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: DateTime<Utc>,
    /// The principal that created the checkpoint and may delete it.
    pub principal: String,
}

impl From<Checkpoint> for CheckpointView {
    fn from(checkpoint: Checkpoint) -> Self {
        Self {
            checkpoint_id: checkpoint.checkpoint_id,
            name: checkpoint.name,
            description: checkpoint.description,
            primary_queries: checkpoint.primary_queries,
            parent_checkpoint_id: checkpoint.parent_checkpoint_id,
            seq: checkpoint.seq,
            total_documents: checkpoint.total_documents,
            digest: checkpoint.digest,
            created_at: checkpoint.created_at,
            principal: checkpoint.principal,
        }
    }
}

/// The checkpoint to get, and how much of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointGetParams {
    /// Id of the checkpoint.
    checkpoint_id: String,
    /// Maximum number of its records to return.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    documents: u32,
    /// Return only records after this PMID: `next_after` of the previous page.
    #[serde(default)]
    after: Option<Pmid>,
}

/// A record in a checkpoint.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DocumentView {
    /// PMID of the record; `pubmed.get` with this checkpoint_id reads it as it was.
    pmid: String,
    /// SHA-256 of the record's exact XML.
    content_hash: String,
}

/// A checkpoint and a page of its records.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CheckpointGetOutput {
    /// The checkpoint.
    #[serde(flatten)]
    checkpoint: CheckpointView,
    /// Its records, in the order of their PMIDs as text.
    documents: Vec<DocumentView>,
    /// Cursor of the next page; absent on the last page.
    next_after: Option<String>,
}

/// The page to list.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointListParams {
    /// Maximum number of checkpoints to return.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
    /// Number of checkpoints to skip.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    offset: u32,
}

fn twenty() -> u32 {
    20
}

/// A page of checkpoints.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CheckpointListOutput {
    /// Newest first.
    checkpoints: Vec<CheckpointView>,
    /// Total number of checkpoints.
    total: i64,
    /// As requested.
    limit: u32,
    /// As requested.
    offset: u32,
}

/// The checkpoint to delete.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointDeleteParams {
    /// Id of the checkpoint.
    checkpoint_id: String,
}

/// What was deleted.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CheckpointDeleteOutput {
    /// The checkpoint.
    checkpoint_id: String,
    /// Always true: a missing checkpoint is an error.
    deleted: bool,
}

/// The two checkpoints to compare.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointDiffParams {
    /// Id of the earlier checkpoint.
    from_checkpoint_id: String,
    /// Id of the later checkpoint.
    to_checkpoint_id: String,
    /// Maximum number of records to list for each kind of change.
    #[serde(default = "thousand")]
    #[schemars(range(min = 0, max = 10_000))]
    limit: u32,
}

fn thousand() -> u32 {
    1000
}

/// Records that changed in one way.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ChangeView {
    /// Number of records.
    total: i64,
    /// The first of the records, by PMID.
    pmids: Vec<String>,
}

impl From<ChangedRecords> for ChangeView {
    fn from(ChangedRecords { total, pmids }: ChangedRecords) -> Self {
        Self { total, pmids }
    }
}

/// The difference between two checkpoints.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CheckpointDiffOutput {
    /// Id of the earlier checkpoint.
    from_checkpoint_id: String,
    /// Id of the later checkpoint.
    to_checkpoint_id: String,
    /// Whether both contain exactly the same records.
    same: bool,
    /// Records that are not in the earlier checkpoint.
    added: ChangeView,
    /// Records that are in both and changed.
    revised: ChangeView,
    /// Records that are not in the later checkpoint.
    deleted: ChangeView,
    /// Added and revised records that are retracted in the later checkpoint but not in the earlier one.
    retracted: ChangeView,
    /// Added and revised records whose retraction is unknown: an early version archived them.
    retraction_unknown: i64,
}

fn check_id(name: &str, id: &str) -> Result<(), FieldError> {
    let fine =
        (1..=MAX_ID_CHARS).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let reason = || format!("must be 1 to {MAX_ID_CHARS} letters, digits, `.`, `_` or `-`");
    if fine { Ok(()) } else { Err(FieldError { pointer: format!("/{name}"), reason: reason() }) }
}

fn check_length(name: &str, text: &str, min: usize, max: usize) -> Result<(), FieldError> {
    let fine = (min..=max).contains(&text.chars().count()) && (min == 0 || !text.trim().is_empty());
    let reason = || format!("must be {min} to {max} characters, not only spaces");
    if fine { Ok(()) } else { Err(FieldError { pointer: format!("/{name}"), reason: reason() }) }
}

/// The checkpoint that a parameter names.
pub(super) async fn named(toolbox: &Toolbox, name: &str, id: &str) -> Result<Checkpoint, ToolError> {
    check_id(name, id).map_err(|fault| ToolError::invalid(vec![fault]))?;
    checkpoints::get(&toolbox.engine.db, id).await?.ok_or_else(|| not_found(name))
}

fn not_found(name: &str) -> ToolError {
    ToolError::new(ErrorCode::NotFound, format!("{name}: checkpoint not found"))
}

impl From<CreateError> for ToolError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Db(error) => error.into(),
            CreateError::Exists => Self::new(ErrorCode::AlreadyExists, format!("checkpoint_id: {error}")),
            CreateError::NoSuchParent => Self::invalid_field("parent_checkpoint_id", error.to_string()),
            CreateError::NoSuchQuery(at) => {
                let reason = "unknown query key: sync the query with this key first".to_owned();
                Self::invalid(vec![FieldError { pointer: format!("/primary_queries/{at}"), reason }])
            }
        }
    }
}

impl ToolSpec for CheckpointCreate {
    const NAME: &'static str = "corpus.checkpoint.create";
    const TITLE: &'static str = "Create a checkpoint of the corpus";
    const DESCRIPTION: &'static str = "Creates a named checkpoint of the whole archive, or of the records of some \
                                       queries, as they are now. It takes no space, and can be read, compared, and \
                                       cited by its digest.";
    const ANNOTATIONS: Annotations =
        Annotations { read_only: false, destructive: false, idempotent: false, open_world: false };
    const LIMIT: Option<Limit> =
        Some(Limit { variable: "BIO_MCP_TOOL_LIMIT_CORPUS_CHECKPOINT_CREATE", default: KEEPS_A_CONNECTION });
    type Params = CheckpointCreateParams;
    type Output = CheckpointView;
}

#[async_trait]
impl FastTool for CheckpointCreate {
    async fn run(
        toolbox: &Toolbox,
        caller: &Caller,
        params: CheckpointCreateParams,
    ) -> Result<CheckpointView, ToolError> {
        let CheckpointCreateParams { checkpoint_id, name, description, primary_queries, parent_checkpoint_id } = params;
        let mut faults = Vec::new();
        let ids = [("checkpoint_id", &checkpoint_id), ("parent_checkpoint_id", &parent_checkpoint_id)];
        faults.extend(ids.iter().filter_map(|(name, id)| check_id(name, id.as_deref()?).err()));
        faults.extend(check_length("name", &name, 1, MAX_NAME_CHARS).err());
        let described = description.as_deref().unwrap_or_default();
        faults.extend(check_length("description", described, 0, MAX_DESCRIPTION_CHARS).err());
        if !faults.is_empty() {
            return Err(ToolError::invalid(faults));
        }
        let checkpoint_id = checkpoint_id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let principal = caller.principal.name.clone();
        let new = NewCheckpoint { checkpoint_id, name, description, primary_queries, parent_checkpoint_id, principal };
        let made = checkpoints::create(&toolbox.engine.db, new).await?;
        caller.audit("checkpoint.create", &made.checkpoint_id);
        Ok(made.into())
    }
}

impl ToolSpec for CheckpointGet {
    const NAME: &'static str = "corpus.checkpoint.get";
    const TITLE: &'static str = "Get a checkpoint";
    const DESCRIPTION: &'static str =
        "Returns a checkpoint and, on request, a page of its records with their content hashes.";
    const ANNOTATIONS: Annotations = Annotations::READS;
    const LIMIT: Option<Limit> =
        Some(Limit { variable: "BIO_MCP_TOOL_LIMIT_CORPUS_CHECKPOINT_GET", default: KEEPS_A_CONNECTION });
    type Params = CheckpointGetParams;
    type Output = CheckpointGetOutput;
}

#[async_trait]
impl FastTool for CheckpointGet {
    async fn run(toolbox: &Toolbox, _: &Caller, params: CheckpointGetParams) -> Result<CheckpointGetOutput, ToolError> {
        let checkpoint = named(toolbox, "checkpoint_id", &params.checkpoint_id).await?;
        let mut documents = Vec::new();
        let mut next_after = None;
        if params.documents > 0 {
            let limit = i64::from(params.documents);
            let page = checkpoints::documents(&toolbox.engine.db, &checkpoint, params.after, limit).await?;
            next_after = page.next(|last| last.pmid.clone());
            documents = page.rows;
        }
        let documents =
            documents.into_iter().map(|one| DocumentView { pmid: one.pmid, content_hash: one.content_hash });
        Ok(CheckpointGetOutput { checkpoint: checkpoint.into(), documents: documents.collect(), next_after })
    }
}

impl ToolSpec for CheckpointList {
    const NAME: &'static str = "corpus.checkpoint.list";
    const TITLE: &'static str = "List checkpoints";
    const DESCRIPTION: &'static str = "Lists checkpoints, newest first, with their total number.";
    const ANNOTATIONS: Annotations = Annotations::READS;
    type Params = CheckpointListParams;
    type Output = CheckpointListOutput;
}

#[async_trait]
impl FastTool for CheckpointList {
    async fn run(
        toolbox: &Toolbox,
        _: &Caller,
        params: CheckpointListParams,
    ) -> Result<CheckpointListOutput, ToolError> {
        let CheckpointListParams { limit, offset } = params;
        let (page, total) = checkpoints::list(&toolbox.engine.db, limit.into(), offset.into()).await?;
        Ok(CheckpointListOutput { checkpoints: page.into_iter().map(Into::into).collect(), total, limit, offset })
    }
}

impl ToolSpec for CheckpointDelete {
    const NAME: &'static str = "corpus.checkpoint.delete";
    const TITLE: &'static str = "Delete a checkpoint";
    const DESCRIPTION: &'static str =
        "Deletes a checkpoint that you created. No record is changed; an operator can restore it for 30 days.";
    const ANNOTATIONS: Annotations =
        Annotations { read_only: false, destructive: true, idempotent: true, open_world: false };
    type Params = CheckpointDeleteParams;
    type Output = CheckpointDeleteOutput;
}

#[async_trait]
impl FastTool for CheckpointDelete {
    async fn run(
        toolbox: &Toolbox,
        caller: &Caller,
        params: CheckpointDeleteParams,
    ) -> Result<CheckpointDeleteOutput, ToolError> {
        let checkpoint = named(toolbox, "checkpoint_id", &params.checkpoint_id).await?;
        if !caller.principal.may_change_what_is_of(&checkpoint.principal) {
            let message =
                format!("only the principal that created a checkpoint, or the role {}, may delete it", Role::Admin);
            return Err(ToolError::new(ErrorCode::Forbidden, message));
        }
        if checkpoints::delete(&toolbox.engine.db, &params.checkpoint_id).await? {
            caller.audit("checkpoint.delete", &params.checkpoint_id);
            return Ok(CheckpointDeleteOutput { checkpoint_id: params.checkpoint_id, deleted: true });
        }
        Err(not_found("checkpoint_id"))
    }
}

impl ToolSpec for CheckpointDiff {
    const NAME: &'static str = "corpus.checkpoint.diff";
    const TITLE: &'static str = "Compare two checkpoints";
    const DESCRIPTION: &'static str = "Returns how many records were added, revised, deleted and retracted from one \
                                       checkpoint to another, and which.";
    const ANNOTATIONS: Annotations = Annotations::READS;
    const LIMIT: Option<Limit> =
        Some(Limit { variable: "BIO_MCP_TOOL_LIMIT_CORPUS_CHECKPOINT_DIFF", default: KEEPS_A_CONNECTION });
    type Params = CheckpointDiffParams;
    type Output = CheckpointDiffOutput;
}

#[async_trait]
impl FastTool for CheckpointDiff {
    async fn run(
        toolbox: &Toolbox,
        _: &Caller,
        params: CheckpointDiffParams,
    ) -> Result<CheckpointDiffOutput, ToolError> {
        let limit = i32::try_from(params.limit).unwrap_or(i32::MAX);
        let from = named(toolbox, "from_checkpoint_id", &params.from_checkpoint_id).await?;
        let to = named(toolbox, "to_checkpoint_id", &params.to_checkpoint_id).await?;
        let changes = checkpoints::changes(&toolbox.engine.db, &from, &to, limit).await?;
        Ok(CheckpointDiffOutput {
            from_checkpoint_id: from.checkpoint_id,
            to_checkpoint_id: to.checkpoint_id,
            same: changes.added.total + changes.revised.total + changes.deleted.total == 0,
            added: changes.added.into(),
            revised: changes.revised.into(),
            deleted: changes.deleted.into(),
            retracted: changes.retracted.into(),
            retraction_unknown: changes.unknown.total,
        })
    }
}
