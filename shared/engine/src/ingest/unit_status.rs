//! Where a work unit is, and how an attempt at one ended.

use std::fmt;

/// Where a work unit is.
///
/// ```text
///            claim                start
/// pending ──────────▶ claimed ──────────▶ processing ──▶ completed
///    ▲                   │                     │  └────▶ failed
///    │  release, snooze, │                     │  └────▶ cancelled
///    └── retry, reclaim ─┴─────────────────────┘
/// ```
///
/// Every change names the epoch that was claimed, except those that the engine makes of units that no worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitStatus {
    /// Waits for a worker, not before its `not_before`. Entered when it is planned, and from `claimed` or `processing`:
    /// released (the worker stops, or the time of the unit is up with progress made), snoozed (what it needs is not
    /// there), failed with attempts left, or reclaimed from a worker that was silent for too long. Left by a claim, or
    /// when its job is cancelled (`cancelled`) or past its deadline (`failed`).
    Pending,
    /// A worker has it, with a new epoch, and has not begun. Left when it begins, and like `processing`.
    Claimed,
    /// A worker runs it and says so by heartbeats. Left when it ends, or back to `pending`.
    Processing,
    /// Every batch is committed. Final.
    Completed,
    /// Out of attempts, or an attempt ended in a way that another one would end too, or the deadline of its job passed.
    /// Final: a retry is another job.
    Failed,
    /// Its job was cancelled. Final.
    Cancelled,
}

impl UnitStatus {
    const ALL: [Self; 6] =
        [Self::Pending, Self::Claimed, Self::Processing, Self::Completed, Self::Failed, Self::Cancelled];

    /// The status as in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the unit has ended: nothing about it changes any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for UnitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for UnitStatus {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| format!("unknown status {text}"))
    }
}

impl serde::Serialize for UnitStatus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How a worker released a unit without counting an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReleaseKind<'a> {
    /// It stops, or the unit's time is up with progress made.
    Released,
    /// What the unit needs is not there now; why.
    Snoozed(&'a str),
}

impl<'a> ReleaseKind<'a> {
    /// The end of the attempt, as in the database.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Snoozed(_) => "snoozed",
        }
    }

    /// What was missing.
    pub(super) fn why(self) -> Option<&'a str> {
        match self {
            Self::Released => None,
            Self::Snoozed(why) => Some(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_read_as_it_is_written() {
        for status in UnitStatus::ALL {
            assert_eq!(UnitStatus::try_from(status.as_str().to_owned()), Ok(status));
        }
        assert!(UnitStatus::try_from("running".to_owned()).is_err());
        assert_eq!(UnitStatus::ALL.into_iter().filter(|status| status.is_final()).count(), 3);
    }
}
