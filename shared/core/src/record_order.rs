//! Which of two payloads of one version of a record is newer. Only this module decides: SQL only checks that a pointer
//! is still the one that was compared here.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// A position in NLM's sequence of files: the number of the file with its year in front (`pubmed26n1335` is 261335),
/// then the position in the file, from 1. NLM's rule: files are applied in order.
///
/// ```
/// use bio_mcp_core::FileRank;
///
/// let baseline = FileRank { file_number: 26_0001, position: 900 };
/// let update = FileRank { file_number: 26_1335, position: 1 };
/// assert!(update > baseline, "files are applied in order");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileRank {
    pub file_number: i32,
    /// Position in the file, from 1.
    pub position: i64,
}

impl FileRank {
    /// Lower than every other rank: not from a file named by NLM.
    pub const NONE: Self = Self { file_number: 0, position: 0 };
}

/// The version number of a deletion that names no version: it deletes them all.
pub const EVERY_VERSION: i32 = 0;

/// The values that order the payloads of one version of a record; stored in `source.params` of each envelope, so that
/// pointers can be rebuilt from the archive alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordOrder {
    /// PMID Version attribute, 1 for nearly all records; [`EVERY_VERSION`] for a deletion of all of them.
    pub version: i32,
    /// `DateRevised` of the record, if it has one.
    pub date_revised: Option<NaiveDate>,
    /// When the payload was current upstream: start of the `EFetch` request, Last-Modified of a download, gzip
    /// modification time of a local file, else the Unix epoch.
    pub as_of: DateTime<Utc>,
    /// Number of the bulk file with its year in front (`pubmed26n1335` is 261335), else 0.
    pub file_number: i32,
    /// Position of the record in its file, from 1; 0 if it did not come from a file.
    pub position: i64,
    /// Identifies a file not named by NLM: the start of the SHA-256 of its bytes.
    pub file_id: Option<String>,
    /// Whether this is a deletion (tombstone).
    pub deleted: bool,
}

/// How an arriving payload compares with the held one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// The held payload stays.
    Older,
    /// Both are the same position of the same file.
    Same,
    /// The arriving payload replaces the held one.
    Newer,
}

impl RecordOrder {
    /// Position in NLM's sequence of files, or [`FileRank::NONE`].
    pub fn rank(&self) -> FileRank {
        if self.file_number > 0 {
            FileRank { file_number: self.file_number, position: self.position }
        } else {
            FileRank::NONE
        }
    }

    /// The same order with an as-of time not after `latest`. A later one was written by a wrong clock: the payload is
    /// only known to have been current when it was fetched. `pull_back_pointers` corrects rows likewise.
    #[must_use]
    pub fn not_after(mut self, latest: DateTime<Utc>, fetched_at: DateTime<Utc>) -> Self {
        if self.as_of > latest {
            self.as_of = if fetched_at > latest { DateTime::default() } else { fetched_at };
        }
        self
    }

    /// Whether both come from the same position of the same file.
    pub fn is_same_position(&self, other: &Self) -> bool {
        let same_file = if self.rank() == FileRank::NONE {
            self.file_id.is_some() && self.file_id == other.file_id && other.rank() == FileRank::NONE
        } else {
            self.file_number == other.file_number
        };
        same_file && self.position == other.position && self.deleted == other.deleted
    }

    /// Compares an arriving payload with the held one of the same version; `seen` is the highest rank that ever arrived
    /// for that version.
    ///
    /// Two files named by NLM are ordered by number, regardless of dates. Every other pair is compared by
    /// `DateRevised`, then as-of time, then arrival: of two equal ones the later arrival wins. If either is a deletion,
    /// `DateRevised` is not compared, because a `DeleteCitation` has none.
    pub fn compare(&self, held: &Self, seen: FileRank) -> Precedence {
        if self.is_same_position(held) {
            return Precedence::Same;
        }
        let rank = self.rank();
        if rank != FileRank::NONE {
            if rank < seen {
                return Precedence::Older;
            }
            if rank > seen && held.rank() != FileRank::NONE {
                return Precedence::Newer;
            }
        }
        let dates = |order: &Self| (if self.deleted || held.deleted { None } else { order.date_revised }, order.as_of);
        let in_one_file = self.file_id.is_some() && self.file_id == held.file_id;
        match dates(self).cmp(&dates(held)) {
            std::cmp::Ordering::Less => Precedence::Older,
            // Reading a file again does not undo the effect of its later records.
            std::cmp::Ordering::Equal if in_one_file && self.position < held.position => Precedence::Older,
            _ => Precedence::Newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(revised: &str, as_of: i64, file: i32, position: i64) -> RecordOrder {
        RecordOrder {
            version: 1,
            date_revised: revised.parse().ok(),
            as_of: DateTime::from_timestamp(as_of, 0).expect("in range"),
            file_number: file,
            position,
            file_id: None,
            deleted: false,
        }
    }

    fn deletion(as_of: i64, file: i32, position: i64) -> RecordOrder {
        RecordOrder { deleted: true, ..order("", as_of, file, position) }
    }

    fn check(arriving: &RecordOrder, held: &RecordOrder, expect: Precedence) {
        assert_eq!(arriving.compare(held, held.rank()), expect, "{arriving:?} after {held:?}");
    }

    #[test]
    fn between_two_named_files_the_number_decides_whatever_their_dates_say() {
        let ascending = [
            order("2026-02-10", 99, 261_360, 5),
            order("2026-02-10", 0, 261_360, 6),
            order("2026-02-08", 1, 261_361, 1),
            deletion(0, 261_362, 9),
            order("", 0, 270_001, 1),
        ];
        for (i, older) in ascending.iter().enumerate() {
            for newer in &ascending[i + 1..] {
                check(newer, older, Precedence::Newer);
                check(older, newer, Precedence::Older);
            }
            check(older, older, Precedence::Same);
        }
    }

    #[test]
    fn other_pairs_are_compared_by_revision_then_as_of_then_arrival() {
        check(&order("2024-01-02", 1, 0, 0), &order("2024-01-01", 9, 261_335, 1), Precedence::Newer);
        check(&order("2024-01-01", 9, 261_335, 1), &order("2024-01-02", 1, 0, 0), Precedence::Older);
        check(&order("2024-01-01", 2, 0, 0), &order("2024-01-01", 1, 0, 0), Precedence::Newer);
        check(&order("2024-01-01", 1, 0, 0), &order("2024-01-01", 2, 0, 0), Precedence::Older);
        check(&order("2024-01-01", 1, 0, 0), &order("2024-01-01", 1, 0, 0), Precedence::Newer);
        check(&order("", 1, 0, 0), &order("2024-01-01", 1, 0, 0), Precedence::Older);
    }

    #[test]
    fn a_rank_that_was_passed_is_older_also_when_a_fetched_payload_is_held() {
        let fetched = order("2024-01-01", 50, 0, 0);
        let seen = FileRank { file_number: 261_340, position: 1 };
        let late = order("2024-01-05", 60, 261_339, 1);
        assert_eq!(late.compare(&fetched, seen), Precedence::Older);
        assert_eq!(late.compare(&fetched, FileRank::NONE), Precedence::Newer);
    }

    #[test]
    fn a_deletion_is_compared_without_revision_dates() {
        check(&deletion(11, 0, 0), &order("2026-01-01", 10, 0, 0), Precedence::Newer);
        check(&deletion(9, 0, 0), &order("2020-01-01", 10, 0, 0), Precedence::Older);
        check(&order("2020-01-01", 12, 0, 0), &deletion(11, 0, 0), Precedence::Newer);
    }

    #[test]
    fn a_file_without_a_number_that_is_read_again_does_not_undo_its_later_records() {
        let first = RecordOrder { file_id: Some("a".into()), ..order("2024-01-01", 0, 0, 1) };
        let second = RecordOrder { position: 2, ..first.clone() };
        check(&second, &first, Precedence::Newer);
        check(&first, &second, Precedence::Older);
        let other = RecordOrder { file_id: Some("b".into()), ..first.clone() };
        check(&other, &second, Precedence::Newer);
    }
}
