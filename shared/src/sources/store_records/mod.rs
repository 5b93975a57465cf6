//! From slices of records to the archive, whatever they came in: decide what becomes of each, compress
//! what is to be stored, store it, and return the batch to commit.
//!
//! [`prepare`] and [`store`] are stages of their own, so that one batch is prepared, and its objects are named
//! ([`Ahead`]), while the one before is stored. Objects are on stable storage before the transaction that points at
//! them.

mod ahead;
mod prepare;
mod rows;
mod store;
mod threads;
mod versions;

use std::ops::Range;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

pub use ahead::Ahead;
pub use prepare::{PreparedRecords, prepare};
pub use rows::{PubmedRows, StoredBatch};
pub use store::{store, store_without_unit};
pub use versions::{Arrival, apply};

use crate::archive::Source;
use crate::core::{JobId, Pmid, RecordOrder, clock};
use crate::db::DbError;
use crate::ingest;
use crate::pubmed::Identity;

/// PMIDs that a job's result names.
const PMIDS_FAILED: i64 = 100;

/// What the result of every job over PubMed records says: the first of them that failed.
pub async fn result(db: &mut PgConnection, job: JobId) -> Result<Map<String, Value>, DbError> {
    let failed = ingest::failed_ids(db, job, PMIDS_FAILED).await?;
    Ok(Map::from_iter([("pmids_failed".to_owned(), json!(failed))]))
}

/// Where a batch of slices came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// What stands in the envelopes.
    pub source: Source,
    /// What the records are as of; the Unix epoch when that is not known.
    pub as_of: DateTime<Utc>,
    /// Number of the file, or 0 for what came from a server.
    pub file_number: i32,
    /// Tells a file that NLM did not name from others.
    pub file_id: Option<String>,
}

impl Origin {
    /// The order of a record: its place counts only in a file.
    fn order(
        &self,
        item: &RawRecord,
        version: i32,
        date_revised: Option<chrono::NaiveDate>,
        deleted: bool,
    ) -> RecordOrder {
        RecordOrder {
            version,
            date_revised,
            as_of: self.as_of_item(item),
            file_number: self.file_number,
            position: self.position(item),
            file_id: self.file_id.clone(),
            deleted,
        }
    }

    /// A file that NLM named but that has no time is as of the end of the newest revision in it so far. A time in the
    /// future is a clock that was wrong: it would keep out everything that comes until then.
    fn as_of_item(&self, item: &RawRecord) -> DateTime<Utc> {
        let is_unknown = self.as_of == DateTime::<Utc>::default() && self.file_number > 0;
        let end_of_day = |day: chrono::NaiveDate| day.and_hms_opt(23, 59, 59).map(|at| at.and_utc());
        let as_of = if is_unknown { item.newest_revision.and_then(end_of_day) } else { None };
        let as_of = as_of.unwrap_or(self.as_of);
        // What was fetched is dated by the database's clock.
        if self.source.api == BULK_FILE { as_of.min(clock::now()) } else { as_of }
    }

    fn position(&self, item: &RawRecord) -> i64 {
        if self.source.api == BULK_FILE { item.n } else { 0 }
    }
}

/// `source.api` of what stood in a file.
pub const BULK_FILE: &str = "bulk_file";

/// `source.api` of what EFetch returned.
pub const EFETCH: &str = "efetch";

/// Slices of one batch; the PMIDs that are to be archived are distinct.
#[derive(Clone, Debug, Default)]
pub struct RawBatch {
    /// The slices are parts of this.
    pub bytes: Vec<u8>,
    /// Where, and what they are.
    pub items: Vec<RawRecord>,
}

/// One slice.
#[derive(Clone, Debug)]
pub struct RawRecord {
    pub range: Range<usize>,
    /// Names it within its unit: the position in a file, from 1.
    pub n: i64,
    pub kind: SliceKind,
    /// The newest `DateRevised` of its file up to here.
    pub newest_revision: Option<chrono::NaiveDate>,
}

/// What a slice is.
#[derive(Clone, Debug)]
pub enum SliceKind {
    /// A record.
    Record(Identity),
    /// A deletion of a PMID: of the version it names, or of every version.
    Deletion(Pmid, i32),
    /// Something that cannot be archived, and why.
    Bad(Option<Pmid>, String),
}

impl SliceKind {
    /// The PMID whose pointer it may move.
    pub fn archivable(&self) -> Option<Pmid> {
        match self {
            Self::Record(identity) => Some(identity.pmid),
            Self::Deletion(pmid, _) => Some(*pmid),
            Self::Bad(..) => None,
        }
    }
}

impl RawBatch {
    /// The PMIDs that are to be archived.
    pub fn pmids(&self) -> impl Iterator<Item = Pmid> {
        self.items.iter().filter_map(|item| item.kind.archivable())
    }
}
