//! The status of a work unit, and how an attempt at one ended.

use std::fmt;

/// The status of a work unit.
///
/// ```text
///            claim                start
/// pending ──────────▶ claimed ──────────▶ processing ──▶ completed
///    ▲                   │                     │  └────▶ failed
///    │  release, snooze, │                     │  └────▶ cancelled
///    └── retry, reclaim ─┴─────────────────────┘
/// ```
///
/// Every change contains the claimed epoch, except those that the engine makes to units that no worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitStatus {
    /// Waits for a worker, at least until its `not_before`. Entered when it is planned, and from `claimed` or
    /// `processing`: released (the worker stops, or the time limit of the unit is reached with progress made), snoozed
    /// (a dependency is unavailable), failed with attempts left, or reclaimed from a worker that was silent for too
    /// long. Left by a claim, or when its job is cancelled (`cancelled`) or past its deadline (`failed`).
    Pending,
    /// Claimed by a worker, with a new epoch, and not started. Left when it starts, and like `processing`.
    Claimed,
    /// Run by a worker, which sends heartbeats. Left when it ends, or back to `pending`.
    Processing,
    /// Every batch is committed. Final.
    Completed,
    /// No attempts are left, an attempt failed with an error that a retry cannot fix, or the deadline of its job
    /// passed. Final: a retry is another job.
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

    /// Whether the unit has ended and does not change any more.
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
    /// The worker stops, or the unit's time limit is reached with progress made.
    Released,
    /// A dependency of the unit is unavailable; the reason.
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

    /// The unavailable dependency.
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
