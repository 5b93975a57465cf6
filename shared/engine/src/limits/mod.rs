//! Limits and leases that all workers share: in Postgres, or in a DynamoDB table that hundreds of functions can use
//! without a connection each.

#[cfg(feature = "aws")]
pub mod dynamodb;
mod leases;
mod postgres_leases;
mod postgres_rate_limiter;
mod rate_limiter;
mod shared_limits;
mod slots;

pub use leases::{LeaseError, Leases, NamedLease, fence};
pub use postgres_leases::PostgresLeases;
pub use postgres_rate_limiter::PostgresRateLimiter;
pub use rate_limiter::{Reservation, Reservations, SharedRateLimiter};
pub use shared_limits::{PostgresLimits, SharedLimits};
pub use slots::{Slot, SlotError, Slots};
