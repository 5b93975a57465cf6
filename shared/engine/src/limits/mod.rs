//! Limits that all workers share: in Postgres, or in a DynamoDB table that hundreds of functions can ask without a
//! connection each.

#[cfg(feature = "aws")]
pub mod dynamodb;
mod pace;
mod postgres_pace;

pub use pace::{SharedPace, Turn, Turns};
pub use postgres_pace::PostgresPace;
