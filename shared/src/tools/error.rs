//! How a tool fails: a stable code, one sentence for people, and the fault of each invalid parameter.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::archive::{ReadError, StoreError};
use crate::core::ErrorCode;
use crate::db::DbError;
use crate::ingest::{RetryError, StepError, UnitError};
use crate::jobs::{StepRefusal, SubmitError};
use crate::observability;
use crate::pubmed::eutils::EutilsError;
use crate::sources::pubmed_sync::{ParamError, SubmitSyncError};
use crate::syncs::BindError;

/// An invalid parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// Position of the parameter in the request, as a JSON pointer.
    pub pointer: String,
    /// What is wrong with the parameter.
    pub reason: String,
}

/// A tool failed. Its text contains no secret, no SQL and nothing that an external server sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ToolError {
    /// Stable error code.
    pub code: ErrorCode,
    /// One sentence.
    pub message: String,
    /// The invalid parameters.
    pub fields: Vec<FieldError>,
    /// Time after which to try again.
    pub retry_after: Option<Duration>,
}

impl ToolError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fields: Vec::new(), retry_after: None }
    }

    /// Invalid parameters; the message is about the first one.
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        let message = fields.first().map_or_else(String::new, |field| match field.pointer.trim_start_matches('/') {
            "" => field.reason.clone(),
            name => format!("{}: {}", name.replace('/', "."), field.reason),
        });
        Self { fields, ..Self::new(ErrorCode::ValidationError, message) }
    }

    /// One invalid parameter.
    pub fn invalid_field(name: &str, reason: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: format!("/{name}"), reason: reason.into() }])
    }

    /// Puts the position of the parameters in the request before all pointers.
    #[must_use]
    pub fn with_pointer_prefix(mut self, parent: &str) -> Self {
        for field in &mut self.fields {
            field.pointer.insert_str(0, parent);
        }
        self
    }

    /// The message of a unit is for its job's log and may contain paths; only messages about the request are repeated.
    fn from_unit(code: ErrorCode, message: String) -> Self {
        let retry_after = code.is_retryable().then_some(Duration::from_secs(1));
        let message = match code {
            ErrorCode::ValidationError | ErrorCode::RateLimitExceeded => message,
            other => {
                tracing::warn!(error_code = other.as_str(), message, "error of the engine");
                let message = "internal error: see the log for this trace_id";
                without_details(other).unwrap_or(message).to_owned()
            }
        };
        Self { retry_after, ..Self::new(code, message) }
    }

    fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = observability::chain(error), "internal error");
        Self::new(ErrorCode::Internal, "internal error: see the log for this trace_id")
    }
}

/// What a caller is shown of failures whose own messages contain paths and addresses of this machine; the log of the
/// program contains those.
pub(super) fn without_details(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::DatabaseError | ErrorCode::DatabaseTimeout => Some("the database is unavailable: try again later"),
        ErrorCode::ArchiveError => Some("the archive cannot be read or written now"),
        ErrorCode::Internal => Some("internal error: see the log for this trace_id"),
        _ => None,
    }
}

impl From<DbError> for ToolError {
    fn from(error: DbError) -> Self {
        let (code, message) = match &error {
            DbError::Unreachable(_) => (ErrorCode::DatabaseError, "the database is unavailable: try again later"),
            DbError::Conflict(_) => (ErrorCode::DatabaseTimeout, "the database took too long: try again"),
            DbError::Full(_) => (ErrorCode::DatabaseError, "the database is full or out of connections"),
            DbError::Behind => {
                (ErrorCode::DatabaseError, "the database is older than this program: run its migrations")
            }
            DbError::TransactionPooler => {
                (ErrorCode::DatabaseError, "the connection to the database does not suit this program: see its log")
            }
            DbError::Denied(_) => (ErrorCode::DatabaseError, "the database refused the login"),
            DbError::Refused(_) | DbError::Schema(_) | DbError::PowerfulRole { .. } => return Self::internal(&error),
        };
        tracing::warn!(error = observability::chain(&error), "database error");
        Self { retry_after: Some(Duration::from_secs(1)), ..Self::new(code, message) }
    }
}

impl From<StoreError> for ToolError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = observability::chain(&error), "archive error");
        Self::new(ErrorCode::ArchiveError, "the archive cannot be read or written now")
    }
}

impl From<ReadError> for ToolError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            ReadError::Newer { .. } => {
                tracing::error!(error = observability::chain(&error), "object of a newer program");
                Self::new(
                    ErrorCode::ArchiveError,
                    "the archived object was written by a newer program: update this program",
                )
            }
            ReadError::Damaged { .. } => {
                tracing::error!(error = observability::chain(&error), "damaged object");
                Self::new(
                    ErrorCode::ArchiveError,
                    "the archived object is damaged: its operator must repair the archive",
                )
            }
        }
    }
}

impl From<EutilsError> for ToolError {
    fn from(error: EutilsError) -> Self {
        Self { retry_after: error.retry_after(), ..Self::new(error.code(), error.to_string()) }
    }
}

impl From<ParamError> for ToolError {
    fn from(error: ParamError) -> Self {
        Self::invalid_field(error.field, error.reason)
    }
}

impl From<SubmitError> for ToolError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Db(error) => error.into(),
            SubmitError::TooManyJobs(_) | SubmitError::TooManyOfPrincipal(_) => Self {
                retry_after: Some(Duration::from_secs(30)),
                ..Self::new(ErrorCode::RateLimitExceeded, error.to_string())
            },
            SubmitError::DailyRecords { retry_after, .. } => {
                Self { retry_after: Some(retry_after), ..Self::new(ErrorCode::RateLimitExceeded, error.to_string()) }
            }
            SubmitError::Busy(_) => Self::new(ErrorCode::AlreadyExists, error.to_string()),
            SubmitError::IdempotencyConflict => Self::new(ErrorCode::IdempotencyConflict, error.to_string()),
            SubmitError::Params(_) => Self::new(ErrorCode::ValidationError, error.to_string()),
        }
    }
}

impl From<RetryError> for ToolError {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::Unit(error) | RetryError::Step(StepError::Unit(error)) => error.into(),
            RetryError::Submit(error) => error.into(),
            RetryError::Step(StepError::Refused(refusal) | StepError::NotNow(refusal)) => refusal.into(),
        }
    }
}

impl From<StepRefusal> for ToolError {
    fn from(refusal: StepRefusal) -> Self {
        let fields = serde_json::from_value(refusal.details).unwrap_or_default();
        let retry_after = refusal.code.is_retryable().then_some(Duration::from_secs(30));
        Self { fields, retry_after, ..Self::new(refusal.code, refusal.message) }
    }
}

impl From<SubmitSyncError> for ToolError {
    fn from(error: SubmitSyncError) -> Self {
        match error {
            SubmitSyncError::Submit(error) => error.into(),
            SubmitSyncError::Bind(BindError::Db(error)) => error.into(),
            SubmitSyncError::Bind(error) => Self::invalid_field("query_key", error.to_string()),
        }
    }
}

impl From<UnitError> for ToolError {
    fn from(error: UnitError) -> Self {
        match error {
            UnitError::Failed { code, message, .. } | UnitError::Blocked { code, message } => {
                Self::from_unit(code, message)
            }
            other => Self::internal(&other),
        }
    }
}
