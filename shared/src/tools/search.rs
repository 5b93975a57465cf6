//! `pubmed.search`: what PubMed finds.

use std::time::Instant;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{FieldError, ToolError};
use super::tool::{Described, FastTool, Hints, Toolbox};
use crate::pubmed::eutils::{Client, Query, SearchRequest};
use crate::words::Pmid;

/// The tool.
pub struct Search;

/// What to search for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchParams {
    /// A PubMed query, e.g. `asthma AND 2026[dp]`. `q` and `query` mean the same.
    #[serde(alias = "q", alias = "query")]
    #[schemars(length(min = 1, max = 20_000), regex(pattern = r"\S"))]
    pub term: String,
    /// How many PMIDs to answer with.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: u32,
    /// How many results to skip. PubMed hands out the first 9,999 only.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9998))]
    pub offset: u32,
    /// In which order; PubMed's default is most recent first.
    #[serde(default)]
    pub sort: Option<Sort>,
}

/// Orders that PubMed knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Best match first.
    Relevance,
    /// Newest publication first.
    PubDate,
    /// By first author.
    Author,
    /// By journal.
    Journal,
}

impl Sort {
    /// As E-utilities spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::PubDate => "pub_date",
            Self::Author => "Author",
            Self::Journal => "JournalName",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SearchOutput {
    /// The query as it was sent.
    pub query: String,
    /// How PubMed understood it.
    pub query_translation: Option<String>,
    /// How many records match in all.
    pub total_count: u64,
    /// How many are listed here.
    pub returned_count: usize,
    /// Those listed.
    pub pmids: Vec<Pmid>,
    /// What PubMed warns of, e.g. phrases it did not find. Text of a server of somebody else.
    pub warnings: Vec<String>,
    /// How long it took.
    pub execution_time_ms: u64,
}

fn ten() -> u32 {
    10
}

/// Searches PubMed; the command line has no other limit than PubMed's own.
pub async fn search(client: &Client, params: &SearchParams) -> Result<SearchOutput, ToolError> {
    let began = Instant::now();
    let query = Query::parse(&params.term).map_err(|error| ToolError::of_field("term", error.to_string()))?;
    // A page across the last result that is handed out would be cut silently.
    let limit = params.limit.min(client.settings().cap.saturating_sub(params.offset));
    let sort = params.sort.map(Sort::as_str);
    let page = client.search(&SearchRequest { query: &query, slice: None, start: params.offset, limit, sort }).await?;
    Ok(SearchOutput {
        query: query.as_str().to_owned(),
        query_translation: page.query_translation,
        total_count: page.count,
        returned_count: page.pmids.len(),
        pmids: page.pmids,
        warnings: page.warnings,
        execution_time_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

impl Described for Search {
    const NAME: &'static str = "pubmed.search";
    const TITLE: &'static str = "Search PubMed";
    const DESCRIPTION: &'static str = "Searches PubMed live and answers with the PMIDs found, the total count and how \
                                       PubMed understood the query. Read a record with pubmed.get.";
    const HINTS: Hints = Hints::READS_NCBI;
    const IS_SCARCE: bool = true;
    type Params = SearchParams;
    type Output = SearchOutput;
}

#[async_trait]
impl FastTool for Search {
    async fn run(toolbox: &Toolbox, params: SearchParams) -> Result<SearchOutput, ToolError> {
        let mut fields = Vec::new();
        let mut outside = |name: &str, value: u32, min: u32, max: u32| {
            if !(min..=max).contains(&value) {
                fields.push(FieldError { pointer: format!("/{name}"), reason: format!("must be {min} to {max}") });
            }
        };
        outside("limit", params.limit, 1, 100);
        outside("offset", params.offset, 0, 9_998);
        if !fields.is_empty() {
            return Err(ToolError::invalid(fields));
        }
        search(&toolbox.client, &params).await
    }
}
