//! The error body of all responses, and the HTTP status of each code.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use shared::core::ErrorCode;
use shared::db::DbError;
use shared::ingest::{RetryError, UnitError};
use shared::tools::{FieldError, ToolError};

/// The body of every error response.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ErrorBody {
    /// Always false.
    pub ok: bool,
    /// Stable error code.
    #[schemars(with = "String")]
    pub error_code: ErrorCode,
    /// Message for people.
    pub message: String,
    /// Whether the unchanged request may succeed later.
    pub retryable: bool,
    /// Identifies this request in the log.
    pub trace_id: String,
    /// The tool that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The invalid fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<FieldError>,
}

/// A failed request; [`crate::trace`] turns it into a response.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub error: ToolError,
    pub tool: Option<String>,
}

impl ApiError {
    /// An error outside of any tool.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ToolError::new(code, message).into()
    }

    /// Adds the tool that failed.
    #[must_use]
    pub fn of_tool(mut self, tool: &str) -> Self {
        self.tool = Some(tool.to_owned());
        self
    }

    /// Adds a `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.error.retry_after = Some(pause);
        self
    }

    /// The error body, with the trace id of the request.
    pub fn body(self, trace_id: String) -> ErrorBody {
        ErrorBody {
            ok: false,
            error_code: self.error.code,
            retryable: self.error.code.is_retryable(),
            message: self.error.message,
            trace_id,
            tool: self.tool,
            details: self.error.fields,
        }
    }
}

impl From<ToolError> for ApiError {
    fn from(error: ToolError) -> Self {
        Self { error, tool: None }
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        ToolError::from(error).into()
    }
}

impl From<RetryError> for ApiError {
    fn from(error: RetryError) -> Self {
        ToolError::from(error).into()
    }
}

impl From<UnitError> for ApiError {
    fn from(error: UnitError) -> Self {
        ToolError::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = status_of(self.error.code).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The HTTP status of a code.
pub fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::ValidationError | ErrorCode::QueryRejected => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::ToolNotFound | ErrorCode::JobNotFound | ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::AlreadyExists | ErrorCode::JobNotFinished => StatusCode::CONFLICT,
        ErrorCode::IdempotencyConflict => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::RateLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::PubmedError | ErrorCode::ArchiveError => StatusCode::BAD_GATEWAY,
        ErrorCode::DatabaseError | ErrorCode::PubmedRateLimit => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::PubmedTimeout | ErrorCode::DatabaseTimeout | ErrorCode::DeadlineExceeded => {
            StatusCode::GATEWAY_TIMEOUT
        }
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
