//! Records for tools: from the archive, now or at an earlier time, else live from NCBI.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::checkpoint;
use super::error::ToolError;
use super::record::{Include, RecordView, Source};
use super::tool::Toolbox;
use crate::archive::{Payload, StoredPayload};
use crate::checkpoints::{self, Checkpoint, Document};
use crate::core::{ErrorCode, Pmid, Sha256};
use crate::pubmed::Article;
use crate::pubmed::eutils::{RecordSet, Returned};
use crate::records;
use crate::sources::pubmed_sync::controls;

/// Maximum number of objects read at the same time.
pub const READS_AT_ONCE: usize = 8;

/// The time as of which records are read.
#[derive(Debug)]
pub enum AsOf {
    /// Now; records that are not archived are read from NCBI.
    Now,
    /// As the archive had it at a time.
    At(DateTime<Utc>),
    /// As a checkpoint has it.
    Checkpoint(Box<Checkpoint>),
}

impl AsOf {
    /// From the parameters `as_of` and `checkpoint_id`.
    pub async fn of(
        toolbox: &Toolbox,
        as_of: Option<DateTime<Utc>>,
        checkpoint_id: Option<&str>,
    ) -> Result<Self, ToolError> {
        Ok(match (checkpoint_id, as_of) {
            (Some(_), Some(_)) => {
                return Err(ToolError::invalid_field(
                    "as_of",
                    "a checkpoint has its own time: give either as_of or checkpoint_id",
                ));
            }
            (Some(id), None) => Self::Checkpoint(Box::new(checkpoint::named(toolbox, "checkpoint_id", id).await?)),
            (None, Some(at)) => Self::At(at),
            (None, None) => Self::Now,
        })
    }

    /// Addresses of records in the archive, for those that exist. One query, however many records.
    pub async fn addresses(
        &self,
        toolbox: &Toolbox,
        pmids: &[Pmid],
    ) -> Result<HashMap<Pmid, StoredPayload>, ToolError> {
        let db = &toolbox.engine.db;
        Ok(match self {
            Self::Now => {
                records::lookup(db, pmids).await?.into_iter().map(|(pmid, one)| (pmid, one.address())).collect()
            }
            Self::At(at) => records::addresses_as_of(db, pmids, *at).await?,
            Self::Checkpoint(checkpoint) => {
                let documents = checkpoints::documents_of(db, checkpoint, pmids).await?;
                let address = |one: &Document| StoredPayload::of_row(&one.s3_uri, Some(&one.content_hash));
                documents.iter().filter_map(|one| Some((Pmid::parse(&one.pmid).ok()?, address(one)))).collect()
            }
        })
    }
}

/// What is shown of each record.
#[derive(Clone, Debug)]
pub struct ViewLimits {
    /// The parts.
    pub include: Vec<Include>,
    /// Maximum length of the JSON and of the Markdown of one record, in characters.
    pub max_chars: usize,
}

/// An archived record, or when it was deleted.
pub async fn archived(
    toolbox: &Toolbox,
    when: &AsOf,
    pmid: Pmid,
    payload: &StoredPayload,
    view_limits: &ViewLimits,
) -> Result<RecordView, ToolError> {
    let envelope = toolbox.engine.archive.envelope(pmid, payload).await?;
    let Payload::Xml(xml) = &envelope.payload else {
        let mut events = records::events(&toolbox.engine.db, pmid).await?;
        if let AsOf::At(at) = when {
            events.retain(|event| event.accepted_at <= *at);
        }
        return Ok(RecordView {
            deleted_at: events.iter().rfind(|event| event.outcome == "deleted").map(|event| event.accepted_at),
            last_hash: events.into_iter().rev().find_map(|event| event.content_hash),
            ..RecordView::nothing(pmid)
        });
    };
    let found = RecordView {
        found: true,
        source: Some(Source::Archive),
        fetched_at: Some(envelope.fetched_at),
        content_hash: envelope.content_hash(),
        ..RecordView::nothing(pmid)
    };
    shown(toolbox, found, xml, view_limits)
}

/// The typed record of an archived payload; none for a deleted one.
pub async fn typed(
    toolbox: &Toolbox,
    pmid: Pmid,
    payload: &StoredPayload,
) -> Result<Option<Map<String, Value>>, ToolError> {
    match &toolbox.engine.archive.envelope(pmid, payload).await?.payload {
        Payload::Xml(xml) => fields(pmid, xml, false).map(Some),
        Payload::Tombstone => Ok(None),
    }
}

/// Records that NCBI returned for one request.
pub struct FetchedRecords {
    set: RecordSet,
    at: HashMap<Pmid, std::ops::Range<usize>>,
}

impl FetchedRecords {
    /// Fetches records in one request.
    pub async fn fetch(toolbox: &Toolbox, pmids: &[Pmid]) -> Result<Self, ToolError> {
        // An empty set may be an outage: it proves an absence only beside an existing record.
        let controls = controls(&toolbox.engine.db).await?;
        let set = toolbox.client.fetch(pmids, Some(&controls), toolbox.engine.archive.max_record_bytes()).await?;
        let records = set.returned.iter().filter_map(|one| match one {
            Returned::Record { range, identity } => Some((identity.pmid, range.clone())),
            Returned::Bad { .. } => None,
        });
        Ok(Self { at: records.collect(), set })
    }

    /// Whether NCBI has no record of this PMID.
    pub fn is_absent(&self, pmid: Pmid) -> bool {
        self.set.absent.contains(&pmid)
    }

    /// A record for display.
    pub fn view(&self, toolbox: &Toolbox, pmid: Pmid, view_limits: &ViewLimits) -> Result<RecordView, ToolError> {
        if self.is_absent(pmid) {
            return Ok(RecordView::nothing(pmid));
        }
        let xml = self.xml(pmid)?;
        let found = RecordView {
            found: true,
            source: Some(Source::Pubmed),
            fetched_at: Some(self.set.as_of),
            content_hash: Some(Sha256::of(xml.as_bytes())),
            ..RecordView::nothing(pmid)
        };
        shown(toolbox, found, xml, view_limits)
    }

    /// The typed record.
    pub fn typed(&self, pmid: Pmid) -> Result<Map<String, Value>, ToolError> {
        fields(pmid, self.xml(pmid)?, false)
    }

    fn xml(&self, pmid: Pmid) -> Result<&str, ToolError> {
        let slice = self.at.get(&pmid).map(|range| &self.set.bytes[range.clone()]);
        slice.and_then(|slice| std::str::from_utf8(slice).ok()).ok_or_else(|| {
            ToolError::new(ErrorCode::PubmedError, format!("what NCBI returned for PMID {pmid} is not a record"))
        })
    }
}

fn shown(toolbox: &Toolbox, found: RecordView, xml: &str, view_limits: &ViewLimits) -> Result<RecordView, ToolError> {
    let withheld = !toolbox.serve_abstracts;
    let record = fields(found.pmid, xml, withheld)?;
    Ok(RecordView { abstracts_withheld: withheld, ..found }.with(record, &view_limits.include, view_limits.max_chars))
}

/// The typed record of XML, as JSON.
fn fields(pmid: Pmid, xml: &str, withhold_abstracts: bool) -> Result<Map<String, Value>, ToolError> {
    let mut article = Article::parse(xml).map_err(|error| {
        if error.is_beyond_bounds() {
            let message = format!("PMID {pmid} is archived but was not read: {error}");
            return ToolError::new(ErrorCode::ValidationError, message);
        }
        tracing::error!(%pmid, %error, "a record cannot be read");
        ToolError::new(ErrorCode::Internal, format!("PMID {pmid} is archived but cannot be read as a record"))
    })?;
    if withhold_abstracts {
        article.withhold_abstracts();
    }
    match serde_json::to_value(&article) {
        Ok(Value::Object(record)) => Ok(record),
        _ => Err(ToolError::new(ErrorCode::Internal, format!("PMID {pmid} cannot be written as JSON"))),
    }
}
