//! Outcomes of requested records.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The outcome of one requested record; every requested record gets exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// New or changed: stored.
    Archived,
    /// Nothing to store, see [`SkipReason`].
    Skipped,
    /// Could not be archived; a reason is given and its bytes are in quarantine.
    Failed,
    /// A tombstone was stored.
    Deleted,
    /// Requested, but not returned by the source.
    Missing,
}

impl Outcome {
    /// Name in manifests, tables and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Archived => "archived",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a record was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The same payload, or the same deletion, is already stored.
    Unchanged,
    /// Another spelling of the same XML tree.
    FormatOnly,
    /// The archive has a newer payload.
    Older,
}

impl SkipReason {
    /// The reason as written to manifests; an unchanged payload needs none.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Unchanged => None,
            Self::FormatOnly => Some("format_only"),
            Self::Older => Some("older"),
        }
    }
}

/// Why a record has its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    Skip(SkipReason),
    /// Description of the fault.
    Fault(String),
}

impl Reason {
    /// The reason as written to manifests and lists.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Skip(skip) => skip.as_str(),
            Self::Fault(text) => Some(text),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_str().serialize(serializer)
    }
}

/// Records by outcome. `archived + skipped + failed + deleted + missing = requested` and
/// `unchanged + format_only + older = skipped`, always.
///
/// ```
/// use bio_mcp_core::{Outcome, Reason, SkipReason, Tally};
///
/// let mut tally = Tally::default();
/// tally.add(Outcome::Archived, None);
/// tally.add(Outcome::Skipped, Some(&Reason::Skip(SkipReason::Older)));
/// assert_eq!((tally.requested, tally.archived, tally.skipped, tally.older), (2, 1, 1, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Records that were requested, or that a file contains.
    pub requested: i64,
    /// New or changed.
    pub archived: i64,
    /// Unchanged, format only, or older than the archive.
    pub skipped: i64,
    /// Quarantined.
    pub failed: i64,
    /// Tombstones written.
    pub deleted: i64,
    /// Requested, but not returned by the source.
    pub missing: i64,
    /// Skipped: the same payload is stored.
    pub unchanged: i64,
    /// Skipped: the same XML in another spelling is stored.
    pub format_only: i64,
    /// Skipped: a newer payload is stored.
    pub older: i64,
}

impl Tally {
    /// Counts one record.
    pub fn add(&mut self, outcome: Outcome, reason: Option<&Reason>) {
        self.requested += 1;
        match outcome {
            Outcome::Archived => self.archived += 1,
            Outcome::Skipped => {
                self.skipped += 1;
                match reason {
                    Some(Reason::Skip(SkipReason::Older)) => self.older += 1,
                    Some(Reason::Skip(SkipReason::FormatOnly)) => self.format_only += 1,
                    _ => self.unchanged += 1,
                }
            }
            Outcome::Failed => self.failed += 1,
            Outcome::Deleted => self.deleted += 1,
            Outcome::Missing => self.missing += 1,
        }
    }

    /// Adds the counts of another tally.
    pub fn merge(&mut self, other: &Self) {
        self.requested += other.requested;
        self.archived += other.archived;
        self.skipped += other.skipped;
        self.failed += other.failed;
        self.deleted += other.deleted;
        self.missing += other.missing;
        self.unchanged += other.unchanged;
        self.format_only += other.format_only;
        self.older += other.older;
    }
}
