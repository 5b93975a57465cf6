//! `pubmed.search`: searches PubMed and returns titles.

use std::collections::HashMap;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ToolError;
use super::filters::Filters;
use super::params::Aliases;
use super::reading::{AsOf, FetchedRecords, READS_AT_ONCE, typed};
use super::record::{Summary, summary};
use super::tool::{Annotations, FastTool, Limit, ToolSpec, Toolbox};
use crate::core::{Caller, Pmid, counted};
use crate::pubmed::eutils::{Query, SearchPage, SearchRequest};

pub struct Search;

/// The search to run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchParams {
    /// A PubMed query, e.g. `asthma AND 2026[dp]`; may be omitted with filters. `q` and `query` are synonyms.
    #[serde(default)]
    #[schemars(length(max = 20_000))]
    pub term: Option<String>,
    /// Filters that narrow the search.
    #[serde(default)]
    pub filters: Filters,
    /// Maximum number of results.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: u32,
    /// Number of results to skip. PubMed returns only the first 9,999.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9998))]
    pub offset: u32,
    /// Sort order; PubMed's default is most recent first.
    #[serde(default)]
    pub sort: Option<Sort>,
    /// Whether to return titles and other details of each result.
    #[serde(default = "yes")]
    pub summaries: bool,
}

/// Sort orders of PubMed.
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
    /// The spelling of the E-utilities.
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
    /// The query as sent to PubMed.
    pub query: String,
    /// How PubMed interpreted the query.
    pub query_translation: Option<String>,
    /// The filters that narrowed the search.
    pub applied_filters: Filters,
    /// Total number of matching records.
    pub total_count: u64,
    /// Number of records in this result.
    pub returned_count: usize,
    /// Whether a larger offset returns more records.
    pub has_more: bool,
    /// PMIDs of the records.
    pub pmids: Vec<Pmid>,
    /// Summaries of the records, in the same order.
    pub summaries: Vec<Summary>,
    /// Warnings of PubMed, e.g. phrases not found, and records that could not be read.
    pub warnings: Vec<String>,
    /// What to do next if there are no more results.
    pub notice: Option<String>,
    /// Duration of the search, in milliseconds.
    pub execution_time_ms: u64,
}

fn ten() -> u32 {
    10
}

fn yes() -> bool {
    true
}

/// Maximum number of warnings, and maximum length of a text from PubMed, in characters.
const MAX_WARNINGS: usize = 20;
const MAX_TEXT: usize = 4_000;

impl ToolSpec for Search {
    const NAME: &'static str = "pubmed.search";
    const TITLE: &'static str = "Search PubMed";
    const DESCRIPTION: &'static str = "Searches PubMed live: PMIDs with title, authors, journal, date and integrity, \
                                       the total count and how PubMed interpreted the query. Read records with \
                                       pubmed.get or pubmed.get_many.";
    const ANNOTATIONS: Annotations = Annotations::READS_NCBI;
    const LIMIT: Option<Limit> = Some(Limit { variable: "BIO_MCP_TOOL_LIMIT_PUBMED_SEARCH", default: 50 });
    const RATE_LIMITED_UPSTREAM: bool = true;
    const ALIASES: Aliases = &[("q", "term"), ("query", "term")];
    type Params = SearchParams;
    type Output = SearchOutput;
}

#[async_trait]
impl FastTool for Search {
    async fn run(toolbox: &Toolbox, _: &Caller, params: SearchParams) -> Result<SearchOutput, ToolError> {
        let began = Instant::now();
        let query = query(&params)?;
        let cap = toolbox.client.settings().cap;
        // PubMed would silently cut a page that reaches beyond the last result that it returns.
        let limit = params.limit.min(cap.saturating_sub(params.offset));
        let sort = params.sort.map(Sort::as_str);
        let request = SearchRequest { query: &query, slice: None, start: params.offset, limit, sort };
        let page = toolbox.client.search(&request).await?;
        let mut warnings: Vec<String> = page.warnings.iter().take(MAX_WARNINGS).map(|text| clipped(text)).collect();
        let mut found = Vec::new();
        if params.summaries && !page.pmids.is_empty() {
            found = summaries(toolbox, &page.pmids, &mut warnings).await?;
        }
        let seen = u64::from(params.offset) + page.pmids.len() as u64;
        Ok(SearchOutput {
            query: query.as_str().to_owned(),
            query_translation: page.query_translation.as_deref().map(clipped),
            applied_filters: params.filters,
            total_count: page.count,
            returned_count: page.pmids.len(),
            has_more: !page.pmids.is_empty() && seen < page.count.min(cap.into()),
            notice: notice(&page, params.offset, seen, cap),
            pmids: page.pmids,
            summaries: found,
            warnings,
            execution_time_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

fn clipped(text: &str) -> String {
    super::record::clipped(text, MAX_TEXT)
}

/// The term, narrowed by the filters. Faults of the term are reported before it is narrowed.
fn query(params: &SearchParams) -> Result<Query, ToolError> {
    let of_term = |error: crate::pubmed::eutils::InvalidQuery| ToolError::invalid_field("term", error.to_string());
    let term = params.term.as_deref().map(Query::parse).transpose().map_err(of_term)?;
    if term.is_none() && params.filters.is_empty() {
        return Err(ToolError::invalid_field("term", "is required unless filters are given"));
    }
    Query::parse(&params.filters.narrow(term.as_ref().map(Query::as_str))?).map_err(of_term)
}

/// What to do if there are no more pages.
fn notice(page: &SearchPage, offset: u32, seen: u64, cap: u32) -> Option<String> {
    if page.count == 0 {
        return Some("no results: see warnings and query_translation, use fewer filters or other words".to_owned());
    }
    if page.pmids.is_empty() {
        let last = page.count.min(cap.into()).saturating_sub(1);
        return Some(format!("offset {offset} is past the end of {} results: use an offset up to {last}", page.count));
    }
    (seen >= u64::from(cap) && page.count > seen).then(|| {
        format!(
            "PubMed returns only the first {cap} results: narrow the query, e.g. by dates, or archive all with \
                 pubmed.sync"
        )
    })
}

/// Summaries of archived records from the archive, and of all others by one request to NCBI.
async fn summaries(toolbox: &Toolbox, pmids: &[Pmid], warnings: &mut Vec<String>) -> Result<Vec<Summary>, ToolError> {
    let addresses = AsOf::Now.addresses(toolbox, pmids).await?;
    let reads = stream::iter(addresses).map(|(pmid, address)| async move {
        let record = typed(toolbox, pmid, &address).await;
        (pmid, record.map(|record| record.map(|record| summary(pmid, &record, true))))
    });
    let mut found: HashMap<Pmid, Summary> = HashMap::new();
    for (pmid, read) in reads.buffer_unordered(READS_AT_ONCE).collect::<Vec<_>>().await {
        match read {
            Ok(read) => found.extend(read.map(|summary| (pmid, summary))),
            // NCBI has it too; the error of the archive was logged where it occurred.
            Err(error) => tracing::warn!(%pmid, %error, "an archived record cannot be summarised"),
        }
    }
    let rest: Vec<Pmid> = pmids.iter().copied().filter(|pmid| !found.contains_key(pmid)).collect();
    if !rest.is_empty() {
        match FetchedRecords::fetch(toolbox, &rest).await {
            Ok(live) => {
                let summaries =
                    rest.iter().filter_map(|pmid| Some((*pmid, summary(*pmid, &live.typed(*pmid).ok()?, false))));
                found.extend(summaries);
                let unread = rest.iter().filter(|pmid| !found.contains_key(pmid)).count();
                if unread > 0 {
                    warnings.push(format!("NCBI returned no record for {unread} of these PMIDs: they have no summary"));
                }
            }
            Err(error) => {
                let code = error.code.as_str();
                warnings.push(format!(
                    "{code}: NCBI was unavailable for the summaries of {}",
                    counted(rest.len(), "record")
                ));
            }
        }
    }
    Ok(pmids.iter().filter_map(|pmid| found.remove(pmid)).collect())
}
