//! HTTP routes: one file per kind of resource.

pub mod about;
pub mod events;
pub mod health;
pub mod job;
pub mod jobs;
pub mod pubmed;
pub mod tools;

use shared::core::ErrorCode;

use crate::error::ApiError;

/// Fallback for unknown routes.
pub async fn nothing() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "unknown route")
}
