//! Stable error codes: what users and scripts match on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A stable error code; the spelling is a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The request, an argument or an input file is invalid; a retry fails again.
    ValidationError,
    /// Credentials are missing or invalid.
    Unauthenticated,
    /// The caller lacks the permission.
    Forbidden,
    ToolNotFound,
    /// No such record or route.
    NotFound,
    JobNotFound,
    /// The route does not support the HTTP method.
    MethodNotAllowed,
    /// A request is larger than allowed.
    PayloadTooLarge,
    /// A request is not JSON.
    UnsupportedMediaType,
    /// An object of that name already exists.
    AlreadyExists,
    /// The job must have ended first.
    JobNotFinished,
    /// An idempotency key was reused with other parameters.
    IdempotencyConflict,
    /// Too many jobs are queued; retry later.
    RateLimitExceeded,
    /// NCBI refuses the query.
    QueryRejected,
    /// NCBI is unavailable, or refused the request.
    PubmedError,
    /// NCBI reported too many requests.
    PubmedRateLimit,
    /// NCBI did not respond in time.
    PubmedTimeout,
    /// The archive cannot be read or written.
    ArchiveError,
    /// The database is unreachable, or refused a statement.
    DatabaseError,
    /// The database did not respond in time.
    DatabaseTimeout,
    DeadlineExceeded,
    /// A bug in this program.
    Internal,
}

impl ErrorCode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "VALIDATION_ERROR",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::ToolNotFound => "TOOL_NOT_FOUND",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::JobNotFound => "JOB_NOT_FOUND",
            Self::JobNotFinished => "JOB_NOT_FINISHED",
            Self::IdempotencyConflict => "IDEMPOTENCY_CONFLICT",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::QueryRejected => "QUERY_REJECTED",
            Self::PubmedError => "PUBMED_ERROR",
            Self::PubmedRateLimit => "PUBMED_RATE_LIMIT",
            Self::PubmedTimeout => "PUBMED_TIMEOUT",
            Self::ArchiveError => "ARCHIVE_ERROR",
            Self::DatabaseError => "DATABASE_ERROR",
            Self::DatabaseTimeout => "DATABASE_TIMEOUT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Internal => "INTERNAL",
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimitExceeded
                | Self::JobNotFinished
                | Self::PubmedError
                | Self::PubmedRateLimit
                | Self::PubmedTimeout
                | Self::ArchiveError
                | Self::DatabaseError
                | Self::DatabaseTimeout
                | Self::DeadlineExceeded
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
