//! Why a unit stopped, by the required reaction.

use std::time::Duration;

use crate::db::DbError;
use bio_mcp_archive::{ReadError, StoreError};
use bio_mcp_core::ErrorCode;

/// Why a unit stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// Another worker has the unit now: no further writes are allowed.
    #[error("another worker has taken this unit over")]
    LeaseLost,
    /// The job was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// This worker stops, or the unit's time limit is reached with progress made: the rest is run later, without
    /// counting an attempt.
    #[error("released")]
    Released,
    /// An external dependency is unavailable: the unit is run later, without counting an attempt.
    #[error("{why}")]
    Snooze {
        /// How long to wait.
        pause: Duration,
        /// Message for people, one sentence.
        why: String,
    },
    /// A problem that an operator must fix blocks the unit: no space, no permission. The unit is released without
    /// counting an attempt, and the worker logs it.
    #[error("{message}")]
    Blocked {
        /// Stable code.
        code: ErrorCode,
        /// Message for people, one sentence.
        message: String,
    },
    /// The unit failed.
    #[error("{message}")]
    Failed {
        /// Stable code.
        code: ErrorCode,
        /// Message for people, one sentence.
        message: String,
        /// Whether another attempt may succeed.
        retry: bool,
    },
}

impl UnitError {
    /// A failure that another attempt cannot fix.
    pub fn permanent(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Failed { code, message: message.into(), retry: false }
    }
}

impl From<DbError> for UnitError {
    fn from(error: DbError) -> Self {
        let (code, message) = (ErrorCode::DatabaseError, bio_mcp_core::chain(&error));
        match error {
            DbError::Full(_) => Self::Blocked { code, message },
            error => Self::Failed { code, message, retry: error.is_transient() },
        }
    }
}

impl From<sqlx::Error> for UnitError {
    fn from(error: sqlx::Error) -> Self {
        DbError::from(error).into()
    }
}

impl From<StoreError> for UnitError {
    fn from(error: StoreError) -> Self {
        let (code, message) = (ErrorCode::ArchiveError, bio_mcp_core::chain(&error));
        match error {
            StoreError::Full(_) | StoreError::Denied(_) | StoreError::ReadOnly(_) => Self::Blocked { code, message },
            error => Self::Failed { code, message, retry: error.is_transient() },
        }
    }
}

impl From<ReadError> for UnitError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            object @ (ReadError::Damaged { .. } | ReadError::Newer { .. }) => {
                Self::permanent(ErrorCode::ArchiveError, bio_mcp_core::chain(&object))
            }
        }
    }
}
