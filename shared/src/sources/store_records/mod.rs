//! From slices of records to the archive, for every source: decides about each, compresses and stores new payloads, and
//! returns the batch to commit.
//!
//! [`prepare`] and [`store`] are separate stages, so that a batch is prepared, and its intents are committed
//! ([`Ahead`]), while the previous one is stored. Objects are on stable storage before the transaction that refers to
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

/// Maximum number of PMIDs in the result of a job.
const PMIDS_FAILED: i64 = 100;

/// The common result of every job over PubMed records: the first records that failed.
pub async fn result(db: &mut PgConnection, job: JobId) -> Result<Map<String, Value>, DbError> {
    let failed = ingest::failed_ids(db, job, PMIDS_FAILED).await?;
    Ok(Map::from_iter([("pmids_failed".to_owned(), json!(failed))]))
}

/// The source of a batch of slices.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The source in the envelopes.
    pub source: Source,
    /// As-of time of the records; the Unix epoch if that is unknown.
    pub as_of: DateTime<Utc>,
    /// Number of the file; 0 for records from a server.
    pub file_number: i32,
    /// Distinguishes a file that NLM did not name from others.
    pub file_id: Option<String>,
}

impl Origin {
    /// The order of a record: its position counts only in a file.
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

    /// A file named by NLM but without a time is as of the end of the newest revision in it so far. A time in the
    /// future is from a wrong clock: everything that arrives until then would count as older.
    fn as_of_item(&self, item: &RawRecord) -> DateTime<Utc> {
        let is_unknown = self.as_of == DateTime::<Utc>::default() && self.file_number > 0;
        let end_of_day = |day: chrono::NaiveDate| day.and_hms_opt(23, 59, 59).map(|at| at.and_utc());
        let as_of = if is_unknown { item.newest_revision.and_then(end_of_day) } else { None };
        let as_of = as_of.unwrap_or(self.as_of);
        // Fetched records are dated by the database's clock.
        if self.source.api == BULK_FILE { as_of.min(clock::now()) } else { as_of }
    }

    fn position(&self, item: &RawRecord) -> i64 {
        if self.source.api == BULK_FILE { item.n } else { 0 }
    }
}

/// `source.api` of records from a file.
pub const BULK_FILE: &str = "bulk_file";

/// `source.api` of records from EFetch.
pub const EFETCH: &str = "efetch";

/// Slices of one batch; the PMIDs to archive are distinct.
#[derive(Clone, Debug, Default)]
pub struct RawBatch {
    /// The bytes that contain the slices.
    pub bytes: Vec<u8>,
    /// Range and kind of each slice.
    pub items: Vec<RawRecord>,
}

/// One slice.
#[derive(Clone, Debug)]
pub struct RawRecord {
    pub range: Range<usize>,
    /// Its number within its unit: the position in a file, from 1.
    pub n: i64,
    pub kind: SliceKind,
    /// The newest `DateRevised` of its file up to here.
    pub newest_revision: Option<chrono::NaiveDate>,
}

#[derive(Clone, Debug)]
pub enum SliceKind {
    /// A record.
    Record(Identity),
    /// A deletion of a PMID: of the given version, or of every version.
    Deletion(Pmid, i32),
    /// A slice that cannot be archived, and the reason.
    Bad(Option<Pmid>, String),
}

impl SliceKind {
    /// The PMID whose pointer may change.
    pub fn archivable(&self) -> Option<Pmid> {
        match self {
            Self::Record(identity) => Some(identity.pmid),
            Self::Deletion(pmid, _) => Some(*pmid),
            Self::Bad(..) => None,
        }
    }
}

impl RawBatch {
    /// The PMIDs to archive.
    pub fn pmids(&self) -> impl Iterator<Item = Pmid> {
        self.items.iter().filter_map(|item| item.kind.archivable())
    }
}
