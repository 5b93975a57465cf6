//! Limits that all programs of a deployment share, independent of their storage.

use std::sync::Arc;

use bio_mcp_core::rate_limiter::RateLimiter;
use sqlx::PgPool;

use super::leases::Leases;
use super::postgres_leases::PostgresLeases;
use super::postgres_rate_limiter::PostgresRateLimiter;
use super::slots::Slots;

/// The storage of the limits of a deployment.
pub trait SharedLimits: Send + Sync {
    /// The rate limiter of a server (a short name), for `per_second` requests per second.
    fn rate_limiter(&self, upstream: &str, per_second: u32) -> Arc<dyn RateLimiter>;

    /// Leases: work that only one program may do at a time.
    fn leases(&self) -> Arc<dyn Leases>;

    /// Slots: the number of programs that may do the same concurrently; none if each process counts for itself.
    fn slots(&self) -> Option<Arc<dyn Slots>>;
}

/// Limits in the database of a deployment. It has no slots: few processes share it, and each has its own limits.
#[derive(Clone, Debug)]
pub struct PostgresLimits(pub PgPool);

impl SharedLimits for PostgresLimits {
    fn rate_limiter(&self, upstream: &str, per_second: u32) -> Arc<dyn RateLimiter> {
        Arc::new(PostgresRateLimiter::new(self.0.clone(), upstream, per_second))
    }

    fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(PostgresLeases(self.0.clone()))
    }

    fn slots(&self) -> Option<Arc<dyn Slots>> {
        None
    }
}
