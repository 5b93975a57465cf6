//! Which of two payloads of one PMID is newer.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Everything that orders the payloads of one PMID; stands in `source.params` of each envelope,
/// so pointers can be rebuilt from the archive alone.
///
/// Payloads are ordered by PMID Version, then `DateRevised`, then as-of time, then file number and
/// position. With a deletion on either side the order starts at the as-of time, because a
/// `DeleteCitation` carries no revision date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordOrder {
    /// PMID Version attribute, 1 for nearly all records.
    pub version: i32,
    /// `DateRevised` of the record, if it has one.
    pub date_revised: Option<NaiveDate>,
    /// When the payload was true upstream: start of the `EFetch` request, Last-Modified of a
    /// download, gzip modification time of a local file, else the Unix epoch.
    pub as_of: DateTime<Utc>,
    /// Number of the bulk file with its year in front (`pubmed26n1335` is 261335), else 0.
    pub file_number: i32,
    /// Position of the record in its file, from 1.
    pub position: i64,
    /// Whether this is a deletion (tombstone).
    pub deleted: bool,
}

impl RecordOrder {
    /// Whether `self` is strictly older than `other`.
    pub fn is_older_than(&self, other: &Self) -> bool {
        let late = |o: &Self| (o.as_of, o.file_number, o.position);
        if self.deleted || other.deleted {
            late(self) < late(other)
        } else {
            (self.version, self.date_revised, late(self)) < (other.version, other.date_revised, late(other))
        }
    }

    /// Whether both say the same about the order: the same place of the same file.
    pub fn is_same_place(&self, other: &Self) -> bool {
        !self.is_older_than(other) && !other.is_older_than(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(version: i32, revised: &str, as_of: i64, file: i32, position: i64) -> RecordOrder {
        RecordOrder {
            version,
            date_revised: revised.parse().ok(),
            as_of: DateTime::from_timestamp(as_of, 0).expect("in range"),
            file_number: file,
            position,
            deleted: false,
        }
    }

    #[test]
    fn version_then_revision_then_as_of_then_file_then_position() {
        let ascending = [
            order(1, "", 9, 9, 9),
            order(1, "2024-01-01", 5, 5, 5),
            order(1, "2024-01-02", 1, 5, 5),
            order(1, "2024-01-02", 2, 1, 5),
            order(1, "2024-01-02", 2, 2, 1),
            order(1, "2024-01-02", 2, 2, 2),
            order(2, "2020-01-01", 0, 0, 0),
        ];
        for (i, older) in ascending.iter().enumerate() {
            for newer in &ascending[i + 1..] {
                assert!(older.is_older_than(newer), "{older:?} < {newer:?}");
                assert!(!newer.is_older_than(older));
            }
        }
    }

    #[test]
    fn a_deletion_is_compared_by_as_of_time_first() {
        let record = order(7, "2026-01-01", 10, 1, 1);
        let later = RecordOrder { deleted: true, ..order(1, "", 11, 1, 1) };
        let earlier = RecordOrder { deleted: true, ..order(1, "", 9, 9, 9) };
        assert!(record.is_older_than(&later));
        assert!(earlier.is_older_than(&record));
    }
}
