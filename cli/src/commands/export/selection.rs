//! Which records an export holds, page by page in a fixed order.

use serde::{Deserialize, Serialize};
use shared::checkpoints::{self, Checkpoint, DatedState, StatesPosition};
use shared::core::{Pmid, Sha256};
use shared::syncs;
use sqlx::PgPool;

use crate::args::Export;
use crate::commands::sync;
use crate::failure::CliError;
use crate::session::Session;

/// Maximum number of records of a page.
const PAGE: i64 = 1000;

pub enum Selection {
    /// Live records of the whole archive or of queries, as of an event.
    Corpus(SelectedCorpus),
    /// These records, in the order of their PMIDs.
    Pmids(Vec<Pmid>),
    /// What changed after an event, in a query or anywhere.
    Changes { since: i64, query_key: Option<String> },
}

/// Live records.
pub struct SelectedCorpus {
    queries: Vec<String>,
    /// Of a checkpoint: its event, and its id.
    checkpoint: Option<(i64, String)>,
}

/// Where the next page starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionCursor {
    /// The last position that was written; for a corpus only its record.
    after: StatesPosition,
    /// How many records of a list were written.
    listed: usize,
}

/// A page of a selection.
pub struct SelectionPage {
    /// The records, as of the event of the export.
    pub records: Vec<Selected>,
    /// Records of a list that the archive does not have.
    pub unknown: Vec<Pmid>,
    /// Where the next page starts.
    pub next: SelectionCursor,
}

pub struct Selected {
    pub pmid: Pmid,
    /// Address of the exported version.
    pub s3_uri: String,
    /// Hash of its payload; none if it was deleted.
    pub content_hash: Option<String>,
}

impl Selection {
    /// The selection of the arguments; `now` is the last event.
    pub async fn of(session: &Session, args: &Export, now: i64) -> Result<Self, CliError> {
        let db = session.db();
        if let Some(key) = &args.query_key
            && syncs::one(db, key).await?.is_none()
        {
            return Err(CliError::not_found(format!("query key {key} not found: `bio-mcp status` lists the keys")));
        }
        if let Some(since) = args.since {
            if since > now {
                return Err(CliError::usage(format!(
                    "event {since} is later than the last event, {now}: give --since the last event of an earlier \
                     export of this archive"
                )));
            }
            return Ok(Self::Changes { since, query_key: args.query_key.clone() });
        }
        if let Some(id) = &args.checkpoint {
            let found = checkpoints::get(db, id).await?;
            let Some(Checkpoint { seq, primary_queries, .. }) = found else {
                return Err(CliError::not_found(format!("checkpoint {id} not found")));
            };
            return Ok(Self::Corpus(SelectedCorpus { queries: primary_queries, checkpoint: Some((seq, id.clone())) }));
        }
        let listed = match &args.pmids_file {
            Some(path) if path.as_os_str() == "-" => Some(sync::pmids(&["-".to_owned()])?),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| CliError::usage(format!("cannot read {}: {error}", path.display())))?;
                Some(sync::pmids_of(&text)?)
            }
            None if !args.pmids.is_empty() => Some(sync::pmids(&args.pmids)?),
            None => None,
        };
        if let Some(mut pmids) = listed {
            if pmids.is_empty() {
                return Err(CliError::usage("the list contains no PMIDs"));
            }
            pmids.sort_unstable();
            pmids.dedup();
            return Ok(Self::Pmids(pmids));
        }
        Ok(Self::Corpus(SelectedCorpus { queries: args.query_key.iter().cloned().collect(), checkpoint: None }))
    }

    /// The event whose state is exported.
    pub fn seq(&self, now: i64) -> i64 {
        match self {
            Self::Corpus(SelectedCorpus { checkpoint: Some((seq, _)), .. }) => *seq,
            _ => now,
        }
    }

    /// Identifies the selection: an export is resumed only by a command with the same one.
    pub fn description(&self) -> String {
        match self {
            Self::Corpus(SelectedCorpus { checkpoint: Some((_, id)), .. }) => format!("checkpoint {id}"),
            Self::Corpus(SelectedCorpus { queries, .. }) if queries.is_empty() => "everything".to_owned(),
            Self::Corpus(SelectedCorpus { queries, .. }) => format!("query {}", queries.join(", ")),
            Self::Pmids(pmids) => {
                let text = pmids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                format!("{} PMIDs with the hash {}", pmids.len(), Sha256::of(text.as_bytes()).to_hex())
            }
            Self::Changes { since, query_key: None } => format!("changes since event {since}"),
            Self::Changes { since, query_key: Some(key) } => format!("changes of query {key} since event {since}"),
        }
    }

    /// The next page as of event `seq`; none at the end.
    pub async fn page(
        &self,
        db: &PgPool,
        seq: i64,
        cursor: &SelectionCursor,
    ) -> Result<Option<SelectionPage>, CliError> {
        match self {
            Self::Corpus(corpus) => corpus.page(db, seq, cursor).await,
            Self::Pmids(pmids) => listed(db, pmids, seq, cursor).await,
            Self::Changes { since, query_key } => {
                let range = (*since, seq);
                let found = checkpoints::states_since(db, query_key.as_deref(), range, &cursor.after, PAGE).await?;
                let Some(last) = found.last() else { return Ok(None) };
                let after = StatesPosition { seq: last.seq, pmid: last.pmid.clone() };
                let records = found.into_iter().map(Selected::try_from).collect::<Result<_, _>>()?;
                Ok(Some(SelectionPage { records, unknown: Vec::new(), next: SelectionCursor { after, listed: 0 } }))
            }
        }
    }
}

impl SelectedCorpus {
    async fn page(&self, db: &PgPool, seq: i64, cursor: &SelectionCursor) -> Result<Option<SelectionPage>, CliError> {
        let after = Pmid::parse(&cursor.after.pmid).ok();
        let corpus = Checkpoint::at(seq, self.queries.clone());
        let found = checkpoints::documents(db, &corpus, after, PAGE).await?.rows;
        let Some(last) = found.last() else { return Ok(None) };
        let after = StatesPosition { seq: 0, pmid: last.pmid.clone() };
        let records = found
            .into_iter()
            .map(|found| {
                let pmid = parsed(&found.pmid)?;
                Ok(Selected { pmid, s3_uri: found.s3_uri, content_hash: Some(found.content_hash) })
            })
            .collect::<Result<_, CliError>>()?;
        Ok(Some(SelectionPage { records, unknown: Vec::new(), next: SelectionCursor { after, listed: 0 } }))
    }
}

async fn listed(
    db: &PgPool,
    pmids: &[Pmid],
    seq: i64,
    cursor: &SelectionCursor,
) -> Result<Option<SelectionPage>, CliError> {
    let size = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let Some(page) = pmids.get(cursor.listed..).and_then(|rest| rest.chunks(size).next()) else { return Ok(None) };
    let found = checkpoints::states_of(db, page, seq).await?;
    let records = found.into_iter().map(Selected::try_from).collect::<Result<Vec<_>, _>>()?;
    let is_known = |pmid: &Pmid| records.iter().any(|record| record.pmid == *pmid);
    let unknown = if records.len() == page.len() {
        Vec::new()
    } else {
        page.iter().filter(|pmid| !is_known(pmid)).copied().collect()
    };
    let next = SelectionCursor { after: StatesPosition::default(), listed: cursor.listed + page.len() };
    Ok(Some(SelectionPage { records, unknown, next }))
}

impl TryFrom<DatedState> for Selected {
    type Error = CliError;

    fn try_from(state: DatedState) -> Result<Self, CliError> {
        let content_hash = state.content_hash.filter(|_| state.outcome != "deleted");
        Ok(Self { pmid: parsed(&state.pmid)?, s3_uri: state.s3_uri, content_hash })
    }
}

fn parsed(pmid: &str) -> Result<Pmid, CliError> {
    Pmid::parse(pmid)
        .map_err(|error| CliError::internal(format!("a row of the event log has an invalid PMID: {error}")))
}
