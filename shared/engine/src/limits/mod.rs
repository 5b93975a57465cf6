//! Limits and leases that all workers share: in Postgres, or in a DynamoDB table that hundreds of functions can use
//! without a connection each.

#[cfg(feature = "aws")]
pub mod dynamodb;
mod leases;
mod pace;
mod postgres_leases;
mod postgres_pace;
mod shared_limits;
mod slots;

pub use leases::{Lease, LeaseError, Leases, fence};
pub use pace::{SharedPace, Turn, Turns};
pub use postgres_leases::PostgresLeases;
pub use postgres_pace::PostgresPace;
pub use shared_limits::{PostgresLimits, SharedLimits};
pub use slots::{Slot, SlotError, Slots};
