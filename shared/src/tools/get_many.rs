//! `pubmed.get_many`: several records in one call, within a common size limit.

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::ToolError;
use super::get::{default_parts, instant};
use super::readable;
use super::reading::{AsOf, FetchedRecords, READS_AT_ONCE, ViewLimits, archived};
use super::record::{self, Include, Omitted, RecordView, chars};
use super::tool::{Annotations, FastTool, ToolSpec, Toolbox};
use crate::core::{Caller, Pmid, counted};

pub struct GetMany;

/// The records to read, and how much of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetManyParams {
    /// PMIDs of the records.
    #[schemars(length(min = 1, max = 200))]
    pub pmids: Vec<Pmid>,
    /// Read the records as archived at this time (RFC 3339), instead of now.
    #[serde(default, deserialize_with = "instant")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub as_of: Option<DateTime<Utc>>,
    /// Read the records as in this checkpoint, instead of now.
    #[serde(default)]
    pub checkpoint_id: Option<String>,
    /// Parts in addition to the core; abstract, authors, mesh and keywords if omitted.
    #[serde(default = "default_parts")]
    pub include: Vec<Include>,
    /// Maximum size of the result for all records together, in characters.
    #[serde(default = "of_all")]
    #[schemars(range(min = 1_000, max = 400_000))]
    pub max_chars: usize,
}

fn of_all() -> usize {
    60_000
}

/// Records, and what became of the others.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct GetManyOutput {
    /// The records as `pubmed.get` returns them, in the requested order.
    pub records: Vec<RecordView>,
    /// PMIDs without a record.
    pub missing: Vec<Pmid>,
    /// PMIDs that did not fit: call again with these.
    pub deferred: Vec<Pmid>,
    /// Total lengths of `missing` and `deferred`, if not all their PMIDs fit.
    pub omitted: Vec<Omitted>,
    /// Warnings about what could not be read, and why.
    pub warnings: Vec<String>,
}

impl ToolSpec for GetMany {
    const NAME: &'static str = "pubmed.get_many";
    const TITLE: &'static str = "Read several PubMed records";
    const DESCRIPTION: &'static str = "Reads up to 200 PubMed records in one call, each as pubmed.get returns it, \
                                       together within max_chars; PMIDs that do not fit are in deferred: call again \
                                       with those.";
    const ANNOTATIONS: Annotations = Annotations::READS_NCBI;
    type Params = GetManyParams;
    type Output = GetManyOutput;

    fn to_markdown(result: &Value) -> String {
        let mut text = String::new();
        for one in result["records"].as_array().into_iter().flatten() {
            text.push_str(&record::markdown(one));
        }
        for name in ["missing", "deferred", "omitted", "warnings"] {
            readable::field(&mut text, name, &result[name]);
        }
        text
    }
}

#[async_trait]
impl FastTool for GetMany {
    async fn run(toolbox: &Toolbox, _: &Caller, params: GetManyParams) -> Result<GetManyOutput, ToolError> {
        let GetManyParams { pmids, as_of, checkpoint_id, include, max_chars } = params;
        let when = AsOf::of(toolbox, as_of, checkpoint_id.as_deref()).await?;
        let mut seen = HashSet::new();
        let pmids: Vec<Pmid> = pmids.into_iter().filter(|pmid| seen.insert(*pmid)).collect();
        let addresses = when.addresses(toolbox, &pmids).await?;
        let absent: Vec<Pmid> = pmids.iter().copied().filter(|pmid| !addresses.contains_key(pmid)).collect();
        let mut collected = Collected::new(max_chars, pmids.len());
        let view_limits = ViewLimits { include, max_chars: collected.room() - 1 };
        let live = match (&when, absent.is_empty()) {
            (AsOf::Now, false) => match FetchedRecords::fetch(toolbox, &absent).await {
                Ok(live) => Some(live),
                // Archived records can be returned without NCBI.
                Err(error) if absent.len() < pmids.len() => {
                    let code = error.code.as_str();
                    collected
                        .output
                        .warnings
                        .push(format!("{code}: NCBI was unavailable for {}", counted(absent.len(), "record")));
                    None
                }
                Err(error) => return Err(error),
            },
            _ => None,
        };
        let is_now = matches!(when, AsOf::Now);
        let (from, live_set, as_of) = (&addresses, live.as_ref(), &when);
        let read = |pmid: Pmid| {
            let view_limits = &view_limits;
            async move {
                let read = match (from.get(&pmid), live_set) {
                    (Some(address), _) => archived(toolbox, as_of, pmid, address, view_limits).await,
                    (None, Some(live)) => live.view(toolbox, pmid, view_limits),
                    (None, None) if is_now => return (pmid, None),
                    (None, None) => Ok(RecordView::nothing(pmid)),
                };
                // A record that cannot be read does not affect the others.
                let failed = |error: ToolError| {
                    let error = format!("{}: {}", error.code.as_str(), error.message);
                    RecordView { error: Some(error), ..RecordView::nothing(pmid) }
                };
                (pmid, Some(read.unwrap_or_else(failed)))
            }
        };
        let mut reads = Box::pin(stream::iter(pmids.clone()).map(read).buffered(READS_AT_ONCE));
        while let Some((pmid, view)) = reads.next().await {
            if !collected.take(pmid, view) {
                break;
            }
        }
        drop(reads);
        let unknown = |pmid: Pmid| match &live {
            _ if addresses.contains_key(&pmid) => false,
            Some(live) => live.is_absent(pmid),
            None => !is_now,
        };
        Ok(collected.finish(&pmids, unknown))
    }
}

/// Records, as many as fit.
struct Collected {
    output: GetManyOutput,
    max_chars: usize,
    /// Reserved for the lists of PMIDs and for warnings.
    lists: usize,
    json: usize,
    text: usize,
    done: HashSet<Pmid>,
}

/// Characters of the names and brackets of the lists, and of one warning.
const FRAME: usize = 250;

/// Characters of a PMID in a list.
const PMID_CHARS: usize = 12;

impl Collected {
    fn new(max_chars: usize, asked: usize) -> Self {
        let lists = FRAME + (asked * PMID_CHARS).min(max_chars / 8);
        Self { output: GetManyOutput::default(), max_chars, lists, json: 0, text: 0, done: HashSet::new() }
    }

    fn room(&self) -> usize {
        self.max_chars - self.lists
    }

    /// Adds a record; returns whether the next one may be tried.
    fn take(&mut self, pmid: Pmid, view: Option<RecordView>) -> bool {
        let Some(view) = view else { return true };
        let is_missing = !view.found && view.deleted_at.is_none() && view.last_hash.is_none() && view.error.is_none();
        if is_missing {
            self.output.missing.push(pmid);
            self.done.insert(pmid);
            return true;
        }
        let is_first = self.output.records.is_empty();
        let found = view.found;
        self.push(pmid, view) || {
            // Each call returns one, or a caller would repeat the call forever.
            let error = Some("does not fit within max_chars: give a larger one".to_owned());
            is_first && self.push(pmid, RecordView { found, error, ..RecordView::nothing(pmid) })
        }
    }

    /// Adds a record if it fits; returns whether it did.
    fn push(&mut self, pmid: Pmid, view: RecordView) -> bool {
        let json = json!(view);
        let (json, text) = (self.json + chars(&json) + 1, self.text + record::markdown(&json).chars().count());
        if json.max(text) > self.room() {
            return false;
        }
        (self.json, self.text) = (json, text);
        self.output.records.push(view);
        self.done.insert(pmid);
        true
    }

    /// Sorts the remaining PMIDs: unknown everywhere, or for another call.
    fn finish(self, pmids: &[Pmid], is_unknown: impl Fn(Pmid) -> bool) -> GetManyOutput {
        let Self { mut output, max_chars, lists, json, text, done } = self;
        for pmid in pmids.iter().copied().filter(|pmid| !done.contains(pmid)) {
            if is_unknown(pmid) { &mut output.missing } else { &mut output.deferred }.push(pmid);
        }
        // The space that records left free, at least the reserved one, is for the lists.
        let mut room = (max_chars - json.max(text)).max(lists) - FRAME;
        for (name, list) in [("deferred", &mut output.deferred), ("missing", &mut output.missing)] {
            let total = list.len();
            list.truncate(room / PMID_CHARS);
            room -= list.len() * PMID_CHARS;
            if list.len() < total {
                output.omitted.push(Omitted { field: name.to_owned(), total, returned: list.len() });
            }
        }
        output
    }
}
