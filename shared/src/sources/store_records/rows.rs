//! Rows that a batch of PubMed records writes in the transaction that commits it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::PgConnection;

use crate::core::{ErrorCode, Outcome, Pmid, Reason, SkipReason};
use crate::ingest::{Batch, BatchRows, CommitError, RecordOutcome, UnitError};
use crate::records::{self, Advance, PointerUpdate, VersionChange, Whole};

/// A batch whose objects are stored: the outcomes of its records, and the rows to write.
#[derive(Clone, Debug, Default)]
pub struct StoredBatch {
    /// Outcome of each record.
    pub outcomes: Vec<RecordOutcome>,
    /// Rows to write with them.
    pub rows: PubmedRows,
}

/// Pointers, versions and related rows of one batch.
#[derive(Clone, Debug, Default)]
pub struct PubmedRows {
    /// Stored versions to become pointers.
    pub accepts: Vec<PointerUpdate>,
    /// Archived payloads that arrived again with a newer order.
    pub advances: Vec<Advance>,
    /// Records with versions.
    pub versions: Vec<VersionChange>,
    /// Records that were missing upstream and were returned again, unchanged.
    pub reappeared: Vec<Pmid>,
    /// Records that arrived intact, stored or unchanged.
    pub whole: Vec<Whole>,
    /// Intents whose objects get their rows with this batch.
    pub intents: Vec<i64>,
    /// Versions that earlier attempts stored below those of this batch, and that did not become pointers.
    pub superseded: Vec<(Pmid, String)>,
}

impl StoredBatch {
    /// Adds another batch to be committed together with this one.
    pub fn extend(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        let PubmedRows { accepts, advances, versions, reappeared, whole, intents, superseded } = other.rows;
        self.rows.accepts.extend(accepts);
        self.rows.advances.extend(advances);
        self.rows.versions.extend(versions);
        self.rows.reappeared.extend(reappeared);
        self.rows.whole.extend(whole);
        self.rows.intents.extend(intents);
        self.rows.superseded.extend(superseded);
    }

    /// The batch to commit; `more` writes rows after those of the archive.
    pub fn into_batch(self, cursor: Value, work: i64, more: Option<Arc<dyn BatchRows>>) -> Batch {
        let rows: Arc<dyn BatchRows> = Arc::new(ArchiveRows { rows: self.rows, more });
        Batch { outcomes: self.outcomes, cursor, work, rows: Some(rows) }
    }
}

struct ArchiveRows {
    rows: PubmedRows,
    more: Option<Arc<dyn BatchRows>>,
}

#[async_trait]
impl BatchRows for ArchiveRows {
    async fn write(&self, tx: &mut PgConnection, outcomes: &mut [RecordOutcome]) -> Result<(), CommitError> {
        self.rows.write(tx, outcomes).await?;
        match &self.more {
            Some(more) => more.write(tx, outcomes).await,
            None => Ok(()),
        }
    }
}

impl PubmedRows {
    /// Writes the pointers first, in order, then the event log, whose numbering is locked from there to the commit.
    async fn write(&self, tx: &mut PgConnection, outcomes: &mut [RecordOutcome]) -> Result<(), CommitError> {
        let missing: Vec<Pmid> = outcomes
            .iter()
            .filter(|one| one.outcome == Outcome::Missing)
            .filter_map(|one| records::pmid(&one.key))
            .collect();
        self.lock(tx, &missing).await?;
        records::mark_missing(tx, &missing).await?;
        records::clear_missing(tx, &self.reappeared).await?;
        records::advance(tx, &self.advances).await?;
        records::forget_intents(tx, &self.intents).await?;
        records::put_aside_own(tx, &self.superseded).await?;
        let accepts = records::accept(tx, &self.accepts).await?;
        // Stored, but superseded before this commit.
        let overtaken = self.accepts.iter().filter(|one| accepts.older.contains(&one.pmid));
        let overtaken: Vec<(Pmid, String)> = overtaken.map(|one| (one.pmid, one.s3_uri.clone())).collect();
        records::put_aside_own(tx, &overtaken).await?;
        records::release_older(tx, &self.whole).await?;
        let mut undecided = accepts.undecided;
        undecided.extend(records::accept_versions(tx, &self.versions).await?);
        if let Some(pmid) = undecided.first() {
            let message = format!("PMID {pmid} was changed by another worker at the same time");
            return Err(UnitError::Failed { code: ErrorCode::ArchiveError, message, retry: true }.into());
        }
        if accepts.older.is_empty() {
            return Ok(());
        }
        for one in outcomes.iter_mut().filter(|one| one.outcome != Outcome::Failed) {
            // Another worker accepted a newer payload first.
            if records::pmid(&one.key).is_some_and(|pmid| accepts.older.contains(&pmid)) {
                one.outcome = Outcome::Skipped;
                one.reason = Some(Reason::Skip(SkipReason::Older));
            }
        }
        Ok(())
    }

    /// If more than one statement changes pointers, all are locked first, in order.
    async fn lock(&self, tx: &mut PgConnection, missing: &[Pmid]) -> Result<(), CommitError> {
        let touched = missing.iter().chain(&self.reappeared).chain(self.advances.iter().map(|one| &one.pmid));
        let touched: Vec<Pmid> = touched.copied().collect();
        if touched.is_empty() {
            return Ok(());
        }
        let known = self.accepts.iter().filter(|one| one.expected.is_some()).map(|one| one.pmid);
        let versions = self.versions.iter().map(|one| one.pmid);
        let all: Vec<Pmid> = touched.into_iter().chain(known).chain(versions).collect();
        Ok(records::lock_pointers(tx, &all).await?)
    }
}
