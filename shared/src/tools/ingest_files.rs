//! `pubmed.ingest_files`: bulk files of NCBI's server into the archive.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::{FieldError, ToolError};
use super::sync::SyncOutput;
use super::tool::{Annotations, JobTool, Limit, ToolSpec};
use crate::core::Role;
use crate::ingest::Engine;
use crate::jobs::Submission;
use crate::sources::pubmed_files::{NamedParams, NamesError, TOOL};

pub struct IngestFiles;

/// The files to ingest.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestFilesInput {
    /// Names of baseline or update files, e.g. `pubmed26n0001.xml.gz`; submit more than 100 as several jobs.
    #[schemars(length(min = 1, max = 100), inner(regex(pattern = r"^pubmed[0-9]{2}n[0-9]{4}\.xml\.gz$")))]
    files: Vec<String>,
}

/// What came of them: as of a sync, in all and per file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct IngestFilesOutput {
    /// Counts of all files.
    #[serde(flatten)]
    all: SyncOutput,
    /// Per file: `name`, `status`, and its counts.
    files: Vec<Map<String, Value>>,
}

impl ToolSpec for IngestFiles {
    const NAME: &'static str = TOOL;
    const TITLE: &'static str = "Ingest PubMed bulk files";
    const DESCRIPTION: &'static str = "Fetches baseline or update files from NCBI by name, verifies their MD5, and \
                                       archives every record and deletion in them. A job; records already archived \
                                       are skipped.";
    const ANNOTATIONS: Annotations = Annotations { destructive: true, ..Annotations::ADDS_FROM_NCBI };
    const ROLE: Role = Role::Admin;
    const LIMIT: Option<Limit> = Some(Limit { variable: "BIO_MCP_TOOL_LIMIT_PUBMED_INGEST_FILES", default: 8 });
    type Params = IngestFilesInput;
    type Output = IngestFilesOutput;
}

#[async_trait]
impl JobTool for IngestFiles {
    fn submission(engine: &Engine, params: IngestFilesInput) -> Result<Submission, ToolError> {
        let checked = NamedParams::new(params.files).map_err(|error| {
            let pointer = match &error {
                NamesError::Count => "/files".to_owned(),
                NamesError::Name(n) => format!("/files/{n}"),
            };
            ToolError::invalid(vec![FieldError { pointer, reason: error.to_string() }])
        })?;
        let params = json!(checked);
        let records_at_most = engine.pipeline(TOOL).and_then(|pipeline| pipeline.records_at_most(&params));
        Ok(Submission { records_at_most, ..Submission::new(TOOL, params, "files") })
    }
}
