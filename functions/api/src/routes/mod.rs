//! One file per kind of thing.

pub mod about;
pub mod events;
pub mod health;
pub mod job;
pub mod jobs;
pub mod pubmed;
pub mod tools;

use shared::words::ErrorCode;

use crate::error::Failure;

/// What no route is for.
pub async fn nothing() -> Failure {
    Failure::new(ErrorCode::NotFound, "unknown route")
}
