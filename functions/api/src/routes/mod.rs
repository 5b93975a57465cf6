//! One file per kind of thing.

pub mod about;
pub mod events;
pub mod health;
pub mod job;
pub mod jobs;
pub mod pubmed;
pub mod tools;

use shared::core::ErrorCode;

use crate::error::ApiError;

/// What no route is for.
pub async fn nothing() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "unknown route")
}
